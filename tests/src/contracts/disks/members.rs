//! Members of trees, archived and live, in one order and with the same facts.

#![allow(missing_docs, reason = "the names are the promises")]

use volsnap_core::{
    model::{Member, MemberKind, member::order},
    ports::{LookInto, MembersOf},
};

use super::*;

/// A tree whose members are asked for.
enum Source {
    Live(PathBuf),
    Archived(LookInto, usize),
}

fn archived(summary: &ArchiveSummary, index: usize) -> Source {
    let (workload, snapshot) = (WORKLOAD, summary.manifest.snapshot);
    Source::Archived(LookInto { workload, snapshot, archive_digest: summary.digest.clone() }, index)
}

async fn members(fs: &Arc<dyn Disks>, tree: &Source, path: &str, contents: bool) -> Result<Vec<Member>, FsError> {
    let of = MembersOf { path: path.into(), contents };
    let mut members = match tree {
        Source::Live(root) => fs.members(root, &of, quiet()).await?,
        Source::Archived(archive, index) => fs.archived_members(archive, *index, &of, quiet()).await?,
    };
    let mut all = Vec::new();
    loop {
        match members.next().await? {
            some if some.is_empty() => break,
            some => all.extend(some),
        }
    }
    assert!(members.next().await?.is_empty(), "the end stays the end");
    Ok(all)
}

fn paths(members: &[Member]) -> Vec<&str> {
    members.iter().map(|member| std::str::from_utf8(&member.path).unwrap()).collect()
}

pub async fn a_live_tree_has_the_members_that_its_archive_has(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let roots = [data.join("one"), data.join("two")];
    let ours = format!("{}/y", private_name(RESTORE, 0));
    let note = (".volsnap-note", "mine");
    let mut files = tree(&[("a/b", "1"), ("a.b", "22"), ("c/d/e", "333"), (&*ours, "4"), note, ("lost+found/z", "5")]);
    // More than are handed over at a time.
    files.extend((0..700).map(|n| (format!("many/{n}"), n.to_string().into_bytes())));
    h.put(&roots[0], &files);
    h.put(&roots[1], &tree(&[("b", "")]));
    let summary = archive(&fs, SNAPSHOT, &roots).await;
    for (index, root) in roots.iter().enumerate() {
        for contents in [false, true] {
            let live = members(&fs, &Source::Live(root.clone()), "", contents).await.unwrap();
            let kept = members(&fs, &archived(&summary, index), "", contents).await.unwrap();
            assert_eq!(live, kept);
            assert_eq!(live.len() as u64, summary.totals[index].entries);
            assert!(live.windows(2).all(|pair| order(&pair[0].path, &pair[1].path).is_lt()));
            let file = |member: &&Member| matches!(member.kind, MemberKind::File { .. });
            assert!(live.iter().filter(file).all(|member| member.contents.is_some() == contents));
        }
    }
    let before = members(&fs, &Source::Live(roots[1].clone()), "", true).await.unwrap();
    h.put_file(&roots[1].join("b"), b"x");
    let after = members(&fs, &Source::Live(roots[1].clone()), "", true).await.unwrap();
    assert_eq!((before[1].contents == after[1].contents, &before[1].path), (false, &after[1].path));
    let kept = members(&fs, &archived(&summary, 1), "", true).await.unwrap();
    assert_eq!((paths(&kept), kept[1].contents), (vec!["", "b"], before[1].contents));
}

pub async fn members_below_a_path_are_those_and_no_others(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1"), ("d/a", "2"), ("d/b/c", "3"), ("d.x", "4"), ("da", "5")]));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    for source in [Source::Live(live.clone()), archived(&summary, 0)] {
        for contents in [false, true] {
            let below = |path: &'static str| members(&fs, &source, path, contents);
            assert_eq!(paths(&below("d").await.unwrap()), ["d", "d/a", "d/b", "d/b/c"]);
            assert_eq!(paths(&below("d/b/c").await.unwrap()), ["d/b/c"]);
            assert_eq!(below("d/none").await.unwrap(), []);
            assert_eq!(below("a/none").await.unwrap(), []);
        }
    }
    let absent = Source::Live(live.join("absent"));
    assert_eq!(members(&fs, &absent, "", false).await.unwrap_err().kind, FsErrorKind::NotFound);
}

pub async fn members_of_another_archive_are_refused(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1")]));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    let other = ArchiveSummary { digest: "0".repeat(64), ..summary.clone() };
    for contents in [false, true] {
        let error = members(&fs, &archived(&other, 0), "", contents).await.unwrap_err();
        assert_eq!(error.kind, FsErrorKind::Corrupt);
    }
}

pub async fn a_reading_of_members_may_be_given_up(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &(0..5000).map(|n| (format!("{n}"), Vec::new())).collect());
    let of = MembersOf { path: Vec::new(), contents: false };
    let mut given_up = fs.members(&live, &of, quiet()).await.unwrap();
    assert!(!given_up.next().await.unwrap().is_empty());
    drop(given_up);
    let cancelled = async {
        let mut members = fs.members(&live, &of, Arc::new(Cancelling)).await?;
        while !members.next().await?.is_empty() {}
        Ok::<(), FsError>(())
    };
    assert_eq!(cancelled.await.unwrap_err().kind, FsErrorKind::Cancelled);
}
