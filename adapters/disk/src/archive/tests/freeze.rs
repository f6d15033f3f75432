//! An archive in two passes has the state of the second one, exactly, whatever happened before, between and after.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, sleep},
    time::Duration,
};

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use uuid::Uuid;
use volsnap_core::{
    model::{ArchiveSummary, SnapshotId},
    ports::{DraftArchive, FsErrorKind, Watch},
};

use super::{
    changes::{change, make_noise, steps},
    interop::have,
    mounted::Mounted,
    random::{build, things},
    roundtrip::{furnish, set_times},
    scene::{Impatient, JOBS, Scene, quiet, seal, verify},
};
use crate::archive::{Precopied, format::FRAME_MAX, format::Frame, open::Archive, precopy};

/// Until what stands now is old enough to be trusted not to change unseen.
fn age() {
    sleep(Duration::from_millis(3200));
}

impl Scene {
    fn precopy(&self) -> Precopied {
        precopy(&self.archives(), &self.manifest, &self.sources(), JOBS, &quiet()).unwrap().unwrap()
    }

    /// The frames of the volumes as a plain archive has them now.
    fn plainly(&mut self) -> (ArchiveSummary, Vec<Frame>) {
        let own = std::mem::replace(&mut self.manifest.snapshot, SnapshotId(Uuid::from_u128(0x99)));
        let summary = self.pack();
        let frames = self.frames();
        fs::remove_file(self.archive()).unwrap();
        self.manifest.snapshot = own;
        (summary, frames)
    }

    /// All frames but that of the manifest.
    fn frames(&self) -> Vec<Frame> {
        Archive::open(&self.archive(), JOBS).unwrap().index.frames.split_off(1)
    }

    /// Seals it, and holds it against a plain archive.
    fn assert_exact(&self, draft: Box<dyn DraftArchive>, (plain, plain_frames): &(ArchiveSummary, Vec<Frame>)) {
        let sealed = seal(draft).unwrap();
        assert_eq!(sealed.totals, plain.totals);
        assert_eq!(&self.frames(), plain_frames);
        verify(&self.archive(), &quiet()).unwrap();
        assert_eq!(self.names(), [format!("{}.tar.zst", self.manifest.snapshot)]);
    }

    /// What lies in the directory of the archives.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.archives()).unwrap();
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn value<S: Strategy>(runner: &mut TestRunner, strategy: S) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

/// Many trees at once, since what is old enough to be kept takes seconds to become so.
#[test]
fn an_archive_has_the_state_of_the_freeze_whatever_changes_before_and_after() {
    const TREES: usize = 12;
    Mounted::each(|base| {
        let mut runner = TestRunner::new(ProptestConfig::default());
        let mut scene = Scene::new_in(base, TREES);
        for tree in 0..TREES {
            let root = scene.volume(tree);
            build(&root, &value(&mut runner, things(false)));
            for (big, seed) in ["0", "b", "\u{fe}"].into_iter().zip(0..) {
                let length = value(&mut runner, 1..2 * FRAME_MAX);
                make_noise(&root.join(big), seed, length);
            }
        }
        age();
        let precopied = scene.precopy();
        let changes: Vec<_> = (0..TREES).map(|_| value(&mut runner, steps(6))).collect();
        (0..TREES).for_each(|tree| change(&scene.volume(tree), &changes[tree]));
        let plain = scene.plainly();
        let draft = precopied.capture(&quiet()).unwrap();
        (0..TREES).for_each(|tree| change(&scene.volume(tree), &value(&mut runner, steps(10))));
        eprintln!("{changes:?}"); // To be seen where it fails.
        scene.assert_exact(draft, &plain);
    });
}

/// All that a tree may have, then one thing after the other is changed, each noticed in its own snapshot.
#[test]
fn what_did_not_change_is_not_read_again_and_an_unchanged_archive_is_not_written_twice() {
    let mut scene = Scene::new(3);
    scene.manifest.volumes[1].absent = true;
    furnish(&scene.volume(0));
    make_noise(&scene.volume(2).join("big"), 1, 3 * FRAME_MAX);
    fs::write(scene.volume(2).join("z"), "as it was").unwrap();
    age();
    let plain = scene.plainly();
    let precopied = scene.precopy();
    let first = fs::metadata(scene.archives().join(&scene.names()[0])).unwrap().ino();
    let draft = precopied.capture(&quiet()).unwrap();
    fs::write(scene.volume(2).join("z"), "changed").unwrap();
    scene.assert_exact(draft, &plain);
    assert_eq!(fs::metadata(scene.archive()).unwrap().ino(), first);
    fs::remove_file(scene.archive()).unwrap();

    // Now one file is captured, of four that are large enough to be seen in what is read.
    let precopied = scene.precopy();
    fs::write(scene.volume(2).join("z"), "changed again").unwrap();
    let plain = scene.plainly();
    let before = bytes_read();
    let draft = precopied.capture(&quiet()).unwrap();
    assert!(bytes_read() - before < FRAME_MAX as u64, "{} bytes were read", bytes_read() - before);
    scene.assert_exact(draft, &plain);
    assert_ne!(fs::metadata(scene.archive()).unwrap().ino(), first);
}

/// The copy is of no one point in time, and fails at nothing that vanishes under it.
#[test]
fn an_app_that_never_rests_is_copied_and_captured_as_it_is_when_it_is_frozen() {
    let mut runner = TestRunner::new(ProptestConfig::default());
    let mut scene = Scene::new(2);
    for volume in 0..2 {
        build(&scene.volume(volume), &value(&mut runner, things(false)));
        make_noise(&scene.volume(volume).join("still"), volume as u64, FRAME_MAX);
    }
    age();
    for _ in 0..4 {
        let steps: Vec<_> = (0..50).map(|_| value(&mut runner, steps(10))).collect();
        let frozen = AtomicBool::new(false);
        let precopied = thread::scope(|scope| {
            scope.spawn(|| {
                for steps in steps.iter().cycle().take_while(|_| !frozen.load(Ordering::Relaxed)) {
                    let dir = scene.volume(1).join("comes and goes");
                    fs::create_dir_all(dir.join("a")).unwrap();
                    fs::write(dir.join("b"), "b").unwrap();
                    change(&scene.volume(0), steps);
                    fs::remove_dir_all(dir).unwrap();
                }
            });
            let precopied = precopy(&scene.archives(), &scene.manifest, &scene.sources(), JOBS, &quiet());
            frozen.store(true, Ordering::Relaxed);
            precopied.unwrap().unwrap()
        });
        let plain = scene.plainly();
        scene.assert_exact(precopied.capture(&quiet()).unwrap(), &plain);
    }
}

/// What this thread has read by system calls.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    read.parse().unwrap()
}

/// An app that keeps a file mapped and stores into it, before the snapshot and between the passes, without any system
/// call that could move a time.
#[test]
fn a_store_into_a_shared_mapping_is_noticed() {
    if !have(&["python3"]) {
        return;
    }
    const APP: &str = "import mmap, sys
f = open(sys.argv[1], 'r+b')
m = mmap.mmap(f.fileno(), 0)
for line in sys.stdin:
    m[int(line)] = 33
    print(flush=True)";
    Mounted::each(|base| {
        let mut scene = Scene::new_in(base, 1);
        let file = scene.volume(0).join("mapped");
        make_noise(&file, 1, FRAME_MAX + 5000);
        let mut app = Command::new("python3");
        app.args(["-c", APP]).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut app = app.spawn().unwrap();
        let mut told = BufReader::new(app.stdout.take().unwrap());
        let mut orders = app.stdin.take().unwrap();
        let mut store = |place: usize| {
            writeln!(orders, "{place}").unwrap();
            told.read_line(&mut String::new()).unwrap();
        };
        store(7);
        age();
        // The page is writable still, unless the kernel has written it back by chance: this store moves no time.
        store(8);
        let precopied = scene.precopy();
        store(9);
        let plain = scene.plainly();
        let draft = precopied.capture(&quiet()).unwrap();
        store(10);
        scene.assert_exact(draft, &plain);
        drop(orders);
        app.wait().unwrap();
    });
}

#[test]
fn a_volume_in_memory_is_read_as_a_whole_while_the_app_is_quiet() {
    let Some(memory) = Mounted::new("tmpfs") else { return };
    let alone = Scene::new_in(&memory.path(), 1);
    assert!(precopy(&alone.archives(), &alone.manifest, &alone.sources(), JOBS, &quiet()).unwrap().is_none());
    assert!(!alone.archives().exists());

    // Between two others.
    let mut scene = Scene::new(3);
    let mount = |at: &Path| Command::new("mount").arg("--bind").arg(memory.path()).arg(at).status().unwrap();
    assert!(mount(&scene.volume(1)).success());
    for volume in 0..3 {
        make_noise(&scene.volume(volume).join("a"), volume as u64, FRAME_MAX + volume);
    }
    age();
    let precopied = scene.precopy();
    fs::write(scene.volume(0).join("b"), "new").unwrap();
    make_noise(&scene.volume(1).join("a"), 5, FRAME_MAX + 1);
    let plain = scene.plainly();
    let draft = precopied.capture(&quiet()).unwrap();
    fs::write(scene.volume(1).join("b"), "later").unwrap();
    scene.assert_exact(draft, &plain);
    Command::new("umount").arg(scene.volume(1)).status().unwrap();
}

/// Stops at each of the first questions whether to go on, and at ever later ones, in every step.
#[test]
fn a_snapshot_that_is_given_up_leaves_nothing() {
    let mut scene = Scene::new(1);
    make_noise(&scene.volume(0).join("a"), 1, 2 * FRAME_MAX);
    make_noise(&scene.volume(0).join("b"), 2, 2 * FRAME_MAX);
    let patient = |questions: u64| -> Watch { Arc::new(Impatient(AtomicU64::new(questions))) };
    let (mut ends, mut questions) = ([0; 4], 0);
    while ends[3] == 0 {
        // New ones each time: what is not captured again cannot be given up.
        fs::write(scene.volume(0).join("a0"), questions.to_string()).unwrap();
        make_noise(&scene.volume(0).join("b"), questions, 2 * FRAME_MAX);
        let watch = patient(questions);
        let precopied = precopy(&scene.archives(), &scene.manifest, &scene.sources(), JOBS, &watch);
        let captured = precopied.map(Option::unwrap).map_err(|e| (0, e));
        let captured = captured.and_then(|precopied| precopied.capture(&watch).map_err(|e| (1, e)));
        let sealed = captured.and_then(|draft| seal(draft).map_err(|e| (2, e)));
        match sealed {
            Ok(_) => ends[3] += 1,
            Err((phase, error)) => {
                ends[phase] += 1;
                assert_eq!(error.kind, FsErrorKind::Cancelled);
                assert_eq!(scene.names(), Vec::<String>::new());
            }
        }
        questions += 1 + questions / 4;
    }
    assert!(ends.iter().all(|&end| end > 0), "{ends:?}");
    let plain = scene.plainly();
    assert_eq!(scene.frames(), plain.1);
}

/// Clones are made in a file that has no name in the volume.
#[test]
fn a_capture_leaves_no_mark_on_the_volume() {
    Mounted::each(|base| {
        let mut scene = Scene::new_in(base, 1);
        let root = scene.volume(0);
        make_noise(&root.join("a"), 1, FRAME_MAX + 1000);
        set_times(&root, 1_000_000_000, 5);
        age();
        let times = || {
            let seen = fs::metadata(&root).unwrap();
            (seen.mtime(), seen.mtime_nsec(), seen.ctime(), seen.ctime_nsec())
        };
        let before = times();
        let precopied = scene.precopy();
        let file = OpenOptions::new().write(true).open(root.join("a")).unwrap();
        file.write_all_at(b"changed", FRAME_MAX as u64).unwrap();
        let plain = scene.plainly();
        let draft = precopied.capture(&quiet()).unwrap();
        file.write_all_at(b"and once more", 0).unwrap();
        assert_eq!(times(), before);
        scene.assert_exact(draft, &plain);
        assert_eq!(times(), before);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    });
}
