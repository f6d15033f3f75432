//! What somebody sees who sits at a terminal: questions, bars, Ctrl-C, and what is left on the screen; at 40, 80 and 200
//! columns.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::fs;

use serde_json::json;
use support::{
    World, golden, in_time,
    pty::{Left, Terminal},
};

const WIDTHS: [u16; 3] = [40, 80, 200];

/// Runs a command on a terminal to its end.
fn shown(world: &World, width: u16, args: &[&str]) -> Left {
    let left = Terminal::start(world, width, args).end();
    left.assert_fits();
    left
}

/// The same, with an answer to the question.
fn answered(world: &World, width: u16, args: &[&str], answer: &str) -> Left {
    let mut terminal = Terminal::start(world, width, args);
    terminal.wait_for("[y/N] ");
    terminal.press(answer);
    let left = terminal.end();
    left.assert_fits();
    left
}

#[test]
fn every_answer_fits_the_terminal_and_is_as_it_was_agreed() {
    for width in WIDTHS {
        let world = World::registered();
        let check = |name: &str, left: Left, status: i32| {
            assert_eq!(left.status, status, "{left:?}");
            golden::check(&world, &format!("{name}-{width}.txt"), &left.screen);
        };
        check("list-empty", shown(&world, width, &["list"]), 0);
        check("create", shown(&world, width, &["create", "app", "--note", "before the upgrade"]), 0);
        world.damage();
        check("list", shown(&world, width, &["list"]), 0);
        // Its digests and paths are broken by a narrow terminal, others in each run; `show.json` has all that it says.
        assert_eq!(shown(&world, width, &["show", "latest"]).status, 0);
        check("plan", shown(&world, width, &["plan", "app", "latest"]), 0);
        check("plan-no-safety", shown(&world, width, &["plan", "app", "latest", "--no-safety-snapshot"]), 0);
        check("restore-no", answered(&world, width, &["restore", "app", "latest"], "n\n"), 3);
        check("restore-yes", answered(&world, width, &["restore", "app", "latest"], "y\n"), 0);
        check("plan-measured", shown(&world, width, &["plan", "app", "latest"]), 0);
        check("undo", answered(&world, width, &["undo", "app"], "yes\n"), 0);
        check("recover-nothing", shown(&world, width, &["recover"]), 0);
        check("status-nothing", shown(&world, width, &["status"]), 0);
        check("error-not-found", shown(&world, width, &["restore", "nobody", "latest"]), 8);
        check("error-usage", shown(&world, width, &["restore", "app", "latest", "--plan", "p.json", "--resume"]), 2);
        fs::rename(world.live("config"), world.path("elsewhere")).unwrap();
        fs::write(world.live("config"), "a file").unwrap();
        check("plan-refused", shown(&world, width, &["plan", "app", "latest"]), 3);
        check("error-refused", shown(&world, width, &["restore", "app", "latest"]), 3);
    }
}

#[test]
fn documents_are_as_they_were_agreed() {
    let world = World::registered();
    let check = |name: &str, status: i32, args: &[&str]| {
        let ran = world.run(&[args, &["--json"]].concat());
        assert_eq!(ran.status, status, "{ran:?}");
        golden::check(&world, &format!("{name}.json"), &ran.stdout);
    };
    check("create", 0, &["create", "app", "--note", "before the upgrade"]);
    world.damage();
    check("list", 0, &["list"]);
    check("show", 0, &["show", "latest"]);
    check("plan", 0, &["plan", "app", "latest"]);
    check("restore", 0, &["restore", "app", "latest", "--yes"]);
    check("undo", 0, &["undo", "app"]);
    check("recover", 0, &["recover"]);
    check("error-not-found", 8, &["plan", "app", "ffffffff"]);
    fs::rename(world.live("config"), world.path("elsewhere")).unwrap();
    check("plan-gone", 0, &["plan", "app", "latest"]);
    fs::write(world.live("config"), "a file").unwrap();
    check("error-refused", 3, &["restore", "app", "latest", "--yes"]);
}

#[test]
fn what_a_killed_restore_left_is_shown_before_and_after_it_is_recovered() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    world.damage();
    world.kill_a_restore(&id);
    golden::check(&world, "status-killed-80.txt", &shown(&world, 80, &["status"]).screen);
    golden::check(&world, "recover-killed-80.txt", &shown(&world, 80, &["recover"]).screen);
}

#[test]
fn only_yes_begins_a_restore_or_an_undo() {
    let (world, id) = World::damaged();
    let before = world.trees();
    for answer in ["n\n", "\n", "what?\n", "\x04"] {
        let left = answered(&world, 80, &["restore", "app", &id], answer);
        assert_eq!(left.status, 3, "{left:?}");
        assert!(left.screen.contains("not restored: the answer was"), "{left:?}");
        assert_eq!(world.trees(), before, "{answer:?}");
    }
    world.json(&["restore", "app", &id, "--yes"]);
    let restored = world.trees();
    assert_eq!(answered(&world, 80, &["undo", "app"], "n\n").status, 3);
    assert_eq!(world.trees(), restored);
    assert_eq!(answered(&world, 80, &["undo", "app"], "y\n").status, 0);
    assert_eq!(world.trees(), before);
    assert_eq!(shown(&world, 80, &["undo", "app", "--yes"]).status, 0, "and is not asked with --yes");
}

#[test]
fn the_question_names_workload_snapshot_age_and_what_is_replaced() {
    let (world, id) = World::damaged();
    for width in WIDTHS {
        let left = answered(&world, width, &["restore", "app", &id], "n\n");
        let said = left.screen.split_whitespace().collect::<Vec<_>>().join(" ");
        let question = format!("Restore app from snapshot {id}, ");
        assert!(said.contains(&question), "{said}");
        assert!(said.contains("s old, replacing /config and /data? [y/N] n"), "{said}");
    }
}

#[test]
fn ctrl_c_at_the_question_touches_nothing() {
    let (world, id) = World::damaged();
    let before = world.trees();
    for command in [&["restore", "app", &id][..], &["restore", "app", "latest"]] {
        let mut terminal = Terminal::start(&world, 80, command);
        terminal.wait_for("[y/N] ");
        terminal.interrupt();
        assert_eq!(terminal.end().status, 130);
        assert_eq!(world.trees(), before);
        assert_eq!(world.json(&["status"])["open"], json!([]));
    }
}

#[test]
fn the_world_is_looked_at_again_after_the_answer() {
    let (world, id) = World::damaged();
    let mut terminal = Terminal::start(&world, 80, &["restore", "app", &id]);
    terminal.wait_for("[y/N] ");
    fs::rename(world.live("data"), world.live("other")).unwrap();
    fs::create_dir(world.live("data")).unwrap();
    let before = world.trees();
    terminal.press("y\n");
    let left = terminal.end();
    assert_eq!(left.status, 3, "{left:?}");
    let said = left.screen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("volume /data is another directory now"), "{said}");
    assert_eq!(world.trees(), before);
}

/// A world in which things take long enough to be seen.
fn large() -> (World, String) {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    (world, id)
}

#[test]
fn a_bar_fits_the_terminal_and_leaves_nothing_but_what_happened() {
    let (world, id) = large();
    for width in WIDTHS {
        for (args, phases, last) in [
            (&["create", "app", "--progress", "bar"][..], &["archiving /data"][..], ""),
            (&["verify", &id, "--progress", "bar"], &["verifying"], "good, "),
            (
                &["restore", "app", &id, "--yes", "--progress", "bar"],
                &["staging /data", "keeping the original"],
                "to go back: volsnap undo app (snapshot ",
            ),
        ] {
            in_time(|| {
                let left = shown(&world, width, args);
                assert_eq!(left.status, 0, "{left:?}");
                let bars = left.bars();
                for phase in phases {
                    assert!(!left.screen.contains(phase), "{phase}: {left:?}");
                }
                for bar in &bars {
                    assert!(bar.chars().count() < usize::from(width), "{width}: {bar:?}");
                }
                let said = left.screen.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(said.contains(last), "{left:?}");
                // What is over between two looks at the clock is never drawn.
                let drawn = |part: &str| bars.iter().any(|bar| bar.contains(part));
                phases.iter().all(|phase| drawn(phase)) && drawn("%") && (width < 200 || drawn("["))
            });
        }
    }
}

#[test]
fn ctrl_c_while_it_stages_goes_back_and_says_so() {
    let (world, id) = large();
    world.damage();
    let before = world.trees();
    for presses in [1, 3] {
        in_time(|| {
            let mut terminal = Terminal::start(&world, 80, &["restore", "app", &id, "--yes", "--progress", "bar"]);
            terminal.wait_for("staging /data");
            for _ in 0..presses {
                terminal.interrupt();
            }
            let left = terminal.end();
            if left.status == 0 {
                world.json(&["undo", "app"]);
                return false;
            }
            assert_eq!(left.status, 4, "{left:?}");
            let said = left.screen.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains("interrupted: going back to the original data"), "{said}");
            assert!(said.contains("app is on its original data"), "{said}");
            assert!(said.contains("it was never down because: cancelled hint: "), "{said}");
            assert!(!said.contains("WARN") && !said.contains('%'), "{said}");
            true
        });
        assert_eq!(world.trees(), before);
    }
}

#[test]
fn of_a_copy_that_is_interrupted_nothing_is_left_and_it_is_said_so() {
    let (world, id) = large();
    let before = world.trees();
    let copies = world.path("copies");
    fs::create_dir(&copies).unwrap();
    let (out, place) = (copies.join("out").display().to_string(), format!("/data={}", copies.join("data").display()));
    let scratch = copies.display().to_string();
    for (args, word) in [
        (&["extract", &id, &out][..], "interrupted: giving the copy up"),
        (&["clone", "app", &id, "--volume", &place], "interrupted: giving the copy up"),
        (&["drill", "app", &id, "--scratch", &scratch], "interrupted: giving the drill up"),
    ] {
        in_time(|| {
            let mut terminal = Terminal::start(&world, 80, &[args, &["--progress", "bar"]].concat());
            terminal.wait_for("staging /data");
            terminal.interrupt();
            let left = terminal.end();
            if left.status == 0 {
                for name in ["out", "data"] {
                    let _ = fs::remove_dir_all(copies.join(name));
                }
                return false;
            }
            assert_eq!(left.status, 4, "{left:?}");
            let said = left.screen.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(word) && !said.contains("original"), "{said}");
            true
        });
        assert_eq!(fs::read_dir(&copies).unwrap().count(), 0, "{args:?}");
        assert_eq!(world.json(&["status"])["copies"], json!([]), "{args:?}");
        assert_eq!(world.trees(), before, "{args:?}");
    }
}

#[test]
fn ctrl_c_after_the_switch_finishes_and_says_so_also_when_it_is_pressed_again() {
    let (world, id) = large();
    world.json(&["restore", "app", &id, "--yes"]);
    let restored = world.trees();
    world.damage();
    let mut terminal = Terminal::start(&world, 80, &["restore", "app", &id, "--yes", "--progress", "bar"]);
    terminal.wait_for("keeping the original");
    terminal.interrupt();
    terminal.wait_for("too late to go back");
    terminal.interrupt();
    let left = terminal.end();
    assert_eq!(left.status, 0, "{left:?}");
    let said = left.screen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("so the restore was finished"), "{said}");
    assert!(said.contains("app is restored from"), "{said}");
    assert_eq!(world.trees(), restored);
}

#[test]
fn ctrl_c_while_it_only_reads_ends_it_at_once_and_leaves_no_bar() {
    let (world, id) = large();
    in_time(|| {
        let mut terminal = Terminal::start(&world, 80, &["verify", &id, "--progress", "bar"]);
        terminal.wait_for("verifying");
        terminal.interrupt();
        let left = terminal.end();
        if left.status == 0 {
            return false;
        }
        assert_eq!((left.status, left.screen.replace("^C", "").as_str()), (130, ""), "{left:?}");
        true
    });
}
