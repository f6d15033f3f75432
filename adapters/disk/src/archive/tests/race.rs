//! A second process that is at the staging directory all the while changes nothing outside it, and hangs nothing.

use std::{
    fs,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, XattrFlags};
use uuid::Uuid;
use volsnap_core::{
    model::{RestoreId, place::private_dir},
    ports::StageJob,
};

use super::{
    roundtrip::{furnish, set_times},
    scene::{Scene, look_at},
};
use crate::tree::open_dir;

/// Says to the second process where to do its mischief.
const PLACE: &str = "VOLSNAP_TEST_RACE";
/// Directories of many members of the same kind, so that some are met in the moment after they are made.
const MANY: [&str; 4] = ["many-fifos", "many-links", "many-files", "many-dirs"];
const EACH: usize = 120;

/// The other process, when the test below starts it; nothing by itself.
#[test]
fn racer() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    let begun = Instant::now();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    // It ends with its parent's patience at the latest.
    while begun.elapsed() < Duration::from_secs(120) {
        for private in privates(&place) {
            mischief(&place, &private, &mut dice);
        }
    }
}

/// Numbers by chance, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// Private directories that stand now, and what took their names.
fn privates(place: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(place).unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    names.filter(|path| path.file_name().unwrap().as_encoded_bytes().starts_with(b".volsnap-")).collect()
}

/// One burst of one kind. It follows no link itself. Failures are a matter of course: the tree grows and goes meanwhile.
fn mischief(place: &Path, private: &Path, dice: &mut Dice) {
    let Ok(place_fd) = open_dir(CWD, place) else { return };
    let lure = |what: usize| plant(place, what);
    let exchange = |dir: BorrowedFd<'_>, name: &str| {
        rustix::fs::renameat_with(&place_fd, "lure", dir, name, RenameFlags::EXCHANGE)
    };
    let kind = dice.below(20);
    if kind == 12 {
        // The private directory, for a while.
        lure(1);
        let name = private.file_name().unwrap().to_str().unwrap();
        if exchange(place_fd.as_fd(), name).is_ok() {
            std::thread::sleep(Duration::from_micros(dice.below(3000) as u64));
            let _ = exchange(place_fd.as_fd(), name);
        }
        return;
    }
    let Ok(private) = open_dir(CWD, private) else { return };
    let Ok(partial) = open_dir(private.as_fd(), "partial") else { return };
    let many = MANY[dice.below(MANY.len())];
    match (kind, open_dir(partial.as_fd(), many)) {
        // Takes the place of each thing in the moment in which it is made, and mostly gives it back.
        (0..8, dir) => {
            let Some(dir) = dir.ok().or_else(|| wait_for(&partial, many)) else { return };
            lure(dice.below(5));
            let (stays, mut missed) = (dice.below(4 * EACH), 0);
            for at in 0..EACH {
                let name = format!("m{at:03}");
                while missed < 20_000 && exchange(dir.as_fd(), &name).is_err() {
                    missed += 1;
                }
                if at != stays {
                    let _ = exchange(dir.as_fd(), &name);
                }
            }
        }
        // A name is there before its member comes.
        (8, Ok(dir)) => {
            lure(dice.below(5));
            let _ = rustix::fs::renameat(&place_fd, "lure", &dir, "m100");
        }
        // A directory is moved away, and a link put in its place.
        (9 | 10, Ok(_)) => {
            lure(1 + dice.below(2));
            let _ = exchange(partial.as_fd(), many);
            let _ = rustix::fs::renameat(&place_fd, "lure", &partial, "moved");
        }
        // The tree itself.
        (11, _) => {
            lure(dice.below(5));
            let _ = exchange(private.as_fd(), "partial");
            let _ = rustix::fs::renameat(&place_fd, "lure", &private, "moved");
        }
        _ => std::thread::sleep(Duration::from_micros(dice.below(20_000) as u64)),
    }
}

/// Waits for a directory that will be made, not for long.
fn wait_for(partial: &OwnedFd, name: &str) -> Option<OwnedFd> {
    let begun = Instant::now();
    std::iter::repeat_with(|| open_dir(partial.as_fd(), name).ok())
        .take_while(|_| begun.elapsed() < Duration::from_millis(20))
        .find_map(|dir| dir)
}

/// Makes what is to be put in the place of something else.
fn plant(place: &Path, what: usize) {
    let (lure, outside) = (place.join("lure"), place.join("outside"));
    if fs::remove_file(&lure).is_err() {
        // What it was exchanged for may be a directory.
        let _ = fs::remove_dir_all(&lure);
    }
    let _ = match what {
        0 => symlink(outside.join("file"), &lure),
        1 => symlink(&outside, &lure),
        2 => symlink("../../outside", &lure),
        3 => symlink("../../../outside/file", &lure),
        _ => rustix::fs::mknodat(CWD, &lure, FileType::Fifo, Mode::RUSR, 0).map_err(Into::into),
    };
}

/// The second process, ended with the test.
struct Racer(Child);

impl Racer {
    fn start(place: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "archive::tests::race::racer"]).env(PLACE, place);
        Racer(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A volume with much that is dressed by handle, and a bit of everything else.
fn furnish_for_race(root: &Path) {
    for dir in MANY {
        fs::create_dir(root.join(dir)).unwrap();
        for at in 0..EACH {
            let path = root.join(dir).join(format!("m{at:03}"));
            match dir {
                "many-fifos" => rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap(),
                "many-links" => symlink("nowhere", &path).unwrap(),
                "many-files" => fs::write(&path, "restored").unwrap(),
                _ => fs::create_dir(&path).unwrap(),
            }
            if dir != "many-links" {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            }
        }
    }
    furnish(root);
}

/// What must stay as it is. It has the names that a staging works on, for whoever follows a link to it.
fn furnish_outside(outside: &Path) {
    for dir in ["", "partial", "staged", "earlier-1", "earlier-1/many-files", "many-fifos", "many-files", "many-dirs"] {
        fs::create_dir_all(outside.join(dir)).unwrap();
        fs::write(outside.join(dir).join("m100"), "outside").unwrap();
    }
    fs::write(outside.join("file"), "outside").unwrap();
    rustix::fs::setxattr(outside.join("file"), "user.kept", b"kept", XattrFlags::empty()).unwrap();
    fs::set_permissions(outside.join("file"), fs::Permissions::from_mode(0o400)).unwrap();
    for path in ["file", "partial", "many-fifos", ""] {
        set_times(&outside.join(path), 1_000_000, 1);
    }
}

#[test]
fn a_racing_process_changes_nothing_outside() {
    let scene = Scene::new(1);
    furnish_for_race(&scene.volume(0));
    furnish_outside(&scene.path().join("outside"));
    let digest = scene.pack().digest;
    let untouched = ["outside", "live0", "snapshots"].map(|name| (name, look_at(&scene.path().join(name))));
    let racer = Racer::start(scene.path());
    let job = |round: u128| {
        let private = private_dir(&scene.volume(0), RestoreId(Uuid::from_u128(0x100 + round)), 0);
        let entries_of = round.is_multiple_of(3).then(|| scene.volume(0));
        StageJob { private, entries_of, resume: round.is_multiple_of(2), ..scene.job(&digest, Some(0)) }
    };
    let (told, heard) = channel();
    let (mut whole, mut disturbed) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            for round in (0..).take_while(|_| begun.elapsed() < Duration::from_secs(4)) {
                // Every second one is tried again, for what it sets aside then.
                for _ in 0..2 {
                    told.send(scene.stage(&job(round)).is_ok()).unwrap();
                }
            }
            drop(told);
        });
        loop {
            match heard.recv_timeout(Duration::from_secs(60)) {
                Ok(true) => whole += 1,
                Ok(false) => disturbed += 1,
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                // The thread cannot be ended, so the process is.
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    eprintln!("a staging hangs");
                    std::process::abort();
                }
            }
        }
    });
    drop(racer);
    eprintln!("{whole} stagings were whole, {disturbed} failed");
    assert!(disturbed > 0, "the second process did nothing");
    for (name, before) in untouched {
        let after = look_at(&scene.path().join(name));
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{name}");
        for (path, look) in &before {
            assert_eq!(look, &after[path], "{name}/{}", path.display());
        }
    }
}
