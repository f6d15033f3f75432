//! How long an app would be frozen for a snapshot of 2 GiB of which one hundredth changes meanwhile: read as a whole
//! while it is frozen, and read before with only the changes captured. `cargo xtask bench freeze` runs it on several
//! filesystems. Without an app there are no calls to a container engine in the times.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use uuid::Uuid;
use volsnap_core::{
    model::{Manifest, ManifestVolume, Mode, Origin, SnapshotId, Source, WorkloadId, snapshot::ARCHIVE_FORMAT},
    ports::{ArchiveSource, Archives, Quiet},
};
use volsnap_disk::Disk;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Files of each of two sizes: how many, how large, and how many of them change.
const FILES: [(usize, usize, usize); 2] = [(96, 16 << 20, 1), (32_768, 16 << 10, 328)];

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(rounds)) = (arguments.next(), arguments.next()) else {
        return Err("usage: freeze DIRECTORY ROUNDS".into());
    };
    let (dir, rounds) = (PathBuf::from(dir), rounds.parse::<u64>()?);
    let volume = dir.join("volume");
    fill(&volume)?;
    let disk = Disk::open(&dir.join("state"))?;
    for round in 1..=rounds {
        // What is younger is not trusted to stay as it was read.
        sleep(Duration::from_secs(4));
        let (manifest, sources) =
            (manifest(round), [ArchiveSource { target: "/data".into(), root: Some(volume.clone()) }]);
        let began = Instant::now();
        drop(disk.draft_archive(&manifest, &sources, Arc::new(Quiet)).await?);
        let whole = began.elapsed();

        let began = Instant::now();
        let precopy = disk.precopy(&manifest, &sources, Arc::new(Quiet)).await?;
        let precopy = precopy.ok_or("this filesystem is read as a whole while the app is frozen")?;
        let before = began.elapsed();
        change(&volume, round)?;
        let began = Instant::now();
        let draft = precopy.capture(Arc::new(Quiet)).await?;
        let frozen = began.elapsed();
        let began = Instant::now();
        draft.seal(0).await?;
        let after = began.elapsed();
        disk.remove_archive(manifest.workload, manifest.snapshot).await?;
        let ms = [whole, before, frozen, after].map(|time| format!("{:.1}", time.as_secs_f64() * 1000.0));
        println!("{}", ms.join(" "));
    }
    Ok(())
}

fn manifest(round: u64) -> Manifest {
    Manifest {
        format: ARCHIVE_FORMAT,
        snapshot: SnapshotId(Uuid::from_u128(round.into())),
        workload: WorkloadId(Uuid::from_u128(1)),
        workload_name: "bench".into(),
        source: Source::Directories,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        mode: Mode::Pause,
        origin: Origin::Manual,
        note: None,
        images: Vec::new(),
        volumes: vec![ManifestVolume { target: "/data".into(), absent: false, ..ManifestVolume::default() }],
        registration: None,
        imported: None,
        sequence: None,
    }
}

fn file(volume: &Path, size: usize, number: usize) -> PathBuf {
    volume.join(format!("{size}-{}", number / 1000)).join(number.to_string())
}

fn fill(volume: &Path) -> Outcome<()> {
    for (count, size, _) in FILES {
        for number in 0..count {
            let file = file(volume, size, number);
            fs::create_dir_all(file.parent().ok_or("a file has a directory")?)?;
            fs::write(file, contents((size + number) as u64, size))?;
        }
    }
    Ok(())
}

/// Half of it noise, half of it of one byte.
fn contents(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![b'v'; size];
    let mut noise = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    bytes.chunks_mut(4096).for_each(|chunk| noise.fill(&mut chunk[..2048]));
    bytes
}

/// Writes as an app does, in place and at one spot of each file: which parts of a file changed nobody knows.
fn change(volume: &Path, round: u64) -> Outcome<()> {
    for (count, size, changes) in FILES {
        for number in 0..changes {
            // Others each time, spread over all.
            let number = (number * (count / changes) + usize::try_from(round)?) % count;
            let file = OpenOptions::new().write(true).open(file(volume, size, number))?;
            file.write_all_at(&round.to_le_bytes(), size as u64 / 2)?;
        }
    }
    Ok(())
}
