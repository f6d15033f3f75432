//! Programs of this host: how they end, what is heard of them, and what is left of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use volsnap_core::ports::{Command, Commands, Exit, Observer, Progress, Quiet, Ran, TOLD_MAX, Watch};
use volsnap_host::HostCommands;

fn shell(script: &str) -> Command {
    Command {
        words: ["sh", "-c", script].map(String::from).to_vec(),
        env: vec![("VOLSNAP_EVENT".into(), "pre-create".into())],
        timeout: Duration::from_secs(60),
    }
}

async fn run(command: &Command) -> Ran {
    let watch: Watch = Arc::new(Quiet);
    HostCommands.run(command, &watch).await
}

async fn check(script: &str, exit: Exit, told: &str) {
    let ran = run(&shell(script)).await;
    assert_eq!((&ran.exit, ran.told.trim()), (&exit, told), "{script}");
}

/// Waits until nobody has the file open any more: a lock on it was held by the group.
fn assert_ended(flag: &Path) {
    let before = std::fs::metadata(flag).unwrap().len();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(std::fs::metadata(flag).unwrap().len(), before, "something goes on writing");
}

/// A program that goes on writing, in the background too, and does not listen.
fn stubborn(flag: &Path) -> String {
    let flag = flag.display();
    format!(
        "trap '' TERM; (while :; do echo x >> {flag}; sleep 0.02; done) & while :; do echo y >> {flag}; sleep 0.02; done"
    )
}

#[tokio::test]
async fn a_program_ends_with_its_status_and_what_it_said() {
    check("exit 0", Exit::Status(0), "").await;
    check("echo out; exit 3", Exit::Status(3), "out").await;
    check("echo out; echo err >&2; exit 3", Exit::Status(3), "err").await;
    check("echo $VOLSNAP_EVENT; pwd", Exit::Status(0), "pre-create\n/").await;
    check("kill -9 $$", Exit::Signal(9), "").await;
    check("cat; echo $?", Exit::Status(0), "0").await;
    let none = run(&Command { words: vec!["/nowhere/program".into()], ..shell("") }).await;
    assert!(matches!(&none.exit, Exit::NotStarted(why) if why.contains("/nowhere/program")), "{none:?}");
    let empty = run(&Command { words: vec![], ..shell("") }).await;
    assert!(matches!(empty.exit, Exit::NotStarted(_)), "{empty:?}");
}

#[tokio::test]
async fn much_output_blocks_nobody_and_its_end_is_kept() {
    let ran = run(&shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last")).await;
    assert_eq!(ran.exit, Exit::Status(0));
    assert!(ran.told.len() <= TOLD_MAX && ran.told.ends_with("x\nlast\n"), "{}", ran.told.len());
}

#[tokio::test]
async fn what_is_left_in_the_background_is_not_waited_for() {
    let began = Instant::now();
    check("sleep 30 & echo done", Exit::Status(0), "done").await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_time_out_ends_the_whole_group_gently_first() {
    let command =
        Command { timeout: Duration::from_millis(200), ..shell("trap 'echo tidied; exit 0' TERM; sleep 60 & wait") };
    let ran = run(&command).await;
    assert_eq!((&ran.exit, ran.told.trim()), (&Exit::TimedOut, "tidied"));

    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("flag");
    let began = Instant::now();
    let ran = run(&Command { timeout: Duration::from_millis(200), ..shell(&stubborn(&flag)) }).await;
    assert_eq!(ran.exit, Exit::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_ended(&flag);
}

struct Asked(AtomicBool);

impl Observer for Asked {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_who_asks_for_the_end_gets_it() {
    let asked = Arc::new(Asked(AtomicBool::new(false)));
    let watch: Watch = asked.clone();
    let running = tokio::spawn(async move { HostCommands.run(&shell("sleep 60"), &watch).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    asked.0.store(true, Ordering::Relaxed);
    assert_eq!(running.await.unwrap().exit, Exit::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("flag");
    let command = shell(&stubborn(&flag));
    let running = tokio::spawn(async move { run(&command).await });
    while std::fs::metadata(&flag).is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_ended(&flag);
}
