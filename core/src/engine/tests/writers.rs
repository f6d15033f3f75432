//! When the engine looks for processes of the host that write into the originals, and what becomes of the answer.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::{model::Writer, restore::Outcome};

/// Both directories have been exchanged, and the journal does not say so yet.
fn committed() -> State {
    let mut state = restore(vec![Entry::Pinned { containers: vec![] }, Entry::Committed { restored: vec![RESTORED] }]);
    state.plan.options.safety_snapshot = false;
    state
}

/// Drives that restore to its end. The look is asked for once, when the app is back and before anything is deleted.
async fn warnings_of(answer: Result<Vec<Writer>, FsError>) -> Vec<String> {
    let mut state = committed();
    let private = state.plan.private(0);
    let mut disks = Disks::new();
    let (last, discarded) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicBool::new(false)));
    disks.filesystem.expect_settle().returning(|_| Ok(()));
    let (aside, gone) = (private.clone(), discarded.clone());
    disks.filesystem.expect_look().returning(move |path| {
        let identity = match path {
            _ if path.starts_with(&aside) && gone.load(Ordering::Relaxed) => return Ok(Sight::Absent),
            _ if path == Path::new("/srv") => PARENT,
            _ if path == Path::new("/srv/data") => RESTORED,
            _ if path == aside || path == aside.join("staged") => ORIGINAL,
            _ => return Ok(Sight::Absent),
        };
        Ok(Sight::Directory { identity, empty: false })
    });
    disks.archives.expect_settle_archives().returning(|_| Ok(()));
    let absent = || FsError::new(FsErrorKind::NotFound, FsOp::Archive, "/state/snapshots/w/s.tar.zst", "a test");
    disks.archives.expect_read_archive().returning(move |_, _| Err(absent()));
    let written = last.clone();
    disks.journals.expect_write_journal().returning(move |_, bytes| {
        *written.lock().expect("entries") = String::from_utf8_lossy(bytes).into_owned();
        Ok(())
    });
    let (written, gone) = (last.clone(), discarded.clone());
    disks.filesystem.expect_writers().withf(move |dirs| dirs == [private.clone()]).times(1).returning(move |_| {
        assert!(written.lock().expect("entries").contains("redeployed"), "the app is down meanwhile");
        assert!(!gone.load(Ordering::Relaxed), "the originals are gone already");
        answer.clone()
    });
    disks.filesystem.expect_discard().times(1).returning(move |_, _, _| {
        discarded.store(true, Ordering::Relaxed);
        Ok(())
    });
    disks.journals.expect_retire_journal().times(1).returning(|_| Ok(()));
    let mut store = MockStore::new();
    store.expect_record().returning(|_| Ok(()));
    let report = engine(disks, store, None).drive(&mut state, &quiet(), Notes::default()).await.expect("an end");
    assert_eq!(report.outcome, Outcome::Restored);
    report.warnings
}

#[tokio::test]
async fn who_writes_into_an_original_is_told_by_pid_program_and_path_once_the_app_is_back() {
    let path = committed().plan.private(0).join("staged/log");
    let warnings = warnings_of(Ok(vec![Writer { pid: 7, program: "rsync".into(), path: path.clone() }])).await;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.starts_with("process 7 (rsync) still writes into the original of volume /data"), "{warning}");
    assert!(warning.contains(path.to_str().expect("a path")), "{warning}");
}

#[tokio::test]
async fn a_restore_ends_as_well_where_nobody_can_be_looked_for() {
    assert_eq!(warnings_of(Ok(vec![])).await, [""; 0]);
    let warnings = warnings_of(Err(FsError::new(FsErrorKind::NotFound, FsOp::Look, "/proc", "no such file"))).await;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("is not known: ") && warning.contains("/proc"), "{warning}");
}
