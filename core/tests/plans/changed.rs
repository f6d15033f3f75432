//! Each way in which the world can change between a plan and its restore is noticed and named.

use volsnap_core::{
    model::Identity,
    restore::{Plan, plan::Method},
};

use super::plan;

#[track_caller]
fn check(change: impl Fn(&mut Plan), words: &str) {
    let mut now = plan();
    change(&mut now);
    let difference = now.differs_from(&plan());
    assert!(difference.as_deref().unwrap_or("nothing").contains(words), "{difference:?} does not say {words:?}");
}

#[test]
fn the_same_plan_made_again_is_the_same() {
    let mut again = plan();
    again.restore = volsnap_core::model::RestoreId(again.safety.0);
    again.created_at += jiff::SignedDuration::from_hours(5);
    again.volumes[0].bytes_allocated += 1;
    assert_eq!(again.differs_from(&plan()), None);
}

#[test]
fn what_has_changed_is_named() {
    check(|p| p.host = "elsewhere".into(), "another machine");
    check(|p| p.workload.id.0 = p.safety.0, "made for the workload");
    check(|p| p.snapshot = p.safety, "made for snapshot 01990000-0000-7000-8000-000000000003");
    check(|p| p.archive_digest = "cd".into(), "is another archive now");
    check(|p| p.options.safety_snapshot = false, "other options");
    check(|p| p.volumes[0].live = "/srv/b".into(), "volume /data is at /srv/b and was at /srv/shop/data");
    check(|p| p.volumes[0].original = None, "volume /data has lost its directory /srv/shop/data");
    let other = Identity { inode: 99, birth_ns: Some(9), subvolume: None };
    check(|p| p.volumes[0].original = Some(other), "volume /data is another directory now");
    check(|p| p.volumes[0].parent = other, "volume /data lies in another directory now");
    check(|p| p.volumes[0].method = Method::TwoRenames, "volume /data would be switched in another way");
    check(|p| p.volumes[0].target = "/new".into(), "volume /new is new; volume /data is gone");
    check(|p| p.containers[0].image = "shop:8".into(), "container web is of image shop:8 and was of shop:7");
    check(|p| p.containers[0].action = "leave stopped".into(), "container web would need `leave stopped`");
    check(|p| p.containers.clear(), "container web is gone");
}
