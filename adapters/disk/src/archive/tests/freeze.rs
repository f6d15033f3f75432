//! An archive in two passes has the state of the second one, exactly, whatever happened before, between and after.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, atomic::AtomicU64},
    thread::sleep,
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
    scene::{Impatient, Scene, quiet, seal},
};
use crate::archive::{Precopied, format::FRAME_MAX, format::Frame, open::Archive, precopy, verify};

/// Until what stands now is old enough to be trusted not to change unseen.
fn age() {
    sleep(Duration::from_millis(3200));
}

impl Scene {
    fn precopy(&self) -> Precopied {
        precopy(&self.archives(), &self.manifest, &self.sources(), &quiet()).unwrap().unwrap()
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
        Archive::open(&self.archive()).unwrap().index.frames.split_off(1)
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
    const TREES: usize = 24;
    Mounted::each(|base| {
        let mut runner = TestRunner::new(ProptestConfig::default());
        let mut scene = Scene::new_in(base, TREES);
        for tree in 0..TREES {
            let root = scene.volume(tree);
            build(&root, &value(&mut runner, things()));
            for (big, seed) in ["0", "b", "\u{fe}"].into_iter().zip(0..) {
                let length = value(&mut runner, 1..2 * FRAME_MAX);
                make_noise(&root.join(big), seed, length);
            }
            // The rest changes by what follows.
        }
        age();
        let precopied = scene.precopy();
        let changes: Vec<_> = (0..TREES).map(|_| value(&mut runner, steps(6))).collect();
        (0..TREES).for_each(|tree| change(&scene.volume(tree), &changes[tree]));
        let plain = scene.plainly();
        let draft = precopied.capture(&quiet()).unwrap();
        (0..TREES).for_each(|tree| change(&scene.volume(tree), &value(&mut runner, steps(10))));
        eprintln!("{changes:?}");
        scene.assert_exact(draft, &plain);
    });
}
