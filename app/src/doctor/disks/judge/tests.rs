//! Each judgement by an example that has it, and by one that just has not.

use Severity::{Note, Ok as Fine, Problem, Warning};
use volsnap_core::{
    model::FilesystemId,
    ports::{FsErrorKind, FsOp},
};

use super::*;

/// A disk with which nothing is wrong.
fn disk() -> Disk {
    let info = FilesystemInfo {
        id: FilesystemId("1".into()),
        mount: "/srv".into(),
        kind: "ext4".into(),
        disk: Some("/dev/vdb".into()),
        exchange: true,
        births: true,
        read_only: false,
        path_preserving: None,
    };
    let users = BTreeSet::from(["the state directory".to_string(), "workload shop".to_string()]);
    Disk { info, space: space(LITTLE_BYTES, Some(LITTLE_INODES)), place: Some("/srv".into()), users }
}

fn space(bytes_free: u64, inodes_free: Option<u64>) -> Space {
    Space { bytes_free, inodes_free, block: 4096 }
}

/// A filesystem that can do everything.
fn able() -> Probed {
    Probed { exchange: true, births: true, sync_problem: None, xattrs: true, acls: true, reflinks: true }
}

fn failing() -> FsError {
    FsError::new(FsErrorKind::Io, FsOp::Look, "/srv", "Input/output error")
}

/// Severities and messages of what is found.
fn said(disk: &Disk, tried: Option<&Result<Probed, FsError>>) -> Vec<(Severity, String)> {
    let findings = judge(disk, tried);
    assert!(findings.iter().all(|finding| finding.check == "disks" && finding.subject == "/srv"), "{findings:?}");
    findings.into_iter().map(|finding| (finding.severity, finding.message)).collect()
}

#[test]
fn what_a_filesystem_can_do_decides_how_bad_it_is() {
    let all = "exchange, birth times, extended attributes, ACLs, reflinks";
    for (can_not, severity, message) in [
        (&(|_: &mut Probed| {}) as &dyn Fn(&mut Probed), Fine, format!("syncs; {all}")),
        (
            &|p| p.reflinks = false,
            Fine,
            "syncs; exchange, birth times, extended attributes, ACLs; not: reflinks".into(),
        ),
        (&|p| p.births = false, Note, "syncs; exchange, extended attributes, ACLs, reflinks; not: birth times".into()),
        (&|p| p.xattrs = false, Note, "syncs; exchange, birth times, ACLs, reflinks; not: extended attributes".into()),
        (&|p| p.acls = false, Note, "syncs; exchange, birth times, extended attributes, reflinks; not: ACLs".into()),
        (
            &|p| p.exchange = false,
            Problem,
            "syncs; birth times, extended attributes, ACLs, reflinks; not: exchange; a restore counts on the exchange \
             and will be given up"
                .into(),
        ),
        (
            &|p| p.sync_problem = Some("Input/output error".into()),
            Problem,
            "syncing fails, so nothing is durable there: Input/output error".into(),
        ),
    ] {
        let mut probed = able();
        can_not(&mut probed);
        let expected = format!("ext4 on /dev/vdb, used by the state directory, workload shop: {message}");
        assert_eq!(said(&disk(), Some(&Ok(probed))), [(severity, expected)]);
    }
}

/// A restore sets live aside by two renames where the plan knows that there is no exchange.
#[test]
fn a_network_or_fuse_filesystem_is_judged_by_what_it_does_and_not_by_its_name() {
    for kind in ["nfs4", "cifs", "fuse.sshfs", "9p"] {
        let mut other = disk();
        other.info.kind = kind.into();
        other.info.disk = None;
        (other.info.exchange, other.info.births) = (false, false);
        let weak = Probed { exchange: false, births: false, xattrs: false, acls: false, reflinks: false, ..able() };
        let expected = format!(
            "{kind}, used by the state directory, workload shop: syncs; not: exchange, birth times, extended attributes, \
             ACLs, reflinks"
        );
        assert_eq!(said(&other, Some(&Ok(weak))), [(Note, expected)]);
        assert_eq!(said(&other, Some(&Ok(able())))[0].0, Fine, "{kind} that can do everything");
    }
}

#[test]
fn a_filesystem_that_cannot_be_tried_is_told_with_the_reason() {
    let nowhere = said(&disk(), None);
    assert_eq!(nowhere[0].0, Note);
    assert!(nowhere[0].1.ends_with("not tried, since every place there is within a volume or not writable"));
    let failed = said(&disk(), Some(&Err(failing())));
    assert_eq!(failed[0].0, Problem);
    assert!(failed[0].1.contains("nothing can be tried there: ") && failed[0].1.contains("Input/output error"));
}

#[test]
fn a_filesystem_that_is_mounted_read_only_is_a_problem_whatever_came_of_trying_it() {
    let mut other = disk();
    other.info.read_only = true;
    for tried in [None, Some(Err(failing())), Some(Ok(able()))] {
        let findings = judge(&other, tried.as_ref());
        assert_eq!((findings.len(), findings[0].severity), (1, Problem));
        assert!(findings[0].message.ends_with("mounted read-only, so nothing can be restored there"), "{findings:?}");
        assert!(findings[0].remedy.as_ref().is_some_and(|r| r.contains("mount -o remount,rw /srv")), "{findings:?}");
    }
}

#[test]
fn little_space_is_a_warning_beside_all_else() {
    for (free, message) in [
        (space(LITTLE_BYTES, Some(LITTLE_INODES)), None),
        (space(LITTLE_BYTES, None), None),
        (space(LITTLE_BYTES - 1, Some(LITTLE_INODES)), Some("511 MiB and 1000 inodes are free")),
        (space(LITTLE_BYTES, Some(LITTLE_INODES - 1)), Some("512 MiB and 999 inodes are free")),
        (space(0, None), Some("0 MiB are free")),
    ] {
        let full = Disk { space: free, ..disk() };
        let expected: Vec<_> = message.map(|message| (Warning, message.to_string())).into_iter().collect();
        for tried in [Some(Ok(able())), Some(Err(failing())), None] {
            assert_eq!(said(&full, tried.as_ref())[1..], expected, "{free:?}");
        }
    }
}

#[test]
fn a_state_directory_without_room_for_journals_is_a_problem() {
    let judged = |bytes, inodes| state_space(Path::new("/state"), space(bytes, inodes));
    assert_eq!(judged(JOURNALS_BYTES, Some(JOURNALS_INODES)), None);
    assert_eq!(judged(JOURNALS_BYTES, None), None);
    for (bytes, inodes, message) in [
        (JOURNALS_BYTES - 1, None, "16777215 bytes are free: there may be no room for a journal"),
        (0, Some(JOURNALS_INODES), "0 bytes are free: there may be no room for a journal"),
        (JOURNALS_BYTES, Some(JOURNALS_INODES - 1), "15 inodes are free: there may be no room for a journal"),
    ] {
        let found = judged(bytes, inodes);
        let found = found.as_ref().map(|found| (found.severity, found.subject.as_str(), found.message.as_str()));
        assert_eq!(found, Some((Problem, "/state", message)));
    }
}

#[test]
fn a_volume_that_is_nowhere_is_a_problem_and_its_filesystem_is_asked_for() {
    let error = FsError::new(FsErrorKind::NotFound, FsOp::Look, "/mnt/data", "No such file or directory");
    let found = not_located("shop", "/data", Path::new("/mnt/data/shop"), &error);
    assert_eq!((found.severity, found.subject.as_str()), (Problem, "/mnt/data/shop"));
    assert!(found.message.starts_with("volume /data of shop: "), "{found:?}");
    assert_eq!(found.remedy.as_deref(), Some("check that its filesystem is mounted"));
}
