//! What holds for any snapshots and any policy.

use super::*;

/// Up to forty snapshots of two workloads over three years before and a week after [`NOW`], many at the same hour, by a
/// clock that never went back.
fn any_snapshots() -> impl Strategy<Value = Vec<Snapshot>> {
    let one = (-3 * 365 * 24..7 * 24_i64, 0..4_u8, 1..=2_u128, prop::bool::weighted(0.2));
    prop::collection::vec(one, 0..40).prop_map(|mut all| {
        all.sort_by_key(|(hours, ..)| *hours);
        let make = |(number, (hours, kind, workload, pin)): (u128, (i64, u8, u128, bool))| {
            let plain = of_workload(workload, snapshot(number, at(NOW).checked_add(hours.hours()).unwrap()));
            let kinded = match kind {
                0 => prerestore(plain),
                1 => verified(plain),
                2 => prerestore(verified(plain)),
                _ => plain,
            };
            if pin { pinned(kinded, None) } else { kinded }
        };
        (1..).zip(all).map(make).collect()
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let counts = prop::array::uniform7(0..5_u32);
    (counts, prop::option::of(0..2_000_i64)).prop_map(|(counts, hours)| {
        let [last, hourly, daily, weekly, monthly, yearly, prerestore_last] = counts;
        let within = hours.map(SignedDuration::from_hours);
        Policy { last, hourly, daily, weekly, monthly, yearly, within, prerestore_last }
    })
}

fn is_ordinary(snapshot: &Snapshot) -> bool {
    snapshot.origin() == Origin::Manual
}

/// The same snapshots with labels of a clock that was set to 1970 or to next century while some of them were taken.
fn with_jumps(all: Vec<Snapshot>, jumps: &[Option<bool>]) -> (Vec<Snapshot>, BTreeSet<SnapshotId>) {
    let mut wrong = BTreeSet::new();
    let jumped = all.into_iter().zip(jumps.iter().copied().cycle()).map(|(mut snapshot, jump)| {
        if let Some(is_ahead) = jump {
            let year = if is_ahead { "2143-01-01T00:00:00Z" } else { "1970-01-01T00:00:00Z" };
            let hours = i64::try_from(snapshot.id().0.as_u128()).unwrap() * 7 % 50;
            snapshot.archive.manifest.created_at = at(year).checked_add(hours.hours()).unwrap();
            wrong.insert(snapshot.id());
        }
        snapshot
    });
    (jumped.collect(), wrong)
}

/// A history with jumps of the clock in both directions, and which of its labels are wrong.
fn any_jumps() -> impl Strategy<Value = (Vec<Snapshot>, BTreeSet<SnapshotId>)> {
    let jump = prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)];
    (any_snapshots(), prop::collection::vec(jump, 1..12)).prop_map(|(all, jumps)| {
        let by_now = all.into_iter().filter(|s| s.created_at() <= at(NOW)).collect();
        with_jumps(by_now, &jumps)
    })
}

fn kept(snapshots: &[Snapshot], needed: &BTreeMap<SnapshotId, String>, policy: &Policy) -> BTreeSet<SnapshotId> {
    let circumstances = Circumstances { needed: needed.clone(), ..known(snapshots) };
    let verdicts = verdicts(snapshots, &circumstances, policy);
    verdicts.iter().filter(|verdict| verdict.is_kept()).map(|verdict| verdict.snapshot).collect()
}

proptest! {
    #[test]
    fn the_order_of_the_input_does_not_matter(
        (sorted, shuffled) in any_snapshots().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        policy in any_policy(),
    ) {
        prop_assert_eq!(judged(&sorted, &policy), judged(&shuffled, &policy));
    }

    #[test]
    fn every_snapshot_is_judged_once_and_newest_first(all in any_snapshots(), policy in any_policy()) {
        let verdicts = judged(&all, &policy);
        let ids: BTreeSet<SnapshotId> = verdicts.iter().map(|verdict| verdict.snapshot).collect();
        prop_assert_eq!(ids, all.iter().map(Snapshot::id).collect());
        prop_assert_eq!(verdicts.len(), all.len());
        prop_assert!(verdicts.is_sorted_by_key(|verdict| Reverse(verdict.snapshot)));
    }

    #[test]
    fn a_more_generous_policy_never_deletes_more(
        all in any_snapshots(), policy in any_policy(), more in any_policy(), need in 1..40_u128,
    ) {
        prop_assume!(!policy.is_empty());
        let generous = Policy {
            last: policy.last + more.last,
            hourly: policy.hourly + more.hourly,
            daily: policy.daily + more.daily,
            weekly: policy.weekly + more.weekly,
            monthly: policy.monthly + more.monthly,
            yearly: policy.yearly + more.yearly,
            within: policy.within.max(more.within),
            prerestore_last: policy.prerestore_last + more.prerestore_last,
        };
        let none = BTreeMap::new();
        let needed = BTreeMap::from([(snapshot_id(need), "open restore".to_string())]);
        let before = kept(&all, &none, &policy);
        prop_assert!(kept(&all, &none, &generous).is_superset(&before));
        prop_assert!(kept(&all, &needed, &policy).is_superset(&before));
    }

    #[test]
    fn pruning_twice_deletes_nothing_more(all in any_snapshots(), policy in any_policy()) {
        let none = BTreeMap::new();
        let left = kept(&all, &none, &policy);
        let rest: Vec<Snapshot> = all.into_iter().filter(|snapshot| left.contains(&snapshot.id())).collect();
        prop_assert_eq!(kept(&rest, &none, &policy), left);
    }

    #[test]
    fn every_workload_keeps_one_and_a_verified_one_if_it_has_any(all in any_snapshots(), policy in any_policy()) {
        let left = kept(&all, &BTreeMap::new(), &policy);
        let of = |test: &dyn Fn(&Snapshot) -> bool| -> BTreeSet<WorkloadId> {
            all.iter().filter(|snapshot| test(snapshot)).map(Snapshot::workload).collect()
        };
        prop_assert_eq!(of(&|s| left.contains(&s.id())), of(&|_| true));
        prop_assert_eq!(
            of(&|s| left.contains(&s.id()) && s.is_verified()),
            of(&Snapshot::is_verified)
        );
    }

    #[test]
    fn no_more_are_kept_than_the_counts_allow(all in any_snapshots(), policy in any_policy()) {
        prop_assume!(!policy.is_empty());
        let policy = Policy { within: None, last: policy.last.max(1), ..policy };
        let verdicts = judged(&all, &policy);
        for workload in [1, 2].map(|number| WorkloadId(Uuid::from_u128(number))) {
            let besides = [Rule::Pinned { note: None }];
            let settled = |v: &&Verdict| {
                v.workload == workload
                    && v.is_kept()
                    && v.created_at <= at(NOW)
                    && !besides.iter().any(|r| v.kept_by.contains(r))
            };
            let counts = [policy.last, policy.hourly, policy.daily, policy.weekly, policy.monthly, policy.yearly];
            // One more for the last verified or the newest, and one if that is a pre-restore snapshot.
            let allowed = counts.iter().sum::<u32>() + policy.prerestore_last + 2;
            let found = verdicts.iter().filter(settled).count();
            prop_assert!(found <= allowed as usize, "{} kept, {} allowed", found, allowed);
        }
    }

    #[test]
    fn a_pinned_snapshot_is_kept_and_changes_nothing_for_the_others(
        all in any_snapshots(), policy in any_policy(), chosen in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!all.is_empty());
        let chosen = chosen.index(all.len());
        let mut without = all.clone();
        without[chosen].pin = None;
        let mut with = all;
        with[chosen] = pinned(with[chosen].clone(), None);
        let (mut without, with) = (judged(&without, &policy), judged(&with, &policy));
        for verdict in without.iter_mut().filter(|verdict| verdict.snapshot == snapshot_id(chosen as u128 + 1)) {
            verdict.kept_by.insert(0, Rule::Pinned { note: None });
        }
        prop_assert_eq!(with, without);
    }

    #[test]
    fn the_quota_of_prerestore_snapshots_and_the_other_rules_do_not_touch_each_other(
        all in any_snapshots(), policy in any_policy(), other in any_policy(),
    ) {
        prop_assume!(!policy.is_empty() && !other.is_empty());
        let none = BTreeMap::new();
        let of = |policy: &Policy, which: &dyn Fn(&Snapshot) -> bool| -> BTreeSet<SnapshotId> {
            let kept = kept(&all, &none, policy);
            all.iter().filter(|s| which(s)).map(Snapshot::id).filter(|id| kept.contains(id)).collect()
        };
        let quota = Policy { prerestore_last: other.prerestore_last, ..policy.clone() };
        prop_assert_eq!(of(&policy, &is_ordinary), of(&quota, &is_ordinary));
        let rules = Policy { prerestore_last: policy.prerestore_last, ..other };
        prop_assert_eq!(of(&policy, &|s| !is_ordinary(s)), of(&rules, &|s| !is_ordinary(s)));
    }

    #[test]
    fn what_is_said_to_keep_a_snapshot_is_true(all in any_snapshots(), policy in any_policy()) {
        for verdict in judged(&all, &policy) {
            let snapshot = all.iter().find(|s| s.id() == verdict.snapshot).unwrap();
            for rule in &verdict.kept_by {
                let holds = match rule {
                    Rule::Needed { .. } => false,
                    Rule::Pinned { .. } => snapshot.pin.is_some(),
                    Rule::LastVerified => snapshot.is_verified(),
                    Rule::NewestUnverified => !snapshot.is_verified(),
                    Rule::NoArchive | Rule::Damaged(_) => false,
                    Rule::NoRules => policy.is_empty(),
                    Rule::PreRestoreQuota { rank, quota } => {
                        !is_ordinary(snapshot) && *quota == policy.prerestore_last && (1..=*quota).contains(rank)
                    }
                    Rule::Last { rank } => is_ordinary(snapshot) && (1..=policy.last).contains(rank),
                    Rule::Calendar { period, bucket } => {
                        is_ordinary(snapshot)
                            && policy.count_of(*period) > 0
                            && *bucket == period.bucket(snapshot.created_at(), &TimeZone::UTC)
                    }
                    Rule::Within { within } => {
                        is_ordinary(snapshot)
                            && Some(*within) == policy.within
                            && latest_of(&all, snapshot).duration_since(snapshot.created_at()) <= *within
                    }
                };
                prop_assert!(holds, "{} of {:?}", rule, snapshot);
            }
        }
    }

    #[test]
    fn a_jump_of_the_clock_pushes_nothing_out_of_a_calendar_rule(jumps in any_jumps(), policy in any_policy()) {
        let (all, wrong) = jumps;
        let policy = Policy { last: 0, within: None, ..policy };
        prop_assume!(!policy.is_empty());
        let right: Vec<Snapshot> = all.iter().filter(|s| !wrong.contains(&s.id())).cloned().collect();
        let periods = |snapshots: &[Snapshot]| -> BTreeSet<(WorkloadId, String)> {
            let verdicts = judged(snapshots, &policy).into_iter().filter(|v| !wrong.contains(&v.snapshot));
            let calendar = |rule: &Rule| matches!(rule, Rule::Calendar { .. });
            verdicts.flat_map(|v| v.kept_by.into_iter().filter(calendar).map(move |r| (v.workload, r.to_string()))).collect()
        };
        prop_assert!(periods(&all).is_superset(&periods(&right)), "{:?} {:?}", periods(&all), periods(&right));
    }

    #[test]
    fn under_jumps_the_counts_go_by_the_order_and_the_newest_stays(jumps in any_jumps(), policy in any_policy()) {
        let (all, _) = jumps;
        let verdicts = judged(&all, &policy);
        for workload in [1, 2].map(|number| WorkloadId(Uuid::from_u128(number))) {
            let mut ordinary: Vec<&Snapshot> =
                all.iter().filter(|s| s.workload() == workload && is_ordinary(s)).collect();
            ordinary.sort_by_key(|s| Reverse(s.archive.manifest.sequence));
            let last = policy.last as usize;
            for (rank, snapshot) in ordinary.iter().enumerate() {
                let verdict = verdicts.iter().find(|v| v.snapshot == snapshot.id()).unwrap();
                let is_last = verdict.kept_by.iter().any(|rule| matches!(rule, Rule::Last { .. }));
                prop_assert_eq!(is_last, rank < last);
            }
        }
        let left = kept(&all, &BTreeMap::new(), &policy);
        let of = |all: &mut dyn Iterator<Item = &Snapshot>| all.map(Snapshot::workload).collect::<BTreeSet<_>>();
        prop_assert_eq!(of(&mut all.iter().filter(|s| left.contains(&s.id()))), of(&mut all.iter()));
    }

    #[test]
    fn no_rule_gives_up_the_last_archive(
        jumps in any_jumps(), policy in any_policy(), flaws in prop::collection::vec(0..8_u8, 40),
    ) {
        let (mut all, _) = jumps;
        let mut circumstances = known(&all);
        for (snapshot, flaw) in all.iter_mut().zip(&flaws) {
            match flaw {
                0 => drop(circumstances.archives.remove(&snapshot.id())),
                1 => circumstances.archives.get_mut(&snapshot.id()).unwrap().bytes = None,
                2 => circumstances.archives.get_mut(&snapshot.id()).unwrap().bytes = Some(0),
                3 => snapshot.mark(&Mark::Corrupt(at(NOW))),
                _ => {}
            }
        }
        let archives: BTreeSet<SnapshotId> =
            all.iter().zip(flaws).filter(|(_, flaw)| *flaw > 3).map(|(s, _)| s.id()).collect();
        let verdicts_of_all = verdicts(&all, &circumstances, &policy);
        let existing: Vec<Snapshot> = all.iter().filter(|s| archives.contains(&s.id())).cloned().collect();
        let with: Vec<Verdict> =
            verdicts_of_all.iter().filter(|v| archives.contains(&v.snapshot)).cloned().collect();
        prop_assert_eq!(&with, &judged(&existing, &policy), "what has no good archive changes nothing for the others");
        for workload in existing.iter().map(Snapshot::workload) {
            prop_assert!(with.iter().any(|v| v.workload == workload && v.is_kept()));
        }
        prop_assert!(verdicts_of_all.iter().filter(|v| !archives.contains(&v.snapshot)).all(Verdict::is_kept));
    }
}

/// The latest label of a snapshot's workload that is not after now; its own where there is none.
fn latest_of(all: &[Snapshot], of: &Snapshot) -> Timestamp {
    let labels = all.iter().filter(|s| s.workload() == of.workload()).map(Snapshot::created_at);
    labels.filter(|label| *label <= at(NOW)).max().unwrap_or_else(|| of.created_at())
}
