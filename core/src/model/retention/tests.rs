//! Tables of what each rule keeps, and what holds for any snapshots and any policy.

use std::collections::BTreeSet;

use jiff::ToSpan;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::{ArchiveSummary, Manifest, Mode, Pin, RestoreId, Source, snapshot::ARCHIVE_FORMAT};

const NOW: &str = "2026-11-23T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn snapshot_id(number: u128) -> SnapshotId {
    SnapshotId(Uuid::from_u128(number))
}

fn snapshot(number: u128, created_at: Timestamp) -> Snapshot {
    let manifest = Manifest {
        format: ARCHIVE_FORMAT,
        snapshot: snapshot_id(number),
        workload: WorkloadId(Uuid::from_u128(1)),
        workload_name: "blog".into(),
        source: Source::Image,
        created_at,
        mode: Mode::Pause,
        origin: Origin::Manual,
        note: None,
        images: Vec::new(),
        volumes: Vec::new(),
        registration: None,
        imported: None,
    };
    let archive =
        ArchiveSummary { manifest, totals: Vec::new(), quiesced_ms: 0, archive_bytes: 0, digest: String::new() };
    Snapshot::from(archive)
}

fn verified(mut snapshot: Snapshot) -> Snapshot {
    snapshot.verified_at = Some(snapshot.created_at());
    snapshot
}

fn prerestore(mut snapshot: Snapshot) -> Snapshot {
    snapshot.archive.manifest.origin = Origin::PreRestore(RestoreId(Uuid::from_u128(9)));
    snapshot
}

fn pinned(mut snapshot: Snapshot, note: Option<&str>) -> Snapshot {
    snapshot.pin = Some(Pin { at: snapshot.created_at(), note: note.map(Into::into) });
    snapshot
}

fn of_workload(number: u128, mut snapshot: Snapshot) -> Snapshot {
    snapshot.archive.manifest.workload = WorkloadId(Uuid::from_u128(number));
    snapshot
}

/// Ordinary snapshots, numbered from 1 on in the order of the list.
fn taken(times: &[&str]) -> Vec<Snapshot> {
    (1..).zip(times).map(|(number, time)| snapshot(number, at(time))).collect()
}

/// Verdicts as `number: rule, rule`, newest first.
fn lines(snapshots: &[Snapshot], needed: &BTreeMap<SnapshotId, String>, policy: &Policy) -> Vec<String> {
    let verdicts = verdicts(snapshots, needed, policy, at(NOW));
    let line = |verdict: &Verdict| {
        let rules: Vec<String> = verdict.kept_by.iter().map(ToString::to_string).collect();
        format!("{}: {}", verdict.snapshot.0.as_u128(), rules.join(", "))
    };
    verdicts.iter().map(line).collect()
}

fn check(snapshots: &[Snapshot], policy: &Policy, expected: &[&str]) {
    assert_eq!(lines(snapshots, &BTreeMap::new(), policy), expected, "{policy:?}");
}

fn keep_last(last: u32) -> Policy {
    Policy { last, ..Policy::default() }
}

#[test]
fn the_last_ones_are_kept() {
    // 4 and 3 are of the same instant: the greater id is the newer.
    let all = taken(&["2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z"]);
    check(&all, &keep_last(1), &["4: newest, none verified, last 1", "3: ", "2: ", "1: "]);
    check(&all, &keep_last(3), &["4: newest, none verified, last 1", "3: last 2", "2: last 3", "1: "]);
    check(&all, &keep_last(u32::MAX), &["4: newest, none verified, last 1", "3: last 2", "2: last 3", "1: last 4"]);
    check(&[], &keep_last(3), &[]);
}

#[test]
fn each_calendar_rule_keeps_the_newest_of_its_periods() {
    let all = taken(&[
        "2025-12-28T23:00:00Z", // 1: ISO week 52 of 2025
        "2025-12-29T00:00:00Z", // 2: ISO week 1 of 2026
        "2026-01-01T00:00:00Z", // 3: the same week
        "2026-11-19T23:59:59.999999999Z",
        "2026-11-20T00:00:00Z",
        "2026-11-20T00:59:59Z",
        "2026-11-20T01:00:00Z",
    ]);
    let cases = [
        (
            Policy { hourly: 3, ..Policy::default() },
            "7 hourly 2026-11-20 01:00|6 hourly 2026-11-20 00:00|4 hourly 2026-11-19 23:00",
        ),
        (Policy { daily: 2, ..Policy::default() }, "7 daily 2026-11-20|4 daily 2026-11-19"),
        (Policy { weekly: 9, ..Policy::default() }, "7 weekly 2026-W47|3 weekly 2026-W01|1 weekly 2025-W52"),
        (Policy { monthly: 2, ..Policy::default() }, "7 monthly 2026-11|3 monthly 2026-01"),
        (Policy { yearly: 9, ..Policy::default() }, "7 yearly 2026|2 yearly 2025"),
    ];
    for (policy, expected) in cases {
        let kept: Vec<String> = verdicts(&all, &BTreeMap::new(), &policy, at(NOW))
            .iter()
            .flat_map(|verdict| verdict.kept_by.iter().map(|rule| (verdict.snapshot.0.as_u128(), rule)))
            .filter(|(_, rule)| **rule != Rule::NewestUnverified)
            .map(|(number, rule)| format!("{number} {rule}"))
            .collect();
        assert_eq!(kept.join("|"), expected);
    }
}

#[test]
fn a_snapshot_names_every_rule_that_keeps_it() {
    let all = taken(&["2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"]);
    let policy = Policy { last: 1, daily: 7, within: Some(SignedDuration::from_hours(7 * 24)), ..Policy::default() };
    check(&all, &policy, &["2: newest, none verified, last 1, daily 2026-11-22, within 7d", "1: within 7d"]);
}

#[test]
fn within_includes_its_own_end() {
    let all = taken(&["2026-11-22T11:59:59Z", "2026-11-22T12:00:00Z", "2026-11-23T12:00:00Z"]);
    let within = |within| Policy { within: Some(within), ..Policy::default() };
    check(
        &all,
        &within(SignedDuration::from_hours(24)),
        &["3: newest, none verified, within 1d", "2: within 1d", "1: "],
    );
    for nothing in [SignedDuration::ZERO, SignedDuration::MIN] {
        let kept = verdicts(&all, &BTreeMap::new(), &within(nothing), at(NOW));
        assert_eq!(kept.iter().filter(|verdict| verdict.is_kept()).count(), 1, "{nothing:?}");
    }
    let kept = verdicts(&all, &BTreeMap::new(), &within(SignedDuration::MAX), at(NOW));
    assert!(kept.iter().all(Verdict::is_kept));
}

#[test]
fn durations_are_named_in_days() {
    let cases = [(7 * 86_400, "7d"), (129_600, "1d 12h"), (5_400, "1h 30m"), (0, "0s"), (90_061, "1d 1h 1m 1s")];
    for (seconds, expected) in cases {
        let rule = Rule::Within { within: SignedDuration::from_secs(seconds) };
        assert_eq!(rule.to_string(), format!("within {expected}"));
    }
}

#[test]
fn the_last_verified_one_survives_any_policy() {
    let mut all =
        taken(&["2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"]);
    all[0] = verified(all[0].clone());
    all[1] = verified(all[1].clone());
    check(&all, &keep_last(1), &["4: last 1", "3: ", "2: last verified", "1: "]);
    all[2].proved_at = Some(all[2].created_at());
    check(&all, &keep_last(1), &["4: last 1", "3: last verified", "2: ", "1: "]);
}

#[test]
fn an_open_restore_keeps_its_snapshot() {
    let all = taken(&["2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"]);
    let needed = BTreeMap::from([(snapshot_id(1), "open restore".to_string()), (snapshot_id(77), "nothing".into())]);
    let expected = ["3: newest, none verified, last 1", "2: ", "1: open restore"];
    assert_eq!(lines(&all, &needed, &keep_last(1)), expected);
}

#[test]
fn a_pinned_snapshot_is_kept_and_judged_like_any_other_besides() {
    let mut all =
        taken(&["2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"]);
    all[0] = pinned(all[0].clone(), None);
    all[1] = pinned(prerestore(all[1].clone()), Some("the night of the migration"));
    all[3] = pinned(all[3].clone(), None);
    let policy = Policy { prerestore_last: 0, ..keep_last(2) };
    let newest = "4: pinned, newest, none verified, last 1";
    check(&all, &policy, &[newest, "3: last 2", "2: pinned: the night of the migration", "1: pinned"]);
}

#[test]
fn the_day_of_a_snapshot_is_that_of_utc() {
    // Half past eleven in the evening and half past midnight in Berlin, on one day of UTC; then the other way round.
    let all = taken(&["2026-11-20T22:30:00Z", "2026-11-20T23:30:00Z", "2026-11-21T00:30:00Z"]);
    let policy = Policy { daily: 9, ..Policy::default() };
    check(&all, &policy, &["3: newest, none verified, daily 2026-11-21", "2: daily 2026-11-20", "1: "]);
}

#[test]
fn prerestore_snapshots_have_their_own_quota_and_take_no_place() {
    let mut all =
        taken(&["2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"]);
    all[1] = prerestore(all[1].clone());
    all[2] = prerestore(all[2].clone());
    all[3] = prerestore(all[3].clone());
    let policy = Policy { last: 2, daily: 9, prerestore_last: 2, ..Policy::default() };
    let ordinary = "1: newest, none verified, last 1, daily 2026-11-18";
    check(&all, &policy, &["4: pre-restore 1 of 2", "3: pre-restore 2 of 2", "2: ", ordinary]);
    check(&all, &Policy { prerestore_last: 0, ..policy }, &["4: ", "3: ", "2: ", ordinary]);
}

#[test]
fn a_prerestore_snapshot_is_not_given_up_while_it_is_the_only_good_one() {
    let none = Policy { daily: 1, prerestore_last: 0, ..Policy::default() };
    let mut all = taken(&["2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"]);
    all[1] = prerestore(all[1].clone());
    check(&all[1..], &none, &["2: newest, none verified"]);
    all[1] = verified(all[1].clone());
    check(&all, &none, &["2: last verified", "1: newest, none verified, daily 2026-11-20"]);
    all[0] = verified(all[0].clone());
    check(&all, &none, &["2: ", "1: last verified, daily 2026-11-20"]);
}

#[test]
fn snapshots_from_the_future_are_kept_and_push_nothing_out() {
    let mut all =
        taken(&["2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z"]);
    all[2] = verified(all[2].clone());
    all[3] = prerestore(all[3].clone());
    let policy = Policy { prerestore_last: 0, ..keep_last(1) };
    check(&all, &policy, &["4: from the future", "3: from the future", "2: newest, none verified, last 1", "1: "]);
}

#[test]
fn a_policy_without_rules_keeps_everything() {
    let mut all = taken(&["2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"]);
    all[0] = prerestore(all[0].clone());
    let policy = Policy { prerestore_last: 0, ..Policy::default() };
    assert!(policy.is_empty() && Policy::default().is_empty());
    check(&all, &policy, &["2: no rules, newest, none verified", "1: no rules"]);
}

#[test]
fn workloads_do_not_share_quotas() {
    let mut all = taken(&["2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-22T01:00:00Z"]);
    all[0] = of_workload(2, all[0].clone());
    check(&all, &keep_last(1), &["3: newest, none verified, last 1", "2: ", "1: newest, none verified, last 1"]);
}

#[test]
fn verdicts_are_read_back_from_their_json() {
    let policy = Policy { daily: 1, within: Some(SignedDuration::from_hours(36)), ..keep_last(1) };
    let verdicts = verdicts(&taken(&["2026-11-22T10:00:00Z"]), &BTreeMap::new(), &policy, at(NOW));
    let json = serde_json::to_value(&verdicts[0]).unwrap();
    assert_eq!(
        json["kept_by"],
        serde_json::json!([
            { "rule": "newest-unverified" },
            { "rule": "last", "rank": 1 },
            { "rule": "calendar", "period": "daily", "bucket": "2026-11-22" },
            { "rule": "within", "within": "PT36H" },
        ])
    );
    assert_eq!(serde_json::from_value::<Verdict>(json).unwrap(), verdicts[0]);
    let back: Policy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
    assert_eq!(back, policy);
}

/// Up to forty snapshots of two workloads over three years before and a week after [`NOW`], many at the same hour.
fn any_snapshots() -> impl Strategy<Value = Vec<Snapshot>> {
    let one = (-3 * 365 * 24..7 * 24_i64, 0..4_u8, 1..=2_u128, prop::bool::weighted(0.2));
    prop::collection::vec(one, 0..40).prop_map(|all| {
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

fn kept(snapshots: &[Snapshot], needed: &BTreeMap<SnapshotId, String>, policy: &Policy) -> BTreeSet<SnapshotId> {
    let verdicts = verdicts(snapshots, needed, policy, at(NOW));
    verdicts.iter().filter(|verdict| verdict.is_kept()).map(|verdict| verdict.snapshot).collect()
}

proptest! {
    #[test]
    fn the_order_of_the_input_does_not_matter(
        (sorted, shuffled) in any_snapshots().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        policy in any_policy(),
    ) {
        let none = BTreeMap::new();
        prop_assert_eq!(verdicts(&sorted, &none, &policy, at(NOW)), verdicts(&shuffled, &none, &policy, at(NOW)));
    }

    #[test]
    fn every_snapshot_is_judged_once_and_newest_first(all in any_snapshots(), policy in any_policy()) {
        let verdicts = verdicts(&all, &BTreeMap::new(), &policy, at(NOW));
        let ids: BTreeSet<SnapshotId> = verdicts.iter().map(|verdict| verdict.snapshot).collect();
        prop_assert_eq!(ids, all.iter().map(Snapshot::id).collect());
        prop_assert_eq!(verdicts.len(), all.len());
        prop_assert!(verdicts.is_sorted_by_key(|verdict| Reverse((verdict.created_at, verdict.snapshot))));
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
        let verdicts = verdicts(&all, &BTreeMap::new(), &policy, at(NOW));
        for workload in [1, 2].map(|number| WorkloadId(Uuid::from_u128(number))) {
            let besides = [Rule::Future, Rule::Pinned { note: None }];
            let settled =
                |v: &&Verdict| v.workload == workload && v.is_kept() && !besides.iter().any(|r| v.kept_by.contains(r));
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
        let none = BTreeMap::new();
        let (mut without, with) = (verdicts(&without, &none, &policy, at(NOW)), verdicts(&with, &none, &policy, at(NOW)));
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
        for verdict in verdicts(&all, &BTreeMap::new(), &policy, at(NOW)) {
            let snapshot = all.iter().find(|s| s.id() == verdict.snapshot).unwrap();
            for rule in &verdict.kept_by {
                let holds = match rule {
                    Rule::Needed { .. } => false,
                    Rule::Pinned { .. } => snapshot.pin.is_some(),
                    Rule::LastVerified => snapshot.is_verified(),
                    Rule::NewestUnverified => !snapshot.is_verified(),
                    Rule::Future => snapshot.created_at() > at(NOW),
                    Rule::NoRules => policy.is_empty(),
                    Rule::PreRestoreQuota { rank, quota } => {
                        !is_ordinary(snapshot) && *quota == policy.prerestore_last && (1..=*quota).contains(rank)
                    }
                    Rule::Last { rank } => is_ordinary(snapshot) && (1..=policy.last).contains(rank),
                    Rule::Calendar { period, bucket } => {
                        is_ordinary(snapshot)
                            && policy.count_of(*period) > 0
                            && *bucket == period.bucket(snapshot.created_at())
                    }
                    Rule::Within { within } => {
                        is_ordinary(snapshot)
                            && Some(*within) == policy.within
                            && at(NOW).duration_since(snapshot.created_at()) <= *within
                    }
                };
                prop_assert!(holds, "{} of {:?}", rule, snapshot);
            }
        }
    }
}
