//! Directories that a person moved in the middle of a restore: what recovery says puts it right, command by command.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use support::{
    Tree, World,
    remedy::{commands, hint},
    tree,
};

/// A restore that was killed between the switches of its two volumes.
struct Torn {
    world: World,
    /// The volume that has been switched, and the one that has not: each in a directory of its own.
    switched: Volume,
    waiting: Volume,
}

struct Volume {
    live: PathBuf,
    private: PathBuf,
    saved: Tree,
    original: Tree,
}

impl Torn {
    /// `None` where the kernel lets nobody be traced.
    fn new(test: &str) -> Option<Torn> {
        let world = World::new();
        let lives = ["one", "two dirs"].map(|parent| {
            let live = world.path(parent).canonicalize().unwrap_or_else(|_| world.path(parent)).join("data");
            fs::create_dir_all(live.join("below")).unwrap();
            fs::write(live.join("file"), format!("{parent} as it was")).unwrap();
            fs::write(live.join("below/file"), "unchanged").unwrap();
            live
        });
        let volumes = [format!("/a={}", lives[0].display()), format!("/b={}", lives[1].display())];
        world.ok(&["workload", "add", "app", "--volume", &volumes[0], "--volume", &volumes[1]]);
        let id = world.create();
        let saved = lives.clone().map(|live| tree(&live));
        for live in &lives {
            fs::write(live.join("file"), "today").unwrap();
            fs::write(live.join("added"), "since").unwrap();
        }
        let original = lives.clone().map(|live| tree(&live));
        let parent = lives[1].parent().unwrap();
        let killed = killed(&world, "renameat2", parent, &["restore", "app", &id, "--yes"]);
        if killed.is_none() {
            eprintln!("skipped: {test}: needs strace and the right to trace");
        }
        killed?;
        let [saved_a, saved_b] = saved;
        let [original_a, original_b] = original;
        assert_eq!(tree(&lives[0]), saved_a, "the first volume was switched");
        assert_eq!(tree(&lives[1]), original_b, "the second one was not");
        let [live_a, live_b] = lives;
        let switched = Volume { private: private(&live_a), live: live_a, saved: saved_a, original: original_a };
        let waiting = Volume { private: private(&live_b), live: live_b, saved: saved_b, original: original_b };
        Some(Torn { world, switched, waiting })
    }

    /// Recovers, does what is said, recovers, and so on; gives all that was said to be done. What is printed is all that
    /// this goes by.
    fn follow(&self) -> Vec<String> {
        let mut followed: Vec<String> = Vec::new();
        let mut ran = self.world.run(&["recover"]);
        for _ in 0..8 {
            if ran.status == 0 {
                return followed;
            }
            assert_eq!(ran.status, 6, "{ran:?}");
            let remedy = commands(&hint(&ran));
            let (last, before) = remedy.split_last().unwrap_or_else(|| panic!("{ran:?}"));
            self.world.shell_all(before);
            ran = self.world.shell(last);
            followed.extend(remedy);
        }
        panic!("{followed:?} do not end: {ran:?}");
    }

    /// Both volumes are restored, and an undo finds each byte of the originals.
    fn is_restored(&self) {
        self.is_closed();
        assert_eq!(
            [tree(&self.switched.live), tree(&self.waiting.live)],
            [&self.switched.saved, &self.waiting.saved].map(Tree::clone)
        );
        self.world.ok(&["undo", "app", "--yes"]);
        assert_eq!(
            [tree(&self.switched.live), tree(&self.waiting.live)],
            [&self.switched.original, &self.waiting.original].map(Tree::clone)
        );
    }

    fn is_original(&self) {
        self.is_closed();
        assert_eq!(
            [tree(&self.switched.live), tree(&self.waiting.live)],
            [&self.switched.original, &self.waiting.original].map(Tree::clone)
        );
    }

    fn is_closed(&self) {
        assert_eq!(self.world.json(&["status"])["open"], serde_json::json!([]));
        for volume in [&self.switched, &self.waiting] {
            assert!(!volume.private.exists(), "{}", volume.private.display());
        }
    }
}

/// Runs a command that is killed at its first such call on a name in that directory; `None` if nobody can be traced here.
fn killed(world: &World, call: &str, directory: &Path, args: &[&str]) -> Option<()> {
    let like = world.command(args);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-P"]).arg(directory);
    command.args(["-e", &format!("inject={call}:signal=SIGKILL:when=1")]);
    command.arg(like.get_program()).args(args).current_dir(world.path(""));
    command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = command.output().ok()?;
    (!ended.status.success() && world.journal(&world.workload()).exists()).then_some(())
}

/// The one private directory beside a live one.
fn private(live: &Path) -> PathBuf {
    let names = fs::read_dir(live.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let mut private = names.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".volsnap-"));
    private.next().unwrap()
}

fn stranger(at: &Path) {
    fs::create_dir(at).unwrap();
    fs::write(at.join("file"), "somebody else's").unwrap();
}

#[test]
fn without_interference_the_restore_goes_on() {
    let Some(torn) = Torn::new("without_interference_the_restore_goes_on") else { return };
    assert_eq!(torn.follow(), [""; 0]);
    torn.is_restored();
}

#[test]
fn an_original_that_was_moved_beside_itself_is_found_and_moved_back() {
    let Some(torn) = Torn::new("an_original_that_was_moved_beside_itself") else { return };
    fs::rename(&torn.waiting.live, torn.waiting.live.with_file_name("data it's old")).unwrap();
    let followed = torn.follow();
    assert!(followed[0].starts_with("mv -T ") && followed[0].contains("old"), "{followed:?}");
    torn.is_restored();
}

#[test]
fn an_original_that_was_moved_into_another_directory_is_found() {
    let Some(torn) = Torn::new("an_original_that_was_moved_into_another_directory") else { return };
    // `mv A B`, where B is there.
    fs::rename(torn.switched.private.join("staged"), torn.switched.live.join("staged")).unwrap();
    torn.follow();
    torn.is_restored();
}

#[test]
fn an_original_that_was_moved_far_away_is_found_above() {
    let Some(torn) = Torn::new("an_original_that_was_moved_far_away") else { return };
    fs::create_dir_all(torn.world.path("attic/2026")).unwrap();
    fs::rename(&torn.waiting.live, torn.world.path("attic/2026/data")).unwrap();
    torn.follow();
    torn.is_restored();
}

#[test]
fn a_private_directory_that_was_moved_is_emptied_into_a_new_one() {
    for of in [|torn: &Torn| torn.switched.private.clone(), |torn: &Torn| torn.waiting.private.clone()] {
        let Some(torn) = Torn::new("a_private_directory_that_was_moved") else { return };
        let private = of(&torn);
        fs::rename(&private, private.with_file_name("rubbish")).unwrap();
        torn.follow();
        torn.is_restored();
    }
}

#[test]
fn what_stands_at_a_live_name_is_moved_out_of_the_way_and_kept() {
    let Some(torn) = Torn::new("what_stands_at_a_live_name") else { return };
    let live = &torn.waiting.live;
    fs::rename(live, torn.waiting.private.join("aside")).unwrap();
    stranger(live);
    stranger(&live.with_file_name("data.in-the-way"));
    let followed = torn.follow();
    assert!(followed[0].ends_with("/data.in-the-way-again'"), "{followed:?}");
    torn.is_restored();
    for name in ["data.in-the-way", "data.in-the-way-again"] {
        assert_eq!(fs::read(live.with_file_name(name).join("file")).unwrap(), b"somebody else's");
    }
}

#[test]
fn restored_data_that_were_moved_are_put_in_place_beside_the_original() {
    let Some(torn) = Torn::new("restored_data_that_were_moved") else { return };
    fs::rename(&torn.switched.live, torn.switched.live.with_file_name("wrong")).unwrap();
    stranger(&torn.switched.live);
    fs::rename(torn.waiting.private.join("staged"), torn.waiting.live.with_file_name("new")).unwrap();
    let followed = torn.follow();
    assert!(followed.iter().any(|command| command.contains("data.in-the-way")), "{followed:?}");
    torn.is_restored();
}

#[test]
fn restored_data_that_are_gone_for_good_are_done_without() {
    for gone in [|torn: &Torn| torn.waiting.private.join("staged"), |torn: &Torn| torn.switched.live.clone()] {
        let Some(torn) = Torn::new("restored_data_that_are_gone_for_good") else { return };
        fs::remove_dir_all(gone(&torn)).unwrap();
        let ran = torn.world.run(&["recover", "app"]);
        let remedy = commands(&hint(&ran));
        assert!(remedy[0].ends_with("--take original"), "{ran:?}");
        let ran = torn.world.shell(&remedy[0]);
        assert_eq!(ran.status, 0, "{ran:?}");
        torn.is_original();
    }
}

#[test]
fn a_parent_that_was_moved_comes_back_and_what_took_its_name_is_kept() {
    for is_taken in [false, true] {
        let Some(torn) = Torn::new("a_parent_that_was_moved") else { return };
        let parent = torn.waiting.live.parent().unwrap();
        fs::rename(parent, torn.world.path("two.old")).unwrap();
        if is_taken {
            stranger(parent);
        }
        let followed = torn.follow();
        assert_eq!(followed.len(), if is_taken { 3 } else { 2 }, "{followed:?}");
        torn.is_restored();
        let kept = torn.world.path("two dirs.in-the-way/file");
        assert_eq!(kept.exists(), is_taken);
    }
}

#[test]
fn an_original_that_was_moved_to_where_things_are_deleted_is_moved_out_again() {
    for is_taken in [false, true] {
        let Some(torn) = Torn::new("an_original_where_things_are_deleted") else { return };
        // All is back, and killed while it cleans up behind the first volume.
        let parent = torn.switched.live.parent().unwrap();
        killed(&torn.world, "unlinkat", parent, &["recover", "app", "--take", "original"]).unwrap();
        let (live, private) = (&torn.waiting.live, &torn.waiting.private);
        assert_eq!(torn.world.json(&["status"])["open"][0]["phase"], "redeployed");
        fs::rename(live, private.join("aside")).unwrap();
        if is_taken {
            stranger(live);
        }
        let ran = torn.world.run(&["recover"]);
        let remedy = commands(&hint(&ran));
        let (last, before) = remedy.split_last().unwrap();
        torn.world.shell_all(before);
        assert_eq!(torn.world.shell(last).status, 0);
        torn.is_original();
        assert_eq!(live.with_file_name("data.in-the-way").exists(), is_taken);
    }
}
