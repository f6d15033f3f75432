//! How a plan is made of what the ports say.

use super::*;

#[tokio::test]
async fn an_engine_root_that_cannot_be_looked_at_is_not_left_unprotected() {
    for (kind, refused) in [(FsErrorKind::Denied, true), (FsErrorKind::NotFound, false)] {
        let mut filesystem = MockFilesystem::new();
        filesystem.expect_read_archive().returning(|_, _| Ok(archive(vec![])));
        filesystem.expect_locate().returning(move |path| match path.starts_with("/engine") {
            true => Err(FsError::new(kind, FsOp::Look, path, "a test")),
            false => Ok(location("/srv/data")),
        });
        filesystem.expect_mounted().returning(|_| Ok(Mounted::default()));
        filesystem.expect_private_dirs().returning(|_| Ok(vec![]));
        filesystem.expect_look().returning(|_| Ok(Sight::Absent));
        filesystem.expect_measure().returning(|_| Ok(TreeSize::default()));
        filesystem.expect_state_dir().return_const(PathBuf::from("/state"));
        filesystem.expect_space().returning(|_| Ok((location("/state").filesystem, location("/state").space)));
        filesystem.expect_journals().returning(|| Ok(vec![]));
        filesystem.expect_host().return_const("host");
        let mut containers = MockContainers::new();
        containers.expect_find().returning(|_| Ok(vec![container()]));
        containers.expect_mounting().returning(|_| Ok(vec![container()]));
        containers.expect_info().returning(|| {
            Ok(EngineInfo { version: "1".into(), id: None, root: Some("/engine".into()), live_restore: None })
        });
        let snapshot = Snapshot::from(archive(vec![]));
        let engine = engine(filesystem, MockStore::new(), Some(containers));
        let planned = engine.plan_now(&RestoreRequest::of(workload(), snapshot)).await;
        assert_eq!(planned.as_ref().is_err_and(|e| e.code == Code::Io), refused, "{planned:?}");
    }
}
