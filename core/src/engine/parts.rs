//! Volumes that are part of another one: whether a snapshot has the same of both.

use super::{Engine, diff::Head, recover::quiet};
use crate::{
    error::Result,
    model::{Member, MemberKind},
    ports::{LookInto, MembersOf, Place},
};

impl Engine {
    /// Whether the volume at that index is, entry by entry and byte by byte, what an archive has at a place of another one.
    /// Contents are read: files of one size that were made within a tick of the clock have all other facts in common. Few
    /// snapshots have a directory twice, since one that lies in another is kept as part of that.
    pub(super) async fn is_at(&self, archive: &LookInto, inner: usize, place: &Place) -> Result<bool> {
        // Two are read at once: each would wait for the other's threads.
        let engine = &self.reserved(&quiet()).await?;
        let open = async |index: usize, path: &[u8]| {
            let of = MembersOf { path: path.to_vec(), contents: true };
            Head::of(Some(engine.ports.archives.archived_members(archive, index, &of, quiet()).await?)).await
        };
        let (mut inside, mut around) = (open(inner, &[]).await?, open(place.index, &place.path).await?);
        loop {
            match (inside.next.take(), around.next.take()) {
                (None, None) => return Ok(true),
                (Some(a), Some(b)) if is_one(&a, &b, &place.path) => {}
                (Some(_) | None, Some(_) | None) => return Ok(false),
            }
            inside.fill().await?;
            around.fill().await?;
        }
    }
}

/// Whether two members are of one entry of a tree that one volume has at its root and the other one below a path.
fn is_one(inside: &Member, around: &Member, below: &[u8]) -> bool {
    if path_below(&around.path, below) != Some(&inside.path) {
        return false;
    }
    let facts = |m: &Member| (m.mode, m.uid, m.gid, m.mtime_seconds, m.mtime_nanoseconds);
    let more = |m: &Member| (m.kind.clone(), m.xattrs.clone(), m.flags.clone(), m.contents);
    // Which of a file's names is its first one depends on what else a volume holds: that doubt counts against it.
    let same = match (&inside.kind, &around.kind) {
        (MemberKind::HardLink { target: a }, MemberKind::HardLink { target: b }) => path_below(b, below) == Some(a),
        _ => more(inside) == more(around),
    };
    same && facts(inside) == facts(around)
}

/// A path of a volume as it is below another path; `None` if it is not below it.
fn path_below<'a>(path: &'a [u8], below: &[u8]) -> Option<&'a [u8]> {
    match (path.strip_prefix(below)?, below) {
        (path, []) => Some(path),
        ([], _) => Some(&[]),
        (rest, _) => rest.strip_prefix(b"/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, mtime_nanoseconds: u32) -> Member {
        Member {
            path: path.into(),
            kind: MemberKind::File { bytes: 1 },
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime_seconds: 7,
            mtime_nanoseconds,
            xattrs: Vec::new(),
            flags: None,
            contents: None,
        }
    }

    #[test]
    fn an_entry_is_known_by_its_path_below_the_place_and_by_its_facts() {
        assert!(is_one(&file("a/b", 1), &file("in/a/b", 1), b"in"));
        assert!(is_one(&file("", 1), &file("in", 1), b"in"));
        assert!(is_one(&file("a", 1), &file("a", 1), b""));
        assert!(!is_one(&file("a", 1), &file("in/a", 2), b"in"), "another time");
        assert!(!is_one(&file("a", 1), &file("in/b", 1), b"in"), "another name");
        assert!(!is_one(&file("a", 1), &file("in/aa", 1), b"in/a"), "beside the place");
        let contents = |byte| Member { contents: Some([byte; 32]), ..file("a", 1) };
        assert!(!is_one(&contents(1), &contents(2), b""), "other contents");
        let linked =
            |path: &str, target: &str| Member { kind: MemberKind::HardLink { target: target.into() }, ..file(path, 1) };
        assert!(is_one(&linked("b", "a"), &linked("in/b", "in/a"), b"in"));
        assert!(!is_one(&linked("b", "a"), &linked("in/b", "first"), b"in"), "its first name is elsewhere");
        assert!(!is_one(&file("b", 1), &linked("in/b", "first"), b"in"), "its first name is elsewhere");
    }
}
