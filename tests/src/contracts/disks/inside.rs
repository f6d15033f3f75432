//! Looking into archives: what they hold is listed and handed out without being extracted.

#![allow(missing_docs, reason = "the names are the promises")]

use std::sync::Mutex;

use volsnap_core::{
    model::{Member, MemberKind},
    ports::{Found, LookInto, MemberSink, Output, Place},
};

use super::*;

fn into(summary: &ArchiveSummary) -> LookInto {
    let (workload, snapshot) = (WORKLOAD, summary.manifest.snapshot);
    LookInto { workload, snapshot, archive_digest: summary.digest.clone() }
}

fn place(index: usize, path: &str) -> Place {
    Place { index, path: path.into() }
}

/// The members at and below some places, by volume and path, and what the listing ended with.
async fn list(
    fs: &Arc<dyn Disks>,
    archive: &LookInto,
    places: &[Place],
) -> Result<(Vec<(usize, String)>, Found), FsError> {
    let listed = Arc::new(Mutex::new(Vec::new()));
    let list = listed.clone();
    let sink: MemberSink = Box::new(move |index, member: Member| {
        list.lock().unwrap().push((index, String::from_utf8(member.path).unwrap()));
        Ok(())
    });
    let found = fs.list_members(archive, places, sink, quiet()).await?;
    let listed = listed.lock().unwrap().clone();
    Ok((listed, found))
}

/// Keeps what is handed out; `true` when that was the end.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<(Vec<u8>, bool)>>);

impl Output for Kept {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.0.lock().unwrap().0.extend(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.0.lock().unwrap().1 = true;
        Ok(())
    }
}

async fn dump(fs: &Arc<dyn Disks>, archive: &LookInto, place: &Place) -> Result<(Found, Vec<u8>, bool), FsError> {
    let kept = Kept::default();
    let found = fs.dump_member(archive, place, Box::new(kept.clone()), quiet()).await?;
    let (bytes, ended) = kept.0.lock().unwrap().clone();
    Ok((found, bytes, ended))
}

pub async fn an_archive_is_looked_into_as_its_tree_was(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let roots = [data.join("one"), data.join("two")];
    h.put(&roots[0], &tree(&[("a", "1"), ("d/a", "22"), ("d/b/c", "333"), ("d.x", "4")]));
    h.put(&roots[1], &tree(&[("b", "")]));
    let archive = into(&archive(&fs, SNAPSHOT, &roots).await);
    // What became of the directories since is no matter.
    h.put_file(&roots[0].join("later"), b"5");
    h.overwrite_file(&roots[0].join("a"), b"another");
    let (all, found) = list(&fs, &archive, &[place(0, ""), place(1, "")]).await.unwrap();
    let of = |index, paths: &[&str]| paths.iter().map(|path| (index, path.to_string())).collect::<Vec<_>>();
    let whole = [of(0, &["", "a", "d", "d/a", "d/b", "d/b/c", "d.x"]), of(1, &["", "b"])].concat();
    assert_eq!((all, found), (whole, Found::Done(9)));
    let (some, found) = list(&fs, &archive, &[place(1, "b"), place(0, "d/b")]).await.unwrap();
    assert_eq!((some, found), ([of(1, &["b"]), of(0, &["d/b", "d/b/c"])].concat(), Found::Done(3)));
    for (at, contents) in [(place(0, "a"), "1"), (place(0, "d/b/c"), "333"), (place(1, "b"), "")] {
        let (found, bytes, ended) = dump(&fs, &archive, &at).await.unwrap();
        assert_eq!((found, bytes), (Found::Done(contents.len() as u64), contents.as_bytes().to_vec()));
        assert!(ended, "whoever takes it knows that this was all");
    }
}

pub async fn what_is_not_in_an_archive_is_told_with_what_is_nearest(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1"), ("d/b/c", "3")]));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    for (path, nearest) in [("d/b/none", "d/b"), ("d/none/c", "d"), ("none", ""), ("a/none", "a")] {
        let (listed, found) = list(&fs, &into(&summary), &[place(0, path)]).await.unwrap();
        let Found::Nothing(member) = found else { panic!("{path}: {found:?}") };
        assert_eq!((listed, member.path.as_slice()), (Vec::new(), nearest.as_bytes()), "{path}");
        let (found, bytes, ended) = dump(&fs, &into(&summary), &place(0, path)).await.unwrap();
        assert!(matches!(&found, Found::Nothing(member) if member.path == nearest.as_bytes()), "{path}: {found:?}");
        assert!(bytes.is_empty() && !ended, "{path}");
    }
    for path in ["", "d"] {
        let (found, bytes, ended) = dump(&fs, &into(&summary), &place(0, path)).await.unwrap();
        assert_eq!((found, bytes, ended), (Found::Other(MemberKind::Directory), Vec::new(), false), "{path}");
    }
    let other = LookInto { archive_digest: "0".repeat(64), ..into(&summary) };
    assert_eq!(list(&fs, &other, &[place(0, "")]).await.unwrap_err().kind, FsErrorKind::Corrupt);
    assert_eq!(dump(&fs, &other, &place(0, "a")).await.unwrap_err().kind, FsErrorKind::Corrupt);
}
