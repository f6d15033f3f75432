//! The values themselves: from the catalog, which is only read, and from the container engine.

use std::{collections::BTreeSet, time::Duration};

use clap_complete::CompletionCandidate;
use jiff::Timestamp;
use volsnap::{
    kept_id,
    model::{Hook, Snapshot, Workload},
    ports::Store,
    restore::{Body, Journal, State},
};
use volsnap_disk::Disk;
use volsnap_docker::{DockerEngine, ListedContainer};
use volsnap_sqlite::SqliteStore;

use super::context::Context;
use crate::cli::{plain, render};

/// Somebody waits at a prompt: an engine or a disk that takes longer than this is not worth the wait.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the catalog holds.
struct Catalog {
    context: Context,
    workloads: Vec<Workload>,
    /// Newest first, all of the workload that was typed, if one was.
    snapshots: Vec<Snapshot>,
}

impl Catalog {
    fn read() -> Option<Catalog> {
        let context = Context::of_this_process()?;
        let reading = async {
            let store = SqliteStore::open_to_look(&context.state_dir.join("catalog.db")).await.ok()?;
            let workloads = store.workloads().await.ok()?;
            let named = |name: &String| workloads.iter().find(|w| w.name == *name || w.id.to_string() == *name);
            let snapshots = match context.workload.as_ref().map(named) {
                None => store.snapshots(None).await,
                Some(Some(workload)) => store.snapshots(Some(workload.id)).await,
                Some(None) => Ok(Vec::new()),
            };
            let snapshots = snapshots.ok()?;
            store.close().await;
            Some((workloads, snapshots))
        };
        let (workloads, snapshots) = in_time(reading)??;
        Some(Catalog { context, workloads, snapshots })
    }

    /// The workload that was typed.
    fn workload(&self) -> Option<&Workload> {
        let name = self.context.workload.as_ref()?;
        self.workloads.iter().find(|w| w.name == *name || w.id.to_string() == *name)
    }

    /// The snapshot that was typed, or else the newest.
    fn snapshot(&self) -> Option<&Snapshot> {
        let typed = self.context.snapshot.as_deref().unwrap_or_default();
        let (name, typed) = typed.split_once('/').map_or((None, typed), |(name, typed)| (Some(name), typed));
        let typed = if typed == "latest" { "" } else { typed };
        let is_named = |snapshot: &&Snapshot| name.is_none_or(|name| self.name_of(snapshot) == Some(name));
        self.snapshots.iter().filter(is_named).find(|snapshot| snapshot.id().to_string().starts_with(typed))
    }

    /// The name of the workload that a snapshot is of.
    fn name_of(&self, snapshot: &Snapshot) -> Option<&str> {
        self.workloads.iter().find(|workload| workload.id == snapshot.workload()).map(|workload| workload.name.as_str())
    }

    /// The volumes of what was typed.
    fn targets(&self) -> BTreeSet<String> {
        let of_snapshot = self.snapshot().into_iter().flat_map(|snapshot| &snapshot.archive.manifest.volumes);
        let declared = self.workload().into_iter().flat_map(|workload| &workload.volumes);
        let targets = of_snapshot.map(|v| v.target.clone()).chain(declared.map(|v| v.target.clone()));
        // What nobody could type is not offered either.
        targets.filter(|target| !target.contains(char::is_control)).collect()
    }
}

/// The registered workloads.
pub fn workloads() -> Vec<CompletionCandidate> {
    let Some(catalog) = Catalog::read() else { return Vec::new() };
    catalog.workloads.iter().map(|workload| CompletionCandidate::new(&workload.name)).collect()
}

/// `latest`, also by name where several workloads have snapshots, and the snapshots of the workload, if one was typed, else
/// all; newest first.
pub fn snapshots() -> Vec<CompletionCandidate> {
    let Some(catalog) = Catalog::read().filter(|catalog| !catalog.snapshots.is_empty()) else { return Vec::new() };
    let now = Timestamp::now();
    let latest = CompletionCandidate::new("latest").help(Some("the newest".into()));
    let names: BTreeSet<&str> = catalog.snapshots.iter().filter_map(|snapshot| catalog.name_of(snapshot)).collect();
    let names = if names.len() > 1 { names } else { BTreeSet::new() };
    let named = |name: &str| {
        CompletionCandidate::new(format!("{name}/latest")).help(Some(format!("the newest of {name}").into()))
    };
    let one = |snapshot: &Snapshot| {
        let old = render::age(now.duration_since(snapshot.created_at()).as_secs());
        let note = snapshot.archive.manifest.note.as_ref().map(|note| format!(", {note}")).unwrap_or_default();
        let help = plain::line(&format!("{}, {old} old{note}", snapshot.archive.manifest.workload_name));
        CompletionCandidate::new(snapshot.id().to_string()).help(Some(help.into()))
    };
    in_order([latest].into_iter().chain(names.into_iter().map(named)).chain(catalog.snapshots.iter().map(one)))
}

/// What a snapshot may be compared with.
pub fn compared() -> Vec<CompletionCandidate> {
    let live = CompletionCandidate::new("live").help(Some("the volumes as they are now".into()));
    in_order([live].into_iter().chain(snapshots()))
}

/// The volumes of the snapshot or workload.
pub fn targets() -> Vec<CompletionCandidate> {
    let Some(catalog) = Catalog::read() else { return Vec::new() };
    catalog.targets().into_iter().map(CompletionCandidate::new).collect()
}

/// The same, with the sign that a place follows.
pub fn assignments() -> Vec<CompletionCandidate> {
    let Some(catalog) = Catalog::read() else { return Vec::new() };
    catalog.targets().into_iter().map(|target| CompletionCandidate::new(format!("{target}="))).collect()
}

/// The numbers of a workload's hooks.
pub fn hooks() -> Vec<CompletionCandidate> {
    let Some(catalog) = Catalog::read() else { return Vec::new() };
    let hooks = catalog.workload().into_iter().flat_map(|workload| &workload.hooks).enumerate();
    let one = |(n, hook): (usize, &Hook)| {
        CompletionCandidate::new((n + 1).to_string())
            .help(Some(plain::line(&format!("{} {}", hook.at, hook.words())).into()))
    };
    in_order(hooks.map(one))
}

/// What restores keep, by the names of their records: those that were set aside, and the last ones.
pub fn kept() -> Vec<CompletionCandidate> {
    let Some(context) = Context::of_this_process() else { return Vec::new() };
    let records = Disk::peek_records(&context.state_dir);
    let states = records.iter().filter_map(|bytes| match Journal::decode(bytes).ok()?.body {
        Body::Restore(records) => State::replay(&records).ok().filter(State::keeps_originals),
        Body::Snapshot(_) => None,
    });
    let one = |state: State| {
        let old = render::age(Timestamp::now().duration_since(state.plan.created_at).as_secs());
        let help = format!("{}, {old} old", state.plan.workload.name);
        CompletionCandidate::new(kept_id(state.plan.restore)).help(Some(plain::line(&help).into()))
    };
    states.map(one).collect()
}

/// The names of the engine's containers.
pub fn containers() -> Vec<CompletionCandidate> {
    let names: BTreeSet<String> = listed().into_iter().map(|container| container.name).collect();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// The engine's compose projects.
pub fn projects() -> Vec<CompletionCandidate> {
    let projects: BTreeSet<String> = listed().into_iter().filter_map(|container| container.project).collect();
    projects.into_iter().map(CompletionCandidate::new).collect()
}

/// What `workload add NAME` takes with nothing else: projects, and containers without one, that have not that name yet.
pub fn unregistered() -> Vec<CompletionCandidate> {
    let known = Catalog::read().map(|catalog| catalog.workloads).unwrap_or_default();
    let names: BTreeSet<String> = listed().into_iter().map(|c| c.project.unwrap_or(c.name)).collect();
    let is_new = |name: &String| known.iter().all(|workload| workload.name != *name);
    names.into_iter().filter(is_new).map(CompletionCandidate::new).collect()
}

fn listed() -> Vec<ListedContainer> {
    let Some(context) = Context::of_this_process() else { return Vec::new() };
    let Ok(engine) = DockerEngine::at_host(&context.docker_host) else { return Vec::new() };
    in_time(async move { engine.listed().await.ok() }).flatten().unwrap_or_default()
}

/// Keeps the order, which the shell would else change to that of the alphabet.
fn in_order(candidates: impl Iterator<Item = CompletionCandidate>) -> Vec<CompletionCandidate> {
    candidates.enumerate().map(|(n, candidate)| candidate.display_order(Some(n))).collect()
}

/// What comes of it, if it comes in time.
fn in_time<T>(work: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let found = runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.ok() });
    // A thread that hangs is not waited for.
    runtime.shutdown_background();
    found
}
