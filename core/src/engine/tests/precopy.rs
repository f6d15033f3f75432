//! What is done before an app is made quiet, what while it is, and what afterwards.

use super::*;
use crate::ports::{ArchiveSource, archives::MockPrecopy};

/// What was called, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<&'static str>>>);

impl Calls {
    fn note(&self, call: &'static str) {
        self.0.lock().expect("no panic").push(call);
    }

    fn list(&self) -> Vec<&'static str> {
        self.0.lock().expect("no panic").clone()
    }
}

/// How it goes.
#[derive(Clone, Copy)]
struct Course {
    precopy: Result<(), FsErrorKind>,
    capture: Result<(), FsErrorKind>,
    /// The volume's place in the container when it is copied.
    place: &'static str,
    /// After which call another directory stands at the volume's root, or none.
    replaced: Option<(&'static str, bool)>,
    after: RunState,
}

const FINE: Course =
    Course { precopy: Ok(()), capture: Ok(()), place: "/srv/data", replaced: None, after: RunState::Paused };

fn failure(kind: FsErrorKind) -> FsError {
    FsError::new(kind, FsOp::Archive, "/srv/data", "a test")
}

fn draft(calls: &Calls) -> MockDraftArchive {
    let mut draft = MockDraftArchive::new();
    let calls = calls.clone();
    draft.expect_seal().returning(move |_| {
        calls.note("seal");
        Ok(archive(vec![]))
    });
    draft
}

fn disks(calls: &Calls, course: Course) -> Disks {
    let mut disks = Disks::new();
    disks.journals.expect_lock().returning(|_| Ok(Box::new(Held)));
    disks.filesystem.expect_claim().returning(|_| Ok(claim()));
    ordinary(&mut disks);
    disks.journals.expect_read_journal().returning(|_| Ok(None));
    disks.journals.expect_journals().returning(|| Ok(vec![]));
    disks.archives.expect_sweep_drafts().returning(|_| Ok(()));
    disks.filesystem.expect_host().return_const("host");
    disks.filesystem.expect_state_dir().return_const(PathBuf::from("/var/lib/volsnap"));
    let noted = calls.clone();
    disks.filesystem.expect_locate().returning(move |path| {
        let other = Occupant::Directory(Identity { inode: 13, birth_ns: Some(1), subvolume: None });
        let occupant =
            match course.replaced {
                Some((call, is_there)) if path == Path::new("/srv/data") && noted.list().contains(&call) => {
                    if is_there { other } else { Occupant::Absent }
                }
                Some(_) | None => location(path).occupant,
            };
        Ok(Location { occupant, ..location(path) })
    });
    disks.archives.expect_draft_archive().never();
    let noted = calls.clone();
    disks.archives.expect_precopy().returning(move |_: &Manifest, _: &[ArchiveSource], _| {
        noted.note("precopy");
        course.precopy.map_err(failure)?;
        let (mut precopy, noted) = (MockPrecopy::new(), noted.clone());
        precopy.expect_capture().returning(move |_| {
            noted.note("capture");
            course.capture.map_err(failure)?;
            Ok(Box::new(draft(&noted)))
        });
        Ok(Some(Box::new(precopy)))
    });
    let noted = calls.clone();
    disks.journals.expect_write_journal().returning(move |_, _| {
        noted.note("journal");
        Ok(())
    });
    let noted = calls.clone();
    disks.journals.expect_remove_journal().returning(move |_| {
        noted.note("no journal");
        Ok(())
    });
    disks
}

fn containers(calls: &Calls, course: Course) -> MockContainers {
    let mut containers = MockContainers::new();
    containers.expect_lease().returning(|_| Ok(Box::new(Held)));
    containers.expect_info().returning(|| Ok(engine_of("one")));
    containers.expect_mounting().returning(|_| Ok(vec![container()]));
    // It is looked at before the copy, after it, and when the capture is done.
    containers.expect_find().times(1).returning(|_| Ok(vec![container()]));
    let mount = Mount { source: course.place.into(), ..container().mounts.remove(0) };
    let copied = Container { mounts: vec![mount], ..container() };
    containers.expect_find().times(0..=1).returning(move |_| Ok(vec![copied.clone()]));
    containers.expect_find().returning(move |_| Ok(vec![Container { run: course.after, ..container() }]));
    let noted = calls.clone();
    containers.expect_pause().returning(move |_| {
        noted.note("pause");
        Ok(())
    });
    let noted = calls.clone();
    containers.expect_unpause().returning(move |_| {
        noted.note("wake");
        Ok(())
    });
    containers
}

/// Takes a snapshot; gives what was called and how it ended.
async fn create(course: Course) -> (Vec<&'static str>, Option<Code>) {
    let calls = Calls::default();
    let mut store = MockStore::new();
    store.expect_put_snapshot().returning(|_| Ok(()));
    store.expect_record().returning(|_| Ok(()));
    let engine = engine(disks(&calls, course), store, Some(containers(&calls, course)));
    let request = SnapshotRequest { workload: workload(), mode: Mode::Pause, note: None };
    let created = engine.create(&request, &quiet()).await;
    (calls.list(), created.err().map(|error| error.code))
}

#[tokio::test]
async fn an_app_is_frozen_only_between_the_copy_of_its_volumes_and_the_making_of_the_archive() {
    let (calls, error) = create(FINE).await;
    assert_eq!(calls, ["precopy", "journal", "pause", "capture", "wake", "no journal", "seal"]);
    assert_eq!(error, None);
}

#[tokio::test]
async fn an_app_is_not_touched_when_its_volumes_cannot_be_copied_or_the_user_gives_up() {
    for (kind, code) in [(FsErrorKind::NoSpace, Code::Io), (FsErrorKind::Cancelled, Code::Aborted)] {
        let (calls, error) = create(Course { precopy: Err(kind), ..FINE }).await;
        assert_eq!((calls, error), (vec!["precopy"], Some(code)));
    }
}

#[tokio::test]
async fn an_app_is_woken_when_what_changed_cannot_be_captured_or_did_not_stay_as_it_was() {
    for course in [
        Course { capture: Err(FsErrorKind::NoSpace), ..FINE },
        Course { capture: Err(FsErrorKind::Cancelled), ..FINE },
        Course { after: RunState::Running, ..FINE },
    ] {
        let (calls, error) = create(course).await;
        assert_eq!(calls, ["precopy", "journal", "pause", "capture", "wake", "no journal"]);
        assert!(error.is_some());
    }
}

#[tokio::test]
async fn an_app_that_was_deployed_anew_while_its_volumes_were_copied_is_left_alone() {
    let (calls, error) = create(Course { place: "/srv/other", ..FINE }).await;
    assert_eq!((calls, error), (vec!["precopy"], Some(Code::Aborted)));
}

#[tokio::test]
async fn a_root_that_was_replaced_or_went_away_while_it_was_read_is_no_snapshot() {
    for is_there in [true, false] {
        let (calls, error) = create(Course { replaced: Some(("precopy", is_there)), ..FINE }).await;
        assert_eq!((calls, error), (vec!["precopy"], Some(Code::Aborted)), "the app is not touched");
        for at in ["pause", "capture"] {
            let (calls, error) = create(Course { replaced: Some((at, is_there)), ..FINE }).await;
            assert_eq!(calls, ["precopy", "journal", "pause", "capture", "wake", "no journal"]);
            assert_eq!(error, Some(Code::Aborted));
        }
    }
}
