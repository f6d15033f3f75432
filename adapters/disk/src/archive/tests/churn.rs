//! A tree that changes all the while it is read: the archive is sound, and says what was not steady.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags};

use super::{
    interop::{have, pipe},
    roundtrip::furnish,
    scene::{Scene, look_at, quiet, verify},
};

const FILES: usize = 60;

/// One round of one thread; a name may be anything by now, so failures are a matter of course.
fn churn(root: &Path, turn: usize, thread: usize) {
    let name = |n: usize| root.join(format!("dir{}", n % 7)).join(format!("f{}", n % FILES));
    let (a, b) = (name(turn * 31 + thread), name(turn * 17 + thread * 5));
    // Never waits for the reader of a FIFO.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let open = || OpenOptions::new().write(true).create(true).truncate(false).custom_flags(nonblocking).open(&a);
    let _ = match (turn + thread) % 11 {
        // Grows and shrinks.
        0 | 1 => open().and_then(|file| file.set_len((turn as u64 * 7919) % 3_000_000)),
        2 => open().and_then(|mut file| file.write_all(&vec![b'x'; (turn * 977) % 400_000])),
        3 => open().and_then(|file| file.set_len(0)),
        // Goes, and comes as something else.
        4 => fs::remove_file(&a).or_else(|_| fs::remove_dir_all(&a)),
        5 => fs::remove_file(&a).and_then(|()| symlink("elsewhere", &a)),
        6 => fs::remove_file(&a)
            .and_then(|()| rustix::fs::mknodat(CWD, &a, FileType::Fifo, Mode::RUSR, 0).map_err(Into::into)),
        7 => fs::remove_file(&a).and_then(|()| fs::create_dir_all(a.join("below/it"))),
        8 => fs::hard_link(&a, &b),
        9 => fs::rename(&a, &b),
        // Whole directories go and come.
        _ if turn.is_multiple_of(9) => {
            let [a, b] = [turn, turn / 9 + thread].map(|n| root.join(format!("dir{}", n % 7)));
            rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).map_err(Into::into)
        }
        _ => {
            let dir = root.join(format!("dir{}", turn % 7));
            fs::remove_dir_all(&dir).and_then(|()| fs::create_dir(&dir))
        }
    };
}

#[test]
fn a_tree_that_changes_all_the_while_makes_sound_archives_that_name_what_changed() {
    let scene = Scene::new(1);
    let (still, moving) = (scene.volume(0).join("still"), scene.volume(0).join("moving"));
    fs::create_dir(&still).unwrap();
    furnish(&still);
    for dir in 0..7 {
        fs::create_dir_all(moving.join(format!("dir{dir}"))).unwrap();
    }
    let before = look_at(&still);
    let (stop, mut named) = (AtomicBool::new(false), Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (stop, moving) = (&stop, &moving);
            scope.spawn(move || {
                for turn in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    churn(moving, turn, thread);
                }
            });
        }
        let _stopped = Stop(&stop);
        let begun = Instant::now();
        let mut rounds = 0;
        while rounds < 5 || begun.elapsed() < Duration::from_secs(5) {
            let sealed = scene.pack();
            verify(&scene.archive(), &quiet()).unwrap();
            scene.stage(&scene.job(&sealed.digest, Some(0))).unwrap();
            let private = scene.job("", Some(0)).private;
            assert_eq!(before, look_at(&private.join("staged/still")), "what did not change is exact");
            crate::tree::remove(&private, None).unwrap();
            if have(&["zstd", "tar"]) {
                let said = pipe(&scene, &["tar", "-tf", "-"], scene.path());
                let listed = said.lines().filter(|line| !line.starts_with("tar: ")).count() as u64;
                assert_eq!(listed, sealed.totals[0].entries + 1, "GNU tar sees the same members");
            }
            named.extend(sealed.totals[0].unsteady.clone());
            rounds += 1;
        }
    });
    assert!(named.iter().all(|name| name.starts_with("moving")), "{named:?}");
    for what in ["changed while it was read", "vanished"] {
        assert!(named.iter().any(|name| name.ends_with(what)), "none {what}: {named:?}");
    }
}

/// Ends the threads also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
