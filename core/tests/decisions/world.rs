//! A small world of values: places, one app, and an engine that may revive it.

use std::path::PathBuf;

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::{
    model::{
        Container, ContainerId, Identity, Particulars, Redeploy, RestartPolicy, RestoreId, RunState, Selector, Sight,
        SnapshotId, Source, Workload, WorkloadId, container::passing_name,
    },
    restore::{
        Entry, Facts, Options, Places, Plan, PlannedVolume, Record, Seen, State, Step,
        by_entry::{Entries, Root, Shift},
        facts::{KeptPlaces, Survey},
        journal::Safety,
        plan::Method,
        state::Direction,
        switch::Rename,
    },
};

pub const PARENT: Identity = Identity { inode: 2, birth_ns: Some(1), subvolume: None };

pub fn original(volume: usize) -> Identity {
    Identity { inode: 100 + volume as u64, birth_ns: Some(10), subvolume: None }
}

pub fn restored(volume: usize) -> Identity {
    Identity { inode: 200 + volume as u64, birth_ns: Some(20), subvolume: None }
}

pub fn foreign(volume: usize) -> Identity {
    Identity { inode: 300 + volume as u64, birth_ns: Some(30), subvolume: None }
}

pub fn plan(methods: &[Method], app: bool, safety: bool) -> Plan {
    let volume = |(i, method): (usize, &Method)| PlannedVolume {
        target: format!("/v{i}"),
        archived_as: None,
        live: PathBuf::from(format!("/data/v{i}")),
        parent: if *method == Method::ByEntry { original(i) } else { PARENT },
        original: (*method != Method::New).then(|| original(i)),
        index: Some(i),
        method: *method,
        reason: "a test".into(),
        bytes: 1,
        bytes_allocated: 4096,
        entries: 1,
        kept: None,
    };
    let containers = if app { vec!["app".to_string()] } else { vec![] };
    Plan {
        restore: RestoreId(Uuid::from_u128(7)),
        workload: Workload {
            id: WorkloadId(Uuid::from_u128(1)),
            name: "w".into(),
            source: Source::Image,
            selector: Selector { containers, ..Selector::default() },
            volumes: vec![],
            created_at: Timestamp::UNIX_EPOCH,
            hooks: vec![],
            known: Vec::new(),
        },
        host: "host".into(),
        runtime: None,
        created_at: Timestamp::UNIX_EPOCH,
        snapshot: SnapshotId(Uuid::from_u128(2)),
        snapshot_created_at: Timestamp::UNIX_EPOCH,
        sequence: 0,
        archive_digest: "d".into(),
        safety: SnapshotId(Uuid::from_u128(3)),
        kept: None,
        record: None,
        options: Options { safety_snapshot: safety, redeploy: Redeploy::Recreate, ..Options::default() },
        volumes: methods.iter().enumerate().map(volume).collect(),
        containers: vec![],
        images: vec![],
        down: vec![],
        dependants: vec![],
        filesystems: vec![],
        refusals: vec![],
        warnings: vec![],
        notes: vec![],
    }
}

/// A directory, and whether it is empty.
pub type Dir = Option<(Identity, bool)>;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Volume {
    pub live: Dir,
    pub staged: Dir,
    pub aside: Dir,
    pub private: bool,
    /// Where the entries lie, if they are switched one by one.
    pub entries: Option<Placed>,
    /// Whether an earlier restore's private directory stands, and what it has kept there.
    pub kept: Option<(bool, Dir)>,
}

/// The entries of both trees by place, and whose attributes a root has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Placed {
    pub live: Vec<&'static str>,
    pub staged: Vec<&'static str>,
    pub leaving: Option<Vec<&'static str>>,
    pub aside: Option<Vec<&'static str>>,
    pub live_root: &'static str,
    pub kept_root: &'static str,
}

pub const ORIGINAL_ENTRIES: [&str; 2] = ["original 1", "original 2"];
pub const RESTORED_ENTRIES: [&str; 2] = ["restored 1", "restored 2"];

impl Placed {
    pub fn new() -> Self {
        Placed {
            live: ORIGINAL_ENTRIES.to_vec(),
            staged: vec![],
            leaving: None,
            aside: None,
            live_root: "original",
            kept_root: "as it was at staging",
        }
    }

    /// Does a shift, or cuts it off in its middle: after its first entry, before the attributes.
    pub fn shift(&mut self, shift: Shift, whole: bool) {
        let gone = "a directory that is asked for";
        let (from, to) = match shift {
            Shift::Gather => (&mut self.live, self.leaving.as_mut().expect(gone)),
            Shift::Fill => (&mut self.staged, &mut self.live),
            Shift::TakeOut => (&mut self.live, &mut self.staged),
            Shift::BringHome => (self.leaving.as_mut().expect(gone), &mut self.live),
            Shift::Seal | Shift::Unseal | Shift::Dress(_) if !whole => return,
            Shift::Seal => return self.aside = self.leaving.take(),
            Shift::Unseal => return self.leaving = self.aside.take(),
            Shift::Dress(root) => return self.dress(root),
        };
        let moved = if whole { from.len() } else { from.len().min(1) };
        to.extend(from.drain(..moved));
        to.sort();
        match shift {
            Shift::Fill if whole => self.dress(Root::Restored),
            Shift::BringHome if whole => self.dress(Root::Original),
            _ => {}
        }
    }

    pub fn is_all(&self, restored: bool) -> bool {
        match restored {
            true => self.live == RESTORED_ENTRIES && self.live_root == "restored",
            false => self.live == ORIGINAL_ENTRIES && self.live_root == "original",
        }
    }

    fn assert_all(&self, restored: bool) {
        assert!(self.is_all(restored), "the app starts on the wrong data: {self:?}");
    }

    /// The entries of the original that are not live.
    fn set_aside(&self) -> impl Iterator<Item = &&'static str> {
        self.leaving.iter().chain(&self.aside).flatten()
    }

    fn dress(&mut self, root: Root) {
        self.live_root = match root {
            Root::Original => self.kept_root,
            Root::Restored => "restored",
        };
    }

    fn look(&self) -> Entries {
        Entries {
            leaving: entry_dir(self.leaving.as_ref()),
            live: !self.live.is_empty(),
            like_original: self.live_root == self.kept_root,
            like_restored: self.live_root == "restored",
        }
    }
}

fn entry_dir(entries: Option<&Vec<&'static str>>) -> Sight {
    entries.map_or(Sight::Absent, |e| Sight::Directory { identity: foreign(7), empty: e.is_empty() })
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct World {
    pub volumes: Vec<Volume>,
    pub running: bool,
    pub policy_always: bool,
    pub prepared: bool,
    pub archived: bool,
}

impl World {
    pub fn new(plan: &Plan) -> Self {
        let volume = |v: &PlannedVolume| Volume {
            live: v.original.map(|id| (id, false)),
            staged: None,
            aside: None,
            private: false,
            entries: (v.method == Method::ByEntry).then(Placed::new),
            kept: v.kept.map(|tree| (true, Some((tree.identity, false)))),
        };
        let app = plan.has_containers();
        World {
            volumes: plan.volumes.iter().map(volume).collect(),
            running: app,
            policy_always: app,
            prepared: false,
            archived: false,
        }
    }

    pub fn look(&self, state: &State) -> Facts {
        let survey = Survey::of(state);
        let sight = |dir: Dir| dir.map_or(Sight::Absent, |(identity, empty)| Sight::Directory { identity, empty });
        let places = |v: &Volume| Places {
            parent: match v.entries {
                Some(_) => sight(v.live),
                None => Sight::Directory { identity: PARENT, empty: false },
            },
            live: sight(v.live),
            private: sight(v.private.then_some((foreign(0), false))),
            staged: match &v.entries {
                Some(placed) => sight(v.staged.map(|(id, _)| (id, placed.staged.is_empty()))),
                None => sight(v.staged),
            },
            aside: match &v.entries {
                Some(placed) => entry_dir(placed.aside.as_ref()),
                None => sight(v.aside),
            },
            entries: v.entries.as_ref().map(Placed::look),
            kept: v.kept.map(|(private, tree)| KeptPlaces {
                private: sight(private.then_some((foreign(1), tree.is_none()))),
                tree: sight(tree),
            }),
        };
        let container = |name: String, run, policy: &str| Seen {
            container: Container {
                id: ContainerId(name.clone()),
                name,
                project: None,
                service: None,
                image: "i".into(),
                image_id: "sha256:1".into(),
                run,
                restart_policy: RestartPolicy { name: policy.into(), retries_max: 0 },
                mounts: vec![],
                depends_on: vec![],
                stop_timeout: None,
                particulars: Particulars::default(),
                spec: serde_json::Value::Null,
            },
            member: true,
            mounts: true,
        };
        let mut containers = Vec::new();
        if survey.containers {
            let run = if self.running { RunState::Running } else { RunState::Stopped };
            containers.push(container("app".into(), run, if self.policy_always { "always" } else { "no" }));
            if self.prepared {
                containers.push(container(passing_name("app", state.plan.restore), RunState::Stopped, "no"));
            }
        }
        Facts {
            volumes: if survey.places { self.volumes.iter().map(places).collect() } else { vec![] },
            containers,
            safety_archive: survey.safety_archive && self.archived,
        }
    }

    /// Does a step; a step of several parts is done up to `parts` of them.
    pub fn perform(&mut self, state: &State, step: &Step, parts: usize) {
        match step {
            Step::Stage { volume } => {
                self.volumes[*volume].private = true;
                if parts > 0 {
                    let v = &mut self.volumes[*volume];
                    v.staged = match &mut v.kept {
                        Some((_, tree)) => tree.take(),
                        None => Some((restored(*volume), false)),
                    };
                    if let Some(placed) = &mut v.entries {
                        placed.staged = RESTORED_ENTRIES.to_vec();
                        placed.leaving = Some(vec![]);
                    }
                }
            }
            Step::KeepAttributes { volume } => {
                assert!(!self.running, "attributes are kept of what may still change");
                let placed = self.volumes[*volume].entries.as_mut().expect("a volume by entry");
                placed.kept_root = placed.live_root;
            }
            Step::Prepare { .. } => self.prepared = true,
            Step::Fence { .. } => self.policy_always = false,
            Step::Stop { .. } => self.running = false,
            Step::Switch { renames } => {
                assert!(!self.running && !self.policy_always, "a rename under a running or revivable app");
                assert!(state.committed.is_some(), "a rename before the commit");
                for (volume, rename) in renames.iter().take(parts) {
                    self.rename(*volume, *rename);
                }
                // The next one was cut off, in its middle if it has one.
                if let Some((volume, Rename::ByEntry(shift))) = renames.get(parts) {
                    self.volumes[*volume].entries.as_mut().expect("a volume by entry").shift(*shift, false);
                }
            }
            Step::Redeploy => {
                let want = match state.direction() {
                    Direction::Forward => restored,
                    Direction::Back | Direction::Undecided => original,
                };
                for (i, v) in self.volumes.iter().enumerate() {
                    if let Some(placed) = &v.entries {
                        placed.assert_all(state.direction() == Direction::Forward);
                        continue;
                    }
                    let had = state.plan.volumes[i].original.is_some();
                    if had || state.direction() == Direction::Forward {
                        assert_eq!(v.live.map(|d| d.0), Some(want(i)), "the app starts on the wrong data");
                    }
                }
                (self.running, self.policy_always, self.prepared) = (true, true, false);
            }
            Step::Capture => self.archived = true,
            Step::Discard { volume } => {
                let v = &mut self.volumes[*volume];
                let by_entry = v.entries.iter().flat_map(Placed::set_aside).next().is_some();
                let inside = by_entry || [v.staged, v.aside].iter().flatten().any(|d| d.0 == original(*volume));
                assert!(!inside || state.may_forget_originals(), "an original is deleted too early");
                let archived = self.archived || state.captured != Some(Safety::Taken);
                assert!(!inside || archived, "an original is deleted before it is archived");
                let kept = v.kept.is_some() && state.direction() == Direction::Back && v.staged.is_some();
                assert!(!kept, "what was kept is deleted on the way back");
                (v.staged, v.aside) = (None, None);
                if let Some(placed) = &mut v.entries {
                    (placed.staged, placed.leaving, placed.aside) = (vec![], None, None);
                }
                v.private = parts == 0;
            }
            Step::DiscardContainers => self.prepared = false,
            Step::GiveBack { volume } if parts > 0 => {
                let v = &mut self.volumes[*volume];
                if let Some(placed) = &mut v.entries {
                    assert_eq!(placed.staged, RESTORED_ENTRIES, "not all of what was kept is given back");
                    placed.staged.clear();
                }
                let (_, tree) = v.kept.as_mut().expect("a volume that was kept");
                *tree = v.staged.take();
            }
            Step::GiveBack { .. } => {}
            Step::DiscardKept { volume } => {
                let (private, tree) = self.volumes[*volume].kept.as_mut().expect("a volume that was kept");
                assert_eq!(*tree, None, "what was kept is deleted where it was kept");
                *private = parts == 0;
            }
        }
    }

    pub fn rename(&mut self, volume: usize, rename: Rename) {
        let v = &mut self.volumes[volume];
        match rename {
            Rename::Exchange => std::mem::swap(&mut v.live, &mut v.staged),
            Rename::SetAside => v.aside = v.live.take(),
            Rename::Install => v.live = v.staged.take(),
            Rename::TakeOut => v.staged = v.live.take(),
            Rename::PutBack => v.live = v.aside.take(),
            Rename::ClearLive => assert!(v.live.take().is_some_and(|d| d.1), "a directory with content is removed"),
            Rename::ByEntry(shift) => v.entries.as_mut().expect("a volume by entry").shift(shift, true),
        }
        let names = [v.live, v.staged, v.aside];
        assert!(names.iter().flatten().count() > 0);
    }

    /// The machine restarts: the engine starts what it may, and makes an empty directory where a source is missing.
    pub fn reboot(&mut self) {
        self.running = self.policy_always;
        if self.policy_always {
            for (i, v) in self.volumes.iter_mut().enumerate() {
                v.live.get_or_insert((foreign(i), true));
            }
        }
    }

    pub fn is_all(&self, state: &State, want: fn(usize) -> Identity) -> bool {
        self.volumes.iter().enumerate().all(|(i, v)| {
            if let Some(placed) = &v.entries {
                return placed.is_all(want(i) == restored(i));
            }
            let nothing_before = state.plan.volumes[i].original.is_none() && want(i) == original(i);
            v.live.map(|d| d.0) == Some(want(i)) || nothing_before && v.live.is_none_or(|d| d.1)
        })
    }
}

pub fn recorded(state: &State, entry: Entry) -> State {
    let mut state = state.clone();
    state.append(Record { at: Timestamp::UNIX_EPOCH, entry }).expect("the law allows what next records");
    state
}
