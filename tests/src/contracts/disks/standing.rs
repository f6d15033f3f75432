//! Staging without an archive: a tree that an earlier restore set aside, and one that there was none of.

#![allow(missing_docs, reason = "the names are the promises")]

use volsnap_core::{
    model::place::{aside_in, leaving_in, original_root_in, restored_root_in},
    ports::Standing,
};

use super::*;

const EARLIER: RestoreId = RestoreId(Uuid::from_u128(29));

/// No archive is read for it: there is none of that name.
fn standing_job(private: &Path, standing: Standing) -> StageJob {
    StageJob {
        workload: WORKLOAD,
        snapshot: SNAPSHOT,
        archive_digest: String::new(),
        index: None,
        target: "/v0".into(),
        private: private.to_path_buf(),
        like: None,
        entries_of: None,
        standing: Some(standing),
        limits: GENEROUS,
        resume: false,
    }
}

pub async fn a_tree_that_stands_already_is_staged_by_moving_it(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("today", "2")]));
    let earlier = private_dir(&live, EARLIER, 3);
    let kept = aside_in(&earlier);
    h.put(&kept, &tree(&[("a", "1"), ("dir/b", "2")]));
    let moved = identity(&fs, &kept).await;
    let private = private_dir(&live, RESTORE, 0);
    let job = StageJob { like: Some(live.clone()), ..standing_job(&private, Standing::Tree(kept.clone())) };
    for _ in 0..2 {
        let staged = fs.stage(&job, quiet()).await.unwrap();
        assert_eq!(staged.identity, moved);
        assert_eq!(h.get(&staged_in(&private)), Some(tree(&[("a", "1"), ("dir/b", "2")])));
        assert_eq!(look(&fs, &kept).await, Sight::Absent);
    }
    // And back, as a restore that is given up does.
    fs.rename(&staged_in(&private), &kept).await.unwrap();
    assert_eq!(identity(&fs, &kept).await, moved);
    fs.discard(RESTORE, &private, None).await.unwrap();
    assert_eq!(h.get(&kept), Some(tree(&[("a", "1"), ("dir/b", "2")])));
    assert_eq!(h.get(&live), Some(tree(&[("today", "2")])));
    // One that is gone is an error, and leaves nothing.
    let gone = standing_job(&private, Standing::Tree(earlier.join("elsewhere")));
    assert_eq!(fs.stage(&gone, quiet()).await.unwrap_err().kind, FsErrorKind::NotFound);
    assert_eq!(look(&fs, &staged_in(&private)).await, Sight::Absent);
}

pub async fn a_standing_tree_is_laid_out_for_a_switch_by_entry(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("today", "2")]));
    let kept = aside_in(&live.join(private_name(EARLIER, 0)));
    h.put(&kept, &tree(&[("a", "1")]));
    let private = live.join(private_name(RESTORE, 0));
    let job = StageJob { entries_of: Some(live.clone()), ..standing_job(&private, Standing::Tree(kept.clone())) };
    fs.stage(&job, quiet()).await.unwrap();
    assert_eq!(h.get(&staged_in(&private)), Some(tree(&[("a", "1")])));
    assert!(matches!(look(&fs, &leaving_in(&private)).await, Sight::Directory { empty: true, .. }));
    assert!(fs.same_attributes(&staged_in(&private), &restored_root_in(&private)).await.unwrap());
    assert!(fs.same_attributes(&live, &original_root_in(&private)).await.unwrap());
    assert_eq!(look(&fs, &kept).await, Sight::Absent);
}

pub async fn what_stood_nowhere_is_staged_without_an_archive(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    let private = private_dir(&live, RESTORE, 0);
    fs.stage(&standing_job(&private, Standing::Nothing), quiet()).await.unwrap();
    assert_eq!(h.get(&staged_in(&private)), Some(Tree::new()));
}
