//! `bench freeze`: how long an app is frozen for a snapshot, on each of the filesystems where that is kept short.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::tables::{machine, table};
use crate::{
    block::Block,
    run::{Outcome, cargo, root, run, run_quietly},
    scratch::Scratch,
};

/// Where the figures stand in the README of the disk adapter.
pub const BLOCK: Block = Block { name: "bench freeze", command: "cargo xtask bench freeze --write" };

/// Of the time of a plain frozen copy, in hundredths.
const TARGET_PERCENT: f64 = 5.0;

/// A filesystem, and how often it is measured: the ones on loop devices less often.
const GROUNDS: [(&str, bool, usize); 3] = [("ext4", false, 5), ("xfs", true, 3), ("btrfs", true, 3)];

/// Medians of one filesystem, in milliseconds.
struct Measured {
    whole: f64,
    before: f64,
    frozen: f64,
    after: f64,
}

impl Measured {
    fn percent(&self) -> f64 {
        self.frozen * 100.0 / self.whole
    }
}

/// Measures, prints, and with `write` puts what it printed into the README. A missed target is an error, told after the
/// figures.
pub fn freeze(write: bool) -> Outcome {
    run(cargo(&["build", "--release", "--quiet", "--package", "volsnap-disk", "--example", "freeze"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir));
    let program = target.join("release/examples/freeze");
    let mut rows = Vec::new();
    let mut missed = Vec::new();
    for (kind, looped, rounds) in GROUNDS {
        let scratch = Scratch::new("bench")?;
        let dir = if looped { mount(scratch.path(), kind)? } else { scratch.path().to_path_buf() };
        let found = measure(&program, &dir, rounds)?;
        scratch.close()?;
        let name = if looped { format!("{kind} on a loop device") } else { "where the state lies".to_string() };
        if found.percent() > TARGET_PERCENT {
            missed.push(format!("{name}: {:.1} %", found.percent()));
        }
        let times = [found.whole, found.frozen].map(|ms| format!("{ms:.0} ms"));
        let total = found.before + found.frozen + found.after;
        let rest = [format!("{:.1} %", found.percent()), format!("{total:.0} ms"), format!("≤ {TARGET_PERCENT} %")];
        rows.push([vec![format!("{name}, median of {rounds}")], times.into(), rest.into()].concat());
    }
    let head = ["filesystem", "read as a whole, frozen", "in two passes, frozen", "of that", "in all", "target"];
    let head = head.map(str::to_string);
    let block =
        [vec![format!("{}.", machine(Path::new("/var/tmp"))), String::new()], table(&head, &rows)].concat().join("\n");
    println!("{block}");
    if write {
        BLOCK.write(&root().join("adapters/disk/README.md"), &block)?;
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("targets missed: {}", missed.join("; "))) }
}

/// Mounts a filesystem of that kind below the directory; whoever removes the directory unmounts it.
fn mount(dir: &Path, kind: &str) -> Outcome<PathBuf> {
    let (image, at) = (dir.join("image"), dir.join("mnt"));
    let io = |e: std::io::Error| format!("cannot make a filesystem: {e}");
    fs::File::create(&image).and_then(|file| file.set_len(12 << 30)).map_err(io)?;
    fs::create_dir(&at).map_err(io)?;
    let mut make = Command::new(format!("mkfs.{kind}"));
    make.arg("-q").arg(&image);
    run_quietly(make)?;
    let mut mount = Command::new("mount");
    mount.args(["-o", "loop"]).arg(image).arg(&at);
    run_quietly(mount)?;
    Ok(at)
}

fn measure(program: &Path, dir: &Path, rounds: usize) -> Outcome<Measured> {
    eprintln!("$ freeze {} {rounds}", dir.display());
    let output = Command::new(program).arg(dir).arg(rounds.to_string()).output();
    let output = output.map_err(|e| format!("cannot run {}: {e}", program.display()))?;
    if !output.status.success() {
        return Err(format!("freeze failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let mut columns: [Vec<f64>; 4] = Default::default();
    for line in said.lines() {
        for (column, number) in columns.iter_mut().zip(line.split(' ')) {
            column.push(number.parse().map_err(|_| format!("`{line}` is no line of times"))?);
        }
    }
    if columns.iter().any(|column| column.len() != rounds) {
        return Err(format!("{rounds} rounds were asked for: {said}"));
    }
    let [whole, before, frozen, after] = columns.map(|mut column| {
        column.sort_by(f64::total_cmp);
        column[rounds / 2]
    });
    Ok(Measured { whole, before, frozen, after })
}
