//! Merging by hand and against sets.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::*;

fn member(path: &str, kind: MemberKind) -> Member {
    Member {
        path: path.into(),
        kind,
        mode: 0o644,
        uid: 1,
        gid: 1,
        mtime_seconds: 10,
        mtime_nanoseconds: 5,
        xattrs: Vec::new(),
        flags: None,
        contents: None,
    }
}

fn file(path: &str, bytes: u64) -> Member {
    member(path, MemberKind::File { bytes })
}

/// What differs, as `A path`, `D path` or `M path what`.
fn merged(before: &[Member], after: &[Member], times: bool) -> (Vec<String>, VolumeDifference) {
    let (mut before, mut after) = (before.iter().cloned(), after.iter().cloned());
    let (mut left, mut right) = (before.next(), after.next());
    let (mut lines, mut numbers) = (Vec::new(), VolumeDifference::of("/v"));
    loop {
        let next = next(&mut left, &mut right, times);
        if let Next::Differs(change) = &next {
            numbers.count(change);
        }
        let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        match next {
            Next::End => return (lines, numbers),
            Next::Same => {}
            Next::Differs(change) => lines.push(match *change {
                Change::Added(member) => format!("A {}", text(&member.path)),
                Change::Removed(member) => format!("D {}", text(&member.path)),
                Change::Changed { after, what, .. } => {
                    let what: Vec<&str> = what.iter().map(|aspect| aspect.word()).collect();
                    format!("M {} {}", text(&after.path), what.join(","))
                }
            }),
        }
        left = left.or_else(|| before.next());
        right = right.or_else(|| after.next());
    }
}

#[track_caller]
fn check(before: &Member, after: &Member, times: bool, expected: &[Aspect]) {
    assert_eq!(differences(before, after, times), expected, "{before:?} and {after:?}");
}

#[test]
fn lists_are_merged_component_by_component() {
    let dir = |path: &str| member(path, MemberKind::Directory);
    let before = [dir(""), dir("a"), file("a/b", 1), file("a.b", 2), file("z", 3)];
    let after = [dir(""), dir("a"), file("a/c", 10), file("a.b", 2), file("b", 20), file("z", 30)];
    let (lines, numbers) = merged(&before, &after, false);
    assert_eq!(lines, ["D a/b", "A a/c", "A b", "M z size"]);
    assert_eq!((numbers.added, numbers.removed, numbers.changed), (2, 1, 1));
    assert_eq!((numbers.bytes_added, numbers.bytes_removed, numbers.bytes_changed), (30, 1, 30));
    assert!(merged(&before, &before, true).1.is_none());
    assert_eq!(merged(&before, &[], false).0.len(), before.len());
}

#[test]
fn a_time_counts_where_contents_may_hide_behind_it() {
    let later = |member: &Member| Member { mtime_nanoseconds: 6, ..member.clone() };
    let read = |member: &Member, byte: u8| Member { contents: Some([byte; 32]), ..member.clone() };
    let plain = file("f", 1);
    check(&plain, &later(&plain), false, &[Aspect::Mtime]);
    check(&read(&plain, 1), &read(&later(&plain), 1), false, &[]);
    check(&read(&plain, 1), &read(&later(&plain), 1), true, &[Aspect::Mtime]);
    check(&read(&plain, 1), &read(&plain, 2), false, &[Aspect::Content]);
    check(&read(&plain, 1), &read(&later(&plain), 2), false, &[Aspect::Content, Aspect::Mtime]);
    for kind in [MemberKind::Directory, MemberKind::Fifo, MemberKind::Symlink { target: b"x".to_vec() }] {
        let other = member("d", kind);
        check(&other, &later(&other), false, &[]);
        check(&other, &later(&other), true, &[Aspect::Mtime]);
    }
    let name = member("n", MemberKind::HardLink { target: b"f".to_vec() });
    check(&name, &later(&name), false, &[Aspect::Mtime]);
}

#[test]
fn bytes_count_as_changed_unless_the_contents_were_read_and_are_the_same() {
    let changed = |before: Member, after: Member| merged(&[before], &[after], true).1.bytes_changed;
    let later = || Member { mtime_seconds: 11, ..file("f", 7) };
    let read = |member: Member, byte: u8| Member { contents: Some([byte; 32]), ..member };
    assert_eq!(changed(file("f", 7), later()), 7);
    assert_eq!(changed(read(file("f", 7), 1), read(later(), 1)), 0);
    assert_eq!(changed(read(file("f", 7), 1), read(file("f", 7), 2)), 7);
    assert_eq!(changed(file("f", 7), Member { mode: 0, ..file("f", 7) }), 0);
}

#[test]
fn each_fact_has_its_word() {
    let plain = file("f", 1);
    check(&plain, &Member { mode: 0o4644, ..plain.clone() }, false, &[Aspect::Mode]);
    check(&plain, &Member { uid: 2, ..plain.clone() }, false, &[Aspect::Owner]);
    check(&plain, &Member { gid: 2, ..plain.clone() }, false, &[Aspect::Owner]);
    let labelled = Member { xattrs: vec![(b"user.a".to_vec(), Vec::new())], ..plain.clone() };
    check(&plain, &labelled, false, &[Aspect::Xattrs]);
    let flagged = |letters: &str| Member { flags: Some(letters.into()), ..plain.clone() };
    check(&flagged(""), &flagged("C"), false, &[Aspect::Flags]);
    check(&flagged("C"), &flagged("C"), false, &[]);
    // Where one side does not say, nothing is known to have changed.
    check(&plain, &flagged("C"), false, &[]);
    check(&flagged("d"), &plain, true, &[]);
    check(&plain, &member("f", MemberKind::Directory), false, &[Aspect::Type]);
    let link = |target: &str| member("l", MemberKind::Symlink { target: target.into() });
    check(&link("a"), &link("b"), false, &[Aspect::Target]);
    check(&link("a"), &Member { mode: 0o777, ..link("a") }, false, &[]);
    let name = |target: &str| member("f", MemberKind::HardLink { target: target.into() });
    check(&name("a"), &name("b"), false, &[Aspect::Links]);
    // The attributes are those of the first name.
    check(&labelled, &name("a"), false, &[Aspect::Links]);
    let device = |block, minor| member("d", MemberKind::Device { block, major: 1, minor });
    check(&device(true, 1), &device(true, 2), false, &[Aspect::Device]);
    check(&device(true, 1), &device(false, 1), false, &[Aspect::Type]);
}

proptest! {
    #[test]
    fn every_path_is_told_once_and_rightly(
        before in vec(("[ab./]{1,4}", 0_u64..3), 0..12),
        after in vec(("[ab./]{1,4}", 0_u64..3), 0..12),
    ) {
        let listed = |tree: &[(String, u64)]| {
            let tree: BTreeMap<&String, u64> = tree.iter().map(|(path, size)| (path, *size)).collect();
            let mut members: Vec<Member> = tree.into_iter().map(|(path, size)| file(path, size)).collect();
            members.sort_by(|a, b| member::order(&a.path, &b.path));
            members
        };
        let (before, after) = (listed(&before), listed(&after));
        let of = |members: &[Member]| -> BTreeMap<String, MemberKind> {
            members.iter().map(|m| (String::from_utf8(m.path.clone()).unwrap(), m.kind.clone())).collect()
        };
        let (old, new) = (of(&before), of(&after));
        let mut expected = BTreeSet::new();
        expected.extend(new.keys().filter(|path| !old.contains_key(*path)).map(|path| format!("A {path}")));
        expected.extend(old.keys().filter(|path| !new.contains_key(*path)).map(|path| format!("D {path}")));
        let both = old.iter().filter(|(path, kind)| new.get(*path).is_some_and(|new| new != *kind));
        expected.extend(both.map(|(path, _)| format!("M {path} size")));
        let (lines, _) = merged(&before, &after, false);
        prop_assert_eq!(lines.len(), expected.len());
        prop_assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}
