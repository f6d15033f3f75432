//! How a plan is made of what the ports say.

use super::*;
use crate::model::DeclaredVolume;

#[tokio::test]
async fn an_engine_root_that_cannot_be_looked_at_is_not_left_unprotected() {
    for (kind, refused) in [(FsErrorKind::Denied, true), (FsErrorKind::NotFound, false)] {
        let mut disks = Disks::new();
        disks.archives.expect_read_archive().returning(|_, _| Ok(archive(vec![])));
        disks.filesystem.expect_locate().returning(move |path| match path.starts_with("/engine") {
            true => Err(FsError::new(kind, FsOp::Look, path, "a test")),
            false => Ok(location("/srv/data")),
        });
        disks.filesystem.expect_mounted().returning(|_| Ok(Mounted::default()));
        disks.filesystem.expect_private_dirs().returning(|_| Ok(vec![]));
        disks.filesystem.expect_look().returning(|_| Ok(Sight::Absent));
        disks.filesystem.expect_measure().returning(|_| Ok(TreeSize::default()));
        disks.filesystem.expect_state_dir().return_const(PathBuf::from("/state"));
        disks.filesystem.expect_space().returning(|_| Ok((location("/state").filesystem, location("/state").space)));
        disks.journals.expect_journals().returning(|| Ok(vec![]));
        disks.journals.expect_read_journal().returning(|_| Ok(None));
        disks.filesystem.expect_host().return_const("host");
        disks.filesystem.expect_rights().returning(crate::model::Rights::all);
        let mut containers = MockContainers::new();
        containers.expect_find().returning(|_| Ok(vec![container()]));
        containers.expect_mounting().returning(|_| Ok(vec![container()]));
        containers.expect_all().returning(|| Ok(vec![container()]));
        containers.expect_info().returning(|| {
            Ok(EngineInfo {
                version: "1".into(),
                id: None,
                root: Some("/engine".into()),
                live_restore: None,
                fixed_policies: false,
            })
        });
        let snapshot = Snapshot::from(archive(vec![]));
        let engine = engine(disks, MockStore::new(), Some(containers));
        let planned = engine.plan_now(&RestoreRequest::of(workload(), snapshot)).await;
        assert_eq!(planned.as_ref().is_err_and(|e| e.code == Code::Io), refused, "{planned:?}");
    }
}

fn always(name: &str) -> Container {
    let restart_policy = RestartPolicy { name: "always".into(), retries_max: 0 };
    Container { name: name.into(), restart_policy, ..container() }
}

fn old_podman(fixed_policies: bool) -> EngineInfo {
    EngineInfo { version: "Podman 4.3.1".into(), id: None, root: None, live_restore: None, fixed_policies }
}

#[test]
fn an_engine_that_keeps_restart_policies_cannot_hold_what_has_one() {
    let never = Container { restart_policy: RestartPolicy::never(), ..container() };
    assert_eq!(old_podman(true).cannot_hold([&never]), None);
    assert_eq!(old_podman(false).cannot_hold([&always("web")]), None);
    let refusal = old_podman(true).cannot_hold([&never, &always("web"), &always("db"), &always("web")]).unwrap();
    let start = "Podman 4.3.1 cannot change the restart policy of a container that exists";
    assert!(refusal.message.starts_with(start), "{}", refusal.message);
    assert!(refusal.message.contains("db (always), web (always)"), "{}", refusal.message);
}

#[tokio::test]
async fn a_restore_that_the_engine_cannot_hold_is_refused_beforehand() {
    for fixed in [true, false] {
        let mut disks = Disks::new();
        disks.archives.expect_read_archive().returning(|_, _| Ok(archive(vec![])));
        disks.filesystem.expect_locate().returning(|_| Ok(location("/srv/data")));
        disks.filesystem.expect_mounted().returning(|_| Ok(Mounted::default()));
        disks.filesystem.expect_private_dirs().returning(|_| Ok(vec![]));
        disks.filesystem.expect_look().returning(|_| Ok(Sight::Absent));
        disks.filesystem.expect_measure().returning(|_| Ok(TreeSize::default()));
        disks.filesystem.expect_state_dir().return_const(PathBuf::from("/state"));
        disks.filesystem.expect_space().returning(|_| Ok((location("/state").filesystem, location("/state").space)));
        disks.journals.expect_journals().returning(|| Ok(vec![]));
        disks.journals.expect_read_journal().returning(|_| Ok(None));
        disks.filesystem.expect_host().return_const("host");
        disks.filesystem.expect_rights().returning(crate::model::Rights::all);
        let mut containers = MockContainers::new();
        containers.expect_find().returning(|_| Ok(vec![always("web")]));
        containers.expect_all().returning(|| Ok(vec![]));
        containers.expect_mounting().returning(|_| Ok(vec![]));
        containers.expect_info().returning(move || Ok(old_podman(fixed)));
        let snapshot = Snapshot::from(archive(vec![]));
        let engine = engine(disks, MockStore::new(), Some(containers));
        let plan = engine.plan_now(&RestoreRequest::of(workload(), snapshot)).await.unwrap();
        let told = plan.refusals.iter().any(|refusal| refusal.message.contains("restart policy"));
        assert_eq!(told, fixed, "{:?}", plan.refusals);
    }
}

#[tokio::test]
async fn the_directory_of_a_named_volume_that_is_declared_by_hand_is_of_no_concern() {
    for (path, of_concern) in [("/engine/volumes/data/_data", false), ("/engine/volumes/data", true)] {
        let mut disks = Disks::new();
        ordinary(&mut disks);
        disks.filesystem.expect_locate().returning(|path| Ok(location(path)));
        disks.filesystem.expect_state_dir().return_const(PathBuf::from("/state"));
        let mut containers = MockContainers::new();
        containers.expect_info().returning(|| Ok(EngineInfo { root: Some("/engine".into()), ..old_podman(false) }));
        let declared = DeclaredVolume { target: "/data".into(), path: path.into() };
        let workload = Workload { selector: Selector::default(), volumes: vec![declared], ..workload() };
        let concerns = engine(disks, MockStore::new(), Some(containers)).concerns(&workload).await;
        assert_eq!(concerns.iter().any(|one| one.contains("overlaps")), of_concern, "{path}: {concerns:?}");
    }
}
