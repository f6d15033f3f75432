//! What must be true after a case: all volumes original or all restored, no write where none may be, the app as found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
};

use jiff::Timestamp;
use volsnap_core::model::RunState;

use super::{
    hands::{RENAMED, STRANGED, STRANGER},
    ledger::{Ledger, TODAY},
    world::{MEMBERS, Standing, World, Write},
};
use crate::trees::{self, Tree};

/// The clock of the witness ticks in hundredths of a second.
const TICK: f64 = 0.02;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// All volumes are as they were.
    Original,
    /// All volumes are restored.
    Restored,
}

/// What a case found, so that the oracle knows what must be found after it.
#[derive(Clone, Debug)]
pub struct Before {
    files: BTreeMap<&'static str, Tree>,
    logs: BTreeMap<&'static str, String>,
    inodes: BTreeMap<&'static str, u64>,
    witnessed: BTreeMap<&'static str, usize>,
    /// In which states each member may be at the end.
    pub runs: BTreeMap<&'static str, BTreeSet<Allowed>>,
    /// Containers that a person made or renamed, and that therefore may stand at the end.
    pub strangers: BTreeSet<String>,
    /// Whether a person started something: it may have run before volsnap could look.
    pub touched: bool,
}

/// How a member may be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It does not run.
    Stopped,
    /// There is none: a person removed it.
    Gone,
}

impl From<RunState> for Allowed {
    fn from(run: RunState) -> Self {
        match run {
            RunState::Running => Allowed::Running,
            RunState::Paused => Allowed::Paused,
            RunState::Stopped => Allowed::Stopped,
        }
    }
}

impl Before {
    /// The world as a case finds it.
    ///
    /// # Panics
    /// If a volume is missing.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let each = || MEMBERS.iter().map(|m| m.name);
        let inode = |name| fs::metadata(world.volume(name)).expect("a volume").ino();
        Before {
            // Before the logs: what is written in between is in the witness.
            witnessed: each().map(|name| (name, world.witnessed(name))).collect(),
            files: each().map(|name| (name, world.files(name))).collect(),
            logs: each().map(|name| (name, world.log(name))).collect(),
            inodes: each().map(|name| (name, inode(name))).collect(),
            runs: MEMBERS.iter().map(|m| (m.name, BTreeSet::from([m.run.into()]))).collect(),
            strangers: BTreeSet::new(),
            touched: false,
        }
    }
}

impl Before {
    /// What was stopped may run, if the engine started it.
    pub fn allow_revived(&mut self, standing: &BTreeMap<String, Standing>) {
        for member in MEMBERS.iter().filter(|m| m.run == RunState::Stopped) {
            if standing.get(member.name).is_some_and(|now| now.run == RunState::Running) {
                self.runs.entry(member.name).or_default().insert(Allowed::Running);
            }
        }
    }
}

/// Looks at everything. How it ended, or what is wrong.
pub fn look(world: &World, before: &Before) -> Result<End, Vec<String>> {
    let ledger = world.proxy.ledger();
    let mut wrongs = Vec::new();
    let ends: BTreeMap<&str, Option<End>> = MEMBERS.iter().map(|m| (m.name, end_of(world, before, m.name))).collect();
    let first = ends.values().next().copied().flatten();
    if first.is_none() || ends.values().any(|end| *end != first) {
        wrongs.push(format!("a mixture: {ends:?}"));
    }
    wrongs.extend(closed(world));
    wrongs.extend(containers(world, before));
    wrongs.extend(stranger(world, before, &ledger));
    if let Some(end) = first {
        for member in &MEMBERS {
            wrongs.extend(writes(world, before, &ledger, member.name, end));
        }
    }
    match (first, wrongs.is_empty()) {
        (Some(end), true) => Ok(end),
        _ => Err(wrongs),
    }
}

/// What a volume's files are, wholly.
fn end_of(world: &World, before: &Before, name: &str) -> Option<End> {
    let files = world.files(name);
    if files == before.files[name] {
        return Some(End::Original);
    }
    (files == world.saved[name] && !world.volume(name).join(TODAY).exists()).then_some(End::Restored)
}

/// Closed is clean.
fn closed(world: &World) -> Vec<String> {
    let mut wrongs = Vec::new();
    let litter = trees::litter(&world.volumes());
    if !litter.is_empty() {
        wrongs.push(format!("directories are left: {litter:?}"));
    }
    if !world.cli.journal(&world.workload).is_empty() {
        wrongs.push("the journal is left".into());
    }
    wrongs
}

/// The app is as it was found, each member once.
fn containers(world: &World, before: &Before) -> Vec<String> {
    let mut wrongs = Vec::new();
    let standing = world.standing();
    for name in standing.keys() {
        if MEMBERS.iter().all(|m| m.name != name) && !before.strangers.contains(name) {
            wrongs.push(format!("container {name} is left"));
        }
    }
    for member in &MEMBERS {
        let allowed = &before.runs[member.name];
        match standing.get(member.name) {
            None if allowed.contains(&Allowed::Gone) => {}
            None => wrongs.push(format!("container {} is gone", member.name)),
            Some(Standing { run, policy, image_id, .. }) => {
                if !allowed.contains(&(*run).into()) {
                    wrongs.push(format!("{} is {run:?}, not {allowed:?}", member.name));
                }
                // Somebody gave its replacement another name, and that is the app by now. The original has its own name
                // back, and stays fenced: two of them must never work on one volume.
                let is_superseded = member.name == "lasting" && standing.contains_key(RENAMED) && !run.is_active();
                if policy != member.policy && !is_superseded {
                    wrongs.push(format!("{} has the policy {policy}, not {}", member.name, member.policy));
                }
                if *image_id != world.image_id {
                    wrongs.push(format!("{} runs another image", member.name));
                }
            }
        }
    }
    let of_renamed = [standing.get(RENAMED), standing.get("lasting")];
    let running = of_renamed.into_iter().flatten().filter(|s| s.run == RunState::Running).count();
    if standing.contains_key(RENAMED) && running != 1 {
        wrongs.push(format!("{running} of the renamed member and its replacement run"));
    }
    wrongs
}

/// What a person started on a volume never ran while it was switched, nor afterwards on the original.
fn stranger(world: &World, before: &Before, ledger: &Ledger) -> Option<String> {
    let (from, to) = ledger.renames();
    let (from, to) = (up(from?) + TICK, up(to?) - TICK);
    let original = before.inodes[STRANGED];
    let wrong = |w: &Write| (from..to).contains(&w.up) || w.inode == original && w.up > from;
    let written = world.written(STRANGER, 0);
    let write = written.iter().find(|w| wrong(w))?;
    Some(format!("a stranger wrote during the switch: {}", write.line))
}

/// Every write went where it belongs, when it was allowed to, and is still there if its directory is live.
fn writes(world: &World, before: &Before, ledger: &Ledger, name: &str, end: End) -> Vec<String> {
    let mut wrongs = Vec::new();
    // First the log: what is written afterwards is in the witness alone, as the last of its start.
    let log = world.log(name);
    let written = world.written(name, before.witnessed[name]);
    let original = before.inodes[name];
    let live = fs::metadata(world.volume(name)).map(|metadata| metadata.ino()).unwrap_or_default();
    let settled = ledger.at("reverted").or(ledger.at("switched"));
    for write in &written {
        let during = |from: Option<Timestamp>, to: Option<Timestamp>| {
            from.is_some_and(|from| write.up > up(from) + TICK) && to.is_none_or(|to| write.up < up(to) - TICK)
        };
        let (quiet_from, quiet_to) = match before.touched {
            // What a person started ran until it was seen. Between that look and the renames nobody ran.
            true => ledger.renames(),
            false => (ledger.at("committed"), settled),
        };
        if during(quiet_from, quiet_to) {
            wrongs.push(format!("{name} wrote during the switch: {}", write.line));
        } else if write.inode != original && write.inode != live {
            wrongs.push(format!("{name} wrote into a directory that nobody knows: {}", write.line));
        } else if end == End::Restored && write.inode == original && during(ledger.at("switched"), None) {
            wrongs.push(format!("{name} wrote into the original that was set aside: {}", write.line));
        }
    }
    wrongs.extend(order(name, &written));
    let kept = match end {
        End::Original => &before.logs[name],
        End::Restored => &world.saved_log[name],
    };
    if !log.starts_with(kept.as_str()) {
        wrongs.push(format!("the log of {name} does not begin as it should"));
    }
    wrongs.extend(log_holds(name, end, &log, kept, &written, live));
    wrongs.truncate(6);
    wrongs
}

/// No two containers of one volume wrote at the same time: once another start writes, the earlier one is over.
fn order(name: &str, written: &[Write]) -> Option<String> {
    let mut over = BTreeSet::new();
    for (earlier, later) in written.iter().zip(written.iter().skip(1)).filter(|(a, b)| a.start != b.start) {
        over.insert(&earlier.start);
        if over.contains(&later.start) {
            return Some(format!("two containers wrote into {name} at the same time: {}", later.line));
        }
    }
    None
}

/// The log has what was kept, and everything that was written into its directory, and nothing else. The last write of
/// a start may have been cut off after the witness had it.
fn log_holds(name: &str, end: End, log: &str, kept: &str, written: &[Write], live: u64) -> Vec<String> {
    let mut wrongs = Vec::new();
    let logged: BTreeSet<&str> = log.lines().collect();
    let into_live: Vec<&Write> = written.iter().filter(|w| w.inode == live).collect();
    for (index, write) in into_live.iter().enumerate() {
        let last = into_live[index + 1..].iter().all(|later| later.start != write.start);
        // The log was read first: what follows its end came later.
        let later = into_live[index..].iter().all(|w| !logged.contains(w.line.as_str()));
        if !last && !later && !logged.contains(write.line.as_str()) {
            wrongs.push(format!("a write into {name} is lost: {}", write.line));
        }
    }
    let known: BTreeSet<&str> = kept.lines().chain(into_live.iter().map(|w| w.line.as_str())).collect();
    // The write that was under way when the case began was in the witness before, and in the log afterwards.
    let under_way = log.strip_prefix(kept).filter(|_| end == End::Original).and_then(|rest| rest.lines().next());
    let strange = logged.iter().find(|line| !known.contains(**line) && Some(**line) != under_way);
    wrongs.extend(strange.map(|line| format!("the log of {name} has a line of somewhere else: {line}")));
    wrongs
}

/// Seconds since the boot at an instant.
fn up(at: Timestamp) -> f64 {
    let now = fs::read_to_string("/proc/uptime").expect("the uptime");
    let now: f64 = now.split(' ').next().and_then(|up| up.parse().ok()).expect("seconds");
    now - Timestamp::now().duration_since(at).as_secs_f64()
}
