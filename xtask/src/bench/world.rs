//! The worlds that are measured: little data, many bytes, many files, on plain directories and under a container.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{ROUNDS, figures::Measured, memory};
use crate::{
    engine::{Engine, Run},
    run::Outcome,
    volsnap::{Volsnap, number, text},
};

/// How much data.
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// For the heads of tables.
    pub title: &'static str,
    /// Bytes in all files together.
    pub bytes: u64,
    /// Files.
    pub files: u64,
}

/// The first is what the others are compared with.
pub const WORLDS: [World; 3] = [
    World { name: "little", title: "10 MB in 20 files", bytes: 10_000_000, files: 20 },
    World { name: "bytes", title: "2 GB in 20 files", bytes: 2_000_000_000, files: 20 },
    World { name: "files", title: "10 MB in 100,000 files", bytes: 10_000_000, files: 100_000 },
];

/// Files in one directory, as applications spread them.
const FILES_PER_DIRECTORY: u64 = 1000;

/// Ends at once when it is asked to, so that the engine's share stays small.
const SCRIPT: &str = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";

/// The data of all worlds, and the binary that is measured on them.
pub struct Arena {
    dir: PathBuf,
    binary: PathBuf,
}

impl Arena {
    /// Writes the data.
    pub fn fill(dir: &Path, binary: &Path) -> Outcome<Self> {
        let arena = Arena { dir: dir.to_path_buf(), binary: binary.to_path_buf() };
        for world in &WORLDS {
            eprintln!("writing {}", world.title);
            write(&arena.live(world), world).map_err(|e| format!("cannot write {}: {e}", world.title))?;
        }
        Ok(arena)
    }

    /// Restores every world in turn, several rounds, so that what the machine does meanwhile falls on all of them alike.
    pub fn measure(&self, engine: Option<&Engine>) -> Outcome<Vec<Measured>> {
        let state = self.dir.join(if engine.is_some() { "state-containers" } else { "state-directories" });
        let volsnap = Volsnap::new(&self.binary, &state, engine.map(Engine::host));
        let mut measured = Vec::new();
        let mut snapshots = Vec::new();
        for world in &WORLDS {
            self.register(&volsnap, world, engine)?;
            eprintln!("create: {}", world.title);
            let (made, peak) = memory::run(volsnap.command(&["create", world.name]))?;
            snapshots.push(text(&made, "id")?);
            measured.push(Measured { create_peak_bytes: peak, ..Measured::default() });
        }
        for round in 1..=ROUNDS {
            for ((world, snapshot), measured) in WORLDS.iter().zip(&snapshots).zip(&mut measured) {
                eprintln!("restore {round} of {ROUNDS}: {}", world.title);
                let mut words = vec!["restore", world.name, snapshot, "--yes"];
                // The first round is a restore as people do it; the others leave out what comes after the downtime.
                if round > 1 {
                    words.push("--no-safety-snapshot");
                }
                let (report, peak) = memory::run(volsnap.command(&words))?;
                measured.restore_peak_bytes = measured.restore_peak_bytes.max(peak);
                note(measured, &report)?;
            }
        }
        Ok(measured)
    }

    fn live(&self, world: &World) -> PathBuf {
        self.dir.join(world.name)
    }

    fn register(&self, volsnap: &Volsnap, world: &World, engine: Option<&Engine>) -> Outcome {
        let live = self.live(world).display().to_string();
        let (option, value) = match engine {
            None => ("--volume", format!("/data={live}")),
            Some(engine) => {
                let name = format!("{}-{}", engine.prefix, world.name);
                engine.run(&Run { name: &name, script: SCRIPT, mounts: &[format!("{live}:/data")] })?;
                ("--container", name)
            }
        };
        volsnap.run(&["workload", "add", world.name, option, &value]).map(drop)
    }
}

fn note(measured: &mut Measured, report: &Value) -> Outcome {
    if report["outcome"] != "restored" {
        return Err(format!("a restore went wrong: {report}"));
    }
    let (down, engine) = (number(report, "downtime_us")?, number(report, "engine_us")?);
    measured.own_us.push(down.saturating_sub(engine));
    measured.engine_us.push(engine);
    Ok(())
}

/// Bytes that do not compress, in files of equal size.
fn write(dir: &Path, world: &World) -> io::Result<()> {
    let mut random = fs::File::open("/dev/urandom")?;
    let size = world.bytes / world.files;
    let mut block = vec![0; 1 << 20];
    for file in 0..world.files {
        let parent = dir.join(format!("{:03}", file / FILES_PER_DIRECTORY));
        if file % FILES_PER_DIRECTORY == 0 {
            fs::create_dir_all(&parent)?;
        }
        let mut out = fs::File::create(parent.join(format!("{file:06}")))?;
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 {
            let part = left.min(block.len());
            random.read_exact(&mut block[..part])?;
            out.write_all(&block[..part])?;
            left -= part;
        }
    }
    Ok(())
}
