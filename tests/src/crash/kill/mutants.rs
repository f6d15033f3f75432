//! Engines with a fault, and whether the tier notices them.
//!
//! The fault is made at the edge of the process: a call is not done and says that it was, which is what an engine that
//! drops the call, or its error, does. Dropped syncs are not among them: a killed process loses nothing, so they show
//! only where the power is cut.

use std::path::Path;

use super::{
    Bench, Run, ended,
    judge::Wrongs,
    odd,
    scene::SHAPES,
    tracer::{Fault, Use},
};
use crate::crash::Met;

/// A fault: which calls are dropped, and whether the process is killed besides, at each use in turn after the first of
/// them.
struct Mutant {
    name: &'static str,
    drops: fn(&Use, &Progress) -> bool,
    killed: bool,
}

/// How far a restore has come.
#[derive(Default)]
struct Progress {
    /// Replacements of the journal after its first.
    entries: usize,
}

fn is_staged(one: &Use, call: &str) -> bool {
    one.call == call && one.what.contains("/partial/")
}

fn is_entry(one: &Use) -> bool {
    one.call == "renameat2" && one.what == "state/journal/ID.json"
}

const MUTANTS: [Mutant; 9] = [
    Mutant { name: "staged contents are not written", drops: |one, _| is_staged(one, "pwrite64"), killed: false },
    Mutant { name: "staged modes are not set", drops: |one, _| is_staged(one, "fchmod"), killed: false },
    Mutant { name: "staged owners are not set", drops: |one, _| is_staged(one, "fchown"), killed: false },
    Mutant { name: "staged times are not set", drops: |one, _| is_staged(one, "utimensat"), killed: false },
    Mutant { name: "staged attributes are not set", drops: |one, _| is_staged(one, "fsetxattr"), killed: false },
    Mutant { name: "staged inode flags are not set", drops: |one, _| is_staged(one, "ioctl"), killed: false },
    Mutant { name: "staged hard links are not made", drops: |one, _| is_staged(one, "linkat"), killed: false },
    Mutant {
        name: "Committed is not written",
        drops: |one, progress| is_entry(one) && progress.entries == 2,
        killed: true,
    },
    // The last resort of a lazy harness: it looks before anybody has recovered.
    Mutant { name: "nobody recovers", drops: |_, _| false, killed: true },
];

/// A call that another one took the number of is looked for this many times.
const ATTEMPTS: usize = 4;

/// Runs each mutant until it shows; `None` where the machine has no world for it.
pub fn mutants(launcher: &Path) -> Option<Vec<Met>> {
    let bench = Bench::build(SHAPES[0], launcher)?;
    let uses = bench.restore(|_, _| None).1.uses.len();
    let meet = |mutant: &Mutant| {
        let kills: Vec<Option<usize>> = if mutant.killed { (1..uses).map(Some).collect() } else { vec![None] };
        let mut tried = 0;
        for kill in kills {
            let (struck, wrongs) = run(&bench, mutant, kill);
            tried += u64::from(struck);
            if let Some(sign) = wrongs.first().filter(|_| struck) {
                return Met { mutant: mutant.name, caught_after: Some(tried), sign: sign.clone() };
            }
        }
        Met { mutant: mutant.name, caught_after: None, sign: String::new() }
    };
    // Without root there is but one owner.
    let shows = |mutant: &&Mutant| mutant.name != "staged owners are not set" || rustix::process::geteuid().is_root();
    Some(MUTANTS.iter().filter(shows).map(meet).collect())
}

/// Says also whether the fault was met at all.
fn run(bench: &Bench, mutant: &Mutant, kill: Option<usize>) -> (bool, Wrongs) {
    let mut progress = Progress::default();
    let mut dropped = 0;
    let (before, traced) = bench.restore(|nth, one| {
        progress.entries += usize::from(is_entry(one));
        if kill == Some(nth) {
            return Some(Fault::Kill);
        }
        let drops = (mutant.drops)(one, &progress);
        dropped += usize::from(drops);
        drops.then_some(Fault::Lie)
    });
    let mut seen = bench.scene.see();
    let mut wrongs = odd(&traced);
    match kill {
        None => wrongs.extend(before.restored(&traced, &seen)),
        Some(_) if mutant.name == "nobody recovers" => wrongs.extend(before.clean(&seen, None)),
        Some(_) if dropped > 0 => {
            let traced = bench.recover(|_, _| None);
            let earlier = std::mem::replace(&mut seen, bench.scene.see());
            wrongs.extend(ended(&before, &traced, &seen, &earlier));
        }
        Some(_) => {}
    }
    (dropped > 0 || mutant.name == "nobody recovers", wrongs)
}

/// A kernel that says it has changed a name and has not, once in each restore, at each change in turn. What must hold
/// is the same as ever, since nothing is remembered that can be seen: the answer is true, and a recovery ends it.
///
/// Left out are the names inside a tree that is being staged, which nobody looks at again, and the removal of the
/// journal, after which there is nothing more to do.
pub fn names_that_did_not_change(launcher: &Path) -> Option<Vec<(usize, Run)>> {
    let bench = Bench::build(SHAPES[0], launcher)?;
    let uses = bench.restore(|_, _| None).1.uses;
    let changes = |one: &Use| {
        ["rename", "unlink", "mkdir"].iter().any(|call| one.call.starts_with(call))
            && !one.what.contains("/partial/")
            && !(one.call == "unlinkat" && one.what.starts_with("state/journal/"))
    };
    let numbers = uses.iter().enumerate().filter(|(_, one)| changes(one)).map(|(index, _)| index + 1);
    // Threads take turns a little differently now and then, and another call has that number.
    let meets = |nth: usize| {
        let mut runs = (0..ATTEMPTS).map(|_| bench.chain(&vec![(nth, Fault::Lie)], false));
        let run = runs.find(|run| run.struck.iter().all(|(one, _)| changes(one)))?;
        Some((nth, run))
    };
    Some(numbers.filter_map(meets).collect())
}
