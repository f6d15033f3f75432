//! Snapshots: listed, shown, verified, pruned, and the trail of what happened to them.

use std::io;

use jiff::Timestamp;
use volsnap::{
    model::Mode,
    view::{EventsView, PruneView, SnapshotView, SnapshotVolumeView, SnapshotsView, VerifiedView},
};

use super::table::{
    Column::{Number, Text},
    age, bytes, join, labelled, milliseconds, number, table, table_in, time,
};
use crate::cli::{plain::line, width::Width};

/// The answer of `list`. A terminal that has no room for whole ids shows their beginnings, which name a snapshot too.
pub fn snapshots(view: &SnapshotsView) -> String {
    let (now, width) = (Timestamp::now(), Width::of(&io::stdout()));
    let row = |s: &SnapshotView| {
        let old = age(now.duration_since(s.created_at).as_secs());
        let proved = s.proved_at.map_or_else(|| "-".into(), |at| age(now.duration_since(at).as_secs()));
        let pin = if s.pinned { "pinned" } else { "" }.to_string();
        let archive = match &s.archive_problem {
            None => bytes(s.archive_bytes),
            Some(_) if s.archive_missing => "missing".into(),
            Some(_) => "damaged".into(),
        };
        let data = bytes(s.volumes.iter().map(|v| v.bytes).sum());
        [old, proved, kind(s), data, archive, pin, s.note.clone().unwrap_or_default()]
    };
    let columns =
        || [Text("AGE"), Text("PROVED"), Text("MODE"), Number("DATA"), Number("ARCHIVE"), Text("PIN"), Text("NOTE")];
    let [old, proved, mode, data, archive, pin, note] = columns();
    let (id, workload, created) = (Text("SNAPSHOT"), Text("WORKLOAD"), Text("CREATED"));
    let all = table_in(
        Width::ANY,
        [id, workload, created, old, proved, mode, data, archive, pin, note],
        view.snapshots.iter().map(|s| {
            let [old, proved, mode, data, archive, pin, note] = row(s);
            let (id, workload, created) = (s.id.to_string(), s.workload.clone(), time(s.created_at));
            [id, workload, created, old, proved, mode, data, archive, pin, note]
        }),
    );
    if width.holds(&all) {
        return or(all, "no snapshots yet; take one with `volsnap create WORKLOAD`");
    }
    // What is left out here is in `show`.
    let [old, _, mode, data, archive, _, note] = columns();
    table_in(
        width,
        [Text("SNAPSHOT"), Text("WORKLOAD"), old, mode, data, archive, note],
        view.snapshots.iter().map(|s| {
            let [old, _, mode, data, archive, _, note] = row(s);
            // Two snapshots of one millisecond do not happen to people.
            let beginning: String = s.id.to_string().chars().take(13).collect();
            [beginning, s.workload.clone(), old, mode, data, archive, note]
        }),
    )
}

fn kind(snapshot: &SnapshotView) -> String {
    let origins = [Some(snapshot.origin), snapshot.imported.as_ref().map(|was| was.origin)];
    match origins.contains(&Some("pre-restore")) {
        true => "pre-restore".into(),
        false => mode(snapshot).to_string(),
    }
}

fn mode(snapshot: &SnapshotView) -> &'static str {
    match snapshot.mode {
        Mode::Pause => "pause",
        Mode::Stop => "stop",
        Mode::Live => "live",
    }
}

/// One line about a snapshot that was just taken.
pub fn created(s: &SnapshotView) -> String {
    let entries = number(s.volumes.iter().map(|v| v.entries).sum());
    let data = bytes(s.volumes.iter().map(|v| v.bytes).sum());
    let quiet = match (s.mode, s.quiesced_ms) {
        (_, 0) => "was never stopped".to_string(),
        (Mode::Pause | Mode::Live, ms) => format!("was frozen for {}", milliseconds(ms)),
        (Mode::Stop, ms) => format!("was down for {}", milliseconds(ms)),
    };
    format!(
        "took a snapshot of {}: {data} in {entries} entries, archive {}; it {quiet}",
        s.workload,
        bytes(s.archive_bytes)
    )
}

/// The answer of `show`.
pub fn snapshot(s: &SnapshotView) -> String {
    let volumes = table(
        [Text("VOLUME"), Number("SIZE"), Number("ENTRIES"), Text("DIGEST")],
        s.volumes.iter().map(|v| {
            let target = match v.absent {
                true => format!("{} (absent)", v.target),
                false => v.target.clone(),
            };
            [target, bytes(v.bytes), number(v.entries), v.digest.clone()]
        }),
    );
    let all = |names: fn(&SnapshotVolumeView) -> &Vec<String>| -> Vec<String> {
        s.volumes.iter().flat_map(|v| names(v).iter().map(|name| line(&format!("{}: {name}", v.target)))).collect()
    };
    join([
        format!("snapshot  {}", s.id),
        format!("workload  {} ({})", line(&s.workload), s.workload_id),
        format!(
            "created   {} ({} old)",
            time(s.created_at),
            age(Timestamp::now().duration_since(s.created_at).as_secs())
        ),
        format!("mode      {}, app quiet for {}", mode(s), milliseconds(s.quiesced_ms)),
        s.restore_id.map_or_else(String::new, |restore| format!("origin    {} of restore {restore}", s.origin)),
        s.imported.as_ref().map_or_else(String::new, |was| {
            format!("imported  it was {} of {} ({})", was.snapshot, line(&was.workload), was.workload_id)
        }),
        s.note.as_ref().map_or_else(String::new, |note| format!("note      {}", line(note))),
        s.images
            .iter()
            .map(|i| line(&format!("image     {}: {} {}", i.container, i.image, i.image_id)))
            .collect::<Vec<_>>()
            .join("\n"),
        format!("archive   {} ({})", s.archive, bytes(s.archive_bytes)),
        s.archive_problem.as_ref().map_or_else(String::new, |problem| format!("problem   the archive: {problem}")),
        format!("digest    {}", s.digest),
        format!("verified  {}", s.verified_at.map_or("never".into(), time)),
        format!("proved    {}", s.proved_at.map_or("never".into(), time)),
        s.booted_at.map_or_else(String::new, |at| format!("booted    {}", time(at))),
        s.pinned_at.map_or_else(String::new, |at| format!("pinned    {}{}", time(at), in_brackets(&s.pin_note))),
        volumes,
        labelled("warning", &all(|v| &v.unsteady)),
        labelled("restored without this flag", &all(|v| &v.immutable_names)),
    ])
}

/// The answer of `pin` and `unpin`.
pub fn pinned(s: &SnapshotView) -> String {
    match s.pinned {
        true => format!("pinned {} of {}{}", s.id, s.workload, in_brackets(&s.pin_note)),
        false => format!("{} of {} is not pinned any more", s.id, s.workload),
    }
}

fn in_brackets(note: &Option<String>) -> String {
    note.as_ref().map_or_else(String::new, |note| format!(" ({})", line(note)))
}

/// The answer of `verify`.
pub fn verified(views: &[VerifiedView]) -> String {
    let lines = views.iter().map(|v| match &v.error {
        None => format!("{} of {}: good, {} read", v.snapshot, v.workload, bytes(v.bytes_read)),
        Some(error) => format!("{} of {}: {}: {}", v.snapshot, v.workload, error.code, error.message),
    });
    or(join(lines), "no snapshots to verify")
}

/// The answer of `prune`.
pub fn pruned(view: &PruneView) -> String {
    let gone = match view.dry_run {
        true => "would be deleted",
        false => "deleted",
    };
    let rows = view.snapshots.iter().map(|s| {
        let verdict = match s.kept_by.is_empty() {
            true => format!("{gone}: no rule keeps it"),
            false => format!("kept: {}", s.kept_by.join(", ")),
        };
        [s.id.to_string(), s.workload.clone(), time(s.created_at), verdict]
    });
    let columns = [Text("SNAPSHOT"), Text("WORKLOAD"), Text("CREATED"), Text("VERDICT")];
    let left_alone = view.left_alone.iter().map(|name| format!("{name}: left alone, no rule says what to keep"));
    let failed = view.errors.iter().map(|f| format!("not pruned: {}: {}", f.error.code, f.error.message));
    or(join([table(columns, rows)].into_iter().chain(left_alone).chain(failed)), "no snapshots to prune")
}

/// The answer of `events`.
pub fn events(view: &EventsView) -> String {
    let rows = view.events.iter().map(|e| {
        let kind = serde_json::to_value(e.kind).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default();
        let about = ["restore_id", "snapshot"].iter().find_map(|key| e.detail[key].as_str());
        [time(e.at), e.workload.clone(), kind, e.outcome.clone(), about.unwrap_or_default().to_string()]
    });
    let columns = [Text("AT"), Text("WORKLOAD"), Text("WHAT"), Text("OUTCOME"), Text("ID")];
    or(table(columns, rows), "no events yet")
}

fn or(text: String, otherwise: &str) -> String {
    match text.is_empty() {
        true => otherwise.to_string(),
        false => text,
    }
}
