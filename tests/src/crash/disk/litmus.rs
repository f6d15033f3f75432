//! Small programs with the outcomes that a power cut may leave: that the filesystems here lose what was not synced.
//!
//! Each list says what is seen on Linux 6.18, not what the filesystems promise. An outcome that is not listed is a
//! harness that corrupts disks, or a filesystem that promises less than it did; an outcome that is listed as lost and
//! not seen is a harness that loses nothing.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Mutex,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    Kind, WORKERS,
    cuts::{Cursor, Random, cuts, ways},
    ports::Marks,
    rig::Rig,
    scene::{Loose, Recording},
};

/// A program on one or two disks.
pub struct Litmus {
    /// What it does.
    pub name: &'static str,
    disks: usize,
    /// What stands there before, durably.
    prepare: fn(&[PathBuf]),
    /// What is done; the power may go at any time from its beginning on.
    run: fn(&[PathBuf]),
    /// What is there after a cut, in a word.
    look: fn(&[PathBuf]) -> &'static str,
    /// What a cut during the program may leave.
    during: fn(Kind) -> &'static [&'static str],
    /// What a cut after it has returned leaves. Each of these is seen.
    after: fn(Kind) -> &'static [&'static str],
    /// What it may leave besides, when the timing is right.
    seldom: fn(Kind) -> &'static [&'static str],
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// After cuts during the program.
    pub during: BTreeSet<&'static str>,
    /// After cuts when it had returned.
    pub after: BTreeSet<&'static str>,
    /// How many crash images were mounted.
    pub mounted: u64,
}

/// Four blocks and a bit.
static DATA: [u8; 17_000] = [b'x'; 17_000];

fn sync(path: &Path) {
    File::open(path).and_then(|file| file.sync_all()).expect("it is synced");
}

fn write(path: &Path, data: &[u8]) {
    fs::write(path, data).expect("it is written");
}

/// What a file holds of [`DATA`].
fn data(path: &Path) -> &'static str {
    match fs::read(path) {
        Err(_) => "absent",
        Ok(found) if found.is_empty() => "empty",
        Ok(found) if found == DATA => "whole",
        Ok(found) if found.iter().all(|byte| *byte == 0) => "zeros",
        Ok(_) => "a part",
    }
}

/// Which of two states each of two things is in.
fn pair(first: bool, second: bool) -> &'static str {
    match (first, second) {
        (false, false) => "neither",
        (true, false) => "the first",
        (false, true) => "only the second",
        (true, true) => "both",
    }
}

fn make_dirs(dirs: &[PathBuf]) {
    for dir in dirs {
        fs::create_dir(dir).expect("a directory");
        write(&dir.join("old"), b"");
    }
}

fn renamed(dir: &Path) -> bool {
    dir.join("new").exists()
}

fn rename(dir: &Path) {
    fs::rename(dir.join("old"), dir.join("new")).expect("renamed");
}

fn exchange(a: &Path, b: &Path) {
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).expect("exchanged");
}

fn two(points: &[PathBuf]) -> [PathBuf; 2] {
    ["a", "b"].map(|name| points[0].join(name))
}

/// `mark` in a and in b, as `a` and `b` were exchanged or not.
fn exchanged(points: &[PathBuf]) -> &'static str {
    let [a, b] = two(points);
    match (a.join("of-a").exists(), a.join("of-b").exists(), b.join("of-a").exists(), b.join("of-b").exists()) {
        (true, false, false, true) => "as before",
        (false, true, true, false) => "exchanged",
        _ => "a mixture",
    }
}

fn make_marked(points: &[PathBuf]) {
    for (dir, mark) in two(points).iter().zip(["of-a", "of-b"]) {
        fs::create_dir(dir).expect("a directory");
        write(&dir.join(mark), b"");
    }
}

/// All programs.
#[must_use]
pub fn programs() -> Vec<Litmus> {
    vec![
        Litmus {
            name: "a file is written and only its directory synced",
            disks: 1,
            prepare: |_| {},
            run: |points| {
                write(&points[0].join("file"), &DATA);
                sync(&points[0]);
            },
            look: |points| data(&points[0].join("file")),
            during: |_| &["absent", "empty", "whole"],
            // The name is durable, the data are not: B1.
            after: |_| &["empty", "whole"],
            // ext4 journals the size before the blocks count as written.
            seldom: |kind| match kind {
                Kind::Ext4 => &["zeros"],
                Kind::Xfs | Kind::Btrfs => &[],
            },
        },
        Litmus {
            name: "a file is written and synced",
            disks: 1,
            prepare: |_| {},
            run: |points| {
                write(&points[0].join("file"), &DATA);
                sync(&points[0].join("file"));
                sync(&points[0]);
            },
            look: |points| data(&points[0].join("file")),
            during: |_| &["absent", "empty", "whole"],
            after: |_| &["whole"],
            seldom: |_| &[],
        },
        Litmus {
            name: "a rename whose directory nobody syncs",
            disks: 1,
            prepare: |points| make_dirs(&[points[0].join("dir")]),
            run: |points| rename(&points[0].join("dir")),
            look: |points| if renamed(&points[0].join("dir")) { "new" } else { "old" },
            during: |_| &["old", "new"],
            after: |_| &["new", "old"],
            seldom: |_| &[],
        },
        Litmus {
            name: "a rename whose directory is synced",
            disks: 1,
            prepare: |points| make_dirs(&[points[0].join("dir")]),
            run: |points| {
                rename(&points[0].join("dir"));
                sync(&points[0].join("dir"));
            },
            look: |points| if renamed(&points[0].join("dir")) { "new" } else { "old" },
            during: |_| &["old", "new"],
            after: |_| &["new"],
            seldom: |_| &[],
        },
        Litmus {
            name: "an exchange of two directories",
            disks: 1,
            prepare: make_marked,
            run: |points| exchange(&points[0].join("a"), &points[0].join("b")),
            look: exchanged,
            during: |_| &["as before", "exchanged"],
            after: |_| &["as before", "exchanged"],
            seldom: |_| &[],
        },
        Litmus {
            name: "two renames, and the directory of the second is synced",
            disks: 1,
            prepare: |points| make_dirs(&two(points)),
            run: |points| {
                let [a, b] = two(points);
                rename(&a);
                rename(&b);
                sync(&b);
            },
            look: |points| {
                let [a, b] = two(points);
                pair(renamed(&a), renamed(&b))
            },
            during: |kind| match kind {
                Kind::Ext4 | Kind::Xfs => &["neither", "the first", "both"],
                Kind::Btrfs => &["neither", "the first", "only the second", "both"],
            },
            // btrfs orders nothing between directories.
            after: |kind| match kind {
                Kind::Ext4 | Kind::Xfs => &["both"],
                Kind::Btrfs => &["only the second", "both"],
            },
            seldom: |_| &[],
        },
        Litmus {
            name: "two renames on two disks, and the directory of the second is synced",
            disks: 2,
            prepare: |points| make_dirs(&[points[0].join("dir"), points[1].join("dir")]),
            run: |points| {
                rename(&points[0].join("dir"));
                rename(&points[1].join("dir"));
                sync(&points[1].join("dir"));
            },
            look: |points| pair(renamed(&points[0].join("dir")), renamed(&points[1].join("dir"))),
            during: |_| &["neither", "the first", "only the second", "both"],
            // Nothing is ordered between filesystems.
            after: |_| &["only the second", "both"],
            seldom: |_| &[],
        },
    ]
}

/// Runs every program on every filesystem, prints what was seen, and gives what is wrong with it.
///
/// # Panics
/// If a worker does.
#[must_use]
pub fn observe_all(seed: u64) -> Vec<String> {
    let programs = programs();
    let runs = programs.iter().flat_map(|program| Kind::ALL.map(|kind| (program, kind)));
    let (runs, wrongs) = (Mutex::new(runs), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some((program, kind)) = runs.lock().expect("nobody panics").next() else { return };
            let found = match program.observe(kind, seed) {
                Ok(seen) => {
                    let Seen { during, after, mounted } = &seen;
                    println!("{} on {kind}: {mounted} mounted, during {during:?}, after {after:?}", program.name);
                    program.judge(kind, &seen)
                }
                Err(error) => vec![format!("{} on {kind}: {error}", program.name)],
            };
            wrongs.lock().expect("nobody panics").extend(found);
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    wrongs.into_inner().expect("nobody panics")
}

impl Litmus {
    /// Runs the program on a filesystem and mounts its crash images.
    ///
    /// # Errors
    /// If one does not mount.
    pub fn observe(&self, kind: Kind, seed: u64) -> Result<Seen, String> {
        let mut rig = Rig::new(kind, self.disks)?;
        let points: Vec<PathBuf> = (0..self.disks).map(|disk| rig.mount_point(disk)).collect();
        rig.mount()?;
        (self.prepare)(&points);
        rig.unmount()?;
        let start = rig.disks().lock().images();
        rig.disks().lock().load(start.clone());
        rig.mount()?;
        let marks = Marks::new(rig.disks());
        marks.set("it begins");
        (self.run)(&points);
        marks.set("it has returned");
        rig.unmount()?;
        let log = rig.disks().lock().take_log();
        let recording = Recording {
            story: vec![self.name.into()],
            start,
            log,
            marks: marks.take(),
            bound: None,
            loose: Loose::default(),
        };
        rig.change_devices()?;
        self.crash(&mut rig, &points, &recording, seed)
    }

    fn crash(&self, rig: &mut Rig, points: &[PathBuf], recording: &Recording, seed: u64) -> Result<Seen, String> {
        let mut seen = Seen::default();
        let mut random = Random::new(seed);
        let mut cursor = Cursor::new(rig.disks(), recording);
        for cut in cuts(recording) {
            cursor.advance(cut);
            for survivors in ways(cursor.pending().len(), self.disks, 40, &mut random) {
                let (survived, _) = cursor.image(survivors);
                rig.disks().lock().revert(&survived);
                rig.mount().map_err(|wrong| format!("{wrong}: {}", cursor.in_words(survivors)))?;
                let found = (self.look)(points);
                rig.unmount()?;
                let returned = recording.marks.last().is_some_and(|mark| mark.position <= cut);
                if returned { &mut seen.after } else { &mut seen.during }.insert(found);
                seen.mounted += 1;
            }
        }
        Ok(seen)
    }

    /// What is wrong with what was seen: something that may not be, or nothing lost that can be lost.
    #[must_use]
    pub fn judge(&self, kind: Kind, seen: &Seen) -> Vec<String> {
        let listed = |found: &BTreeSet<&'static str>, list: &[&str]| found.iter().all(|word| list.contains(word));
        let mut wrongs = Vec::new();
        let after = [(self.after)(kind), (self.seldom)(kind)].concat();
        if !listed(&seen.during, (self.during)(kind)) || !listed(&seen.after, &after) {
            wrongs.push(format!("{} on {kind}: not allowed: {seen:?}", self.name));
        }
        if let Some(unseen) = (self.after)(kind).iter().find(|word| !seen.after.contains(**word)) {
            wrongs.push(format!("{} on {kind}: never {unseen:?}: {seen:?}", self.name));
        }
        wrongs
    }
}
