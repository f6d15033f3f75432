//! Tables of what each rule keeps, and what holds for any snapshots and any policy.

mod properties;

use std::collections::BTreeSet;

use jiff::ToSpan;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::{ArchiveSummary, Manifest, Mark, Mode, Pin, RestoreId, Source, snapshot::ARCHIVE_FORMAT};

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
        sequence: u64::try_from(number).ok(),
    };
    let archive =
        ArchiveSummary { manifest, totals: Vec::new(), quiesced_ms: 0, archive_bytes: 9, digest: String::new() };
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

/// The file of a snapshot's archive, as it was written.
fn file_of(snapshot: &Snapshot) -> ArchiveFile {
    let bytes = Some(snapshot.archive.archive_bytes);
    ArchiveFile { workload: snapshot.workload(), snapshot: snapshot.id(), bytes }
}

/// All of them have an archive, and nothing else is known.
fn known(snapshots: &[Snapshot]) -> Circumstances {
    Circumstances {
        needed: BTreeMap::new(),
        archives: snapshots.iter().map(|s| (s.id(), file_of(s))).collect(),
        zone: TimeZone::UTC,
        now: at(NOW),
    }
}

fn judged(snapshots: &[Snapshot], policy: &Policy) -> Vec<Verdict> {
    verdicts(snapshots, &known(snapshots), policy)
}

/// Verdicts as `number: rule, rule`, newest first.
fn lines(snapshots: &[Snapshot], circumstances: &Circumstances, policy: &Policy) -> Vec<String> {
    let verdicts = verdicts(snapshots, circumstances, policy);
    let line = |verdict: &Verdict| {
        let rules: Vec<String> = verdict.kept_by.iter().map(ToString::to_string).collect();
        format!("{}: {}", verdict.snapshot.0.as_u128(), rules.join(", "))
    };
    verdicts.iter().map(line).collect()
}

fn check(snapshots: &[Snapshot], policy: &Policy, expected: &[&str]) {
    assert_eq!(lines(snapshots, &known(snapshots), policy), expected, "{policy:?}");
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
        let kept: Vec<String> = judged(&all, &policy)
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
        let kept = judged(&all, &within(nothing));
        assert_eq!(kept.iter().filter(|verdict| verdict.is_kept()).count(), 1, "{nothing:?}");
    }
    let kept = judged(&all, &within(SignedDuration::MAX));
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
    assert_eq!(lines(&all, &Circumstances { needed, ..known(&all) }, &keep_last(1)), expected);
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
fn the_day_of_a_snapshot_is_that_of_the_zone() {
    // Half past eleven in the evening and half past midnight in Berlin, on one day of UTC; then the other way round.
    let all = taken(&["2026-11-20T22:30:00Z", "2026-11-20T23:30:00Z", "2026-11-21T00:30:00Z"]);
    let policy = Policy { daily: 9, ..Policy::default() };
    check(&all, &policy, &["3: newest, none verified, daily 2026-11-21", "2: daily 2026-11-20", "1: "]);
    let berlin = Circumstances { zone: berlin(), ..known(&all) };
    let expected = ["3: newest, none verified, daily 2026-11-21", "2: ", "1: daily 2026-11-20"];
    assert_eq!(lines(&all, &berlin, &policy), expected);
}

/// Berlin's rules, so that no test depends on what the host has.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

#[test]
fn days_of_23_and_25_hours_have_one_daily_and_all_their_hourly_ones() {
    let hour = |first: &str, hours: i64| -> Vec<Snapshot> {
        let first = at(first);
        (0..hours).zip(1..).map(|(h, number)| snapshot(number, first.checked_add(h.hours()).unwrap())).collect()
    };
    // Hourly from 23:00 local on the day before until 00:00 of the day after, in the spring and in the autumn.
    for (first, day, hours) in [("2026-03-28T22:00:00Z", "2026-03-29", 23), ("2026-10-24T21:00:00Z", "2026-10-25", 25)]
    {
        let all = hour(first, hours + 2);
        let circumstances = Circumstances { zone: berlin(), ..known(&all) };
        let kept = |policy: &Policy| -> Vec<(u128, String)> {
            let verdicts = verdicts(&all, &circumstances, policy).into_iter();
            let rules = verdicts.flat_map(|v| v.kept_by.into_iter().map(move |rule| (v.snapshot.0.as_u128(), rule)));
            let calendar = rules.filter(|(_, rule)| matches!(rule, Rule::Calendar { .. }));
            calendar.map(|(number, rule)| (number, rule.to_string())).collect()
        };
        let daily = kept(&Policy { daily: 3, ..Policy::default() });
        assert_eq!(daily.len(), 3, "{daily:?}");
        // The last one before midnight, local.
        assert_eq!(daily[1], (u128::try_from(hours + 1).unwrap(), format!("daily {day}")));
        let hourly = kept(&Policy { hourly: 99, ..Policy::default() });
        assert_eq!(hourly.iter().filter(|(_, rule)| rule.contains(day)).count(), usize::try_from(hours).unwrap());
        assert_eq!(hourly.len(), all.len(), "no hour is taken for another one");
    }
}

#[test]
fn what_has_no_archive_takes_no_place_and_the_last_archive_stays() {
    let mut all = taken(&["2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"]);
    all[2] = verified(all[2].clone());
    let only = |number: u128| {
        let mut only = known(&all);
        only.archives.retain(|id, _| *id == snapshot_id(number));
        only
    };
    for policy in [keep_last(1), Policy { daily: 1, prerestore_last: 0, ..Policy::default() }] {
        let lines = lines(&all, &only(1), &policy);
        assert!(lines[2].starts_with("1: newest, none verified, "), "{lines:?}");
        assert_eq!(lines[..2], ["3: no archive", "2: no archive"]);
    }
    let nothing = Circumstances { archives: BTreeMap::new(), ..known(&all) };
    assert_eq!(lines(&all, &nothing, &keep_last(1)), ["3: no archive", "2: no archive", "1: no archive"]);
}

#[test]
fn a_damaged_archive_takes_no_place_and_the_last_good_one_stays() {
    let mut all =
        taken(&["2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"]);
    // Damage that was found outweighs an earlier check.
    all[3] = verified(all[3].clone());
    all[3].mark(&Mark::Corrupt(at("2026-11-23T01:00:00Z")));
    let mut circumstances = known(&all);
    circumstances.archives.get_mut(&snapshot_id(3)).unwrap().bytes = Some(0);
    circumstances.archives.get_mut(&snapshot_id(2)).unwrap().bytes = None;
    let size = all[2].archive.archive_bytes;
    for policy in [keep_last(1), Policy { daily: 1, prerestore_last: 0, ..Policy::default() }] {
        let lines = lines(&all, &circumstances, &policy);
        assert!(lines[3].starts_with("1: newest, none verified, "), "{lines:?}");
        let damaged = [
            "4: damaged archive: it was found to be damaged at 2026-11-23T01:00:00Z".to_string(),
            format!("3: damaged archive: it has 0 bytes, and was written with {size}"),
            "2: damaged archive: it is not a regular file".to_string(),
        ];
        assert_eq!(lines[..3], damaged);
    }
    // A check that finds it good again makes it count again.
    all[3].mark(&Mark::Verified(at("2026-11-23T02:00:00Z")));
    assert!(lines(&all, &circumstances, &keep_last(1))[0].starts_with("4: last verified, last 1"));
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
fn a_snapshot_of_a_wrong_clock_is_an_ordinary_one() {
    // In the order in which they were taken; the second and the fourth while the clock was wrong.
    let all = taken(&[
        "2026-11-21T00:00:00Z",
        "2043-02-05T00:09:49Z",
        "2026-11-22T00:00:00Z",
        "1970-01-01T00:10:00Z",
        "2026-11-23T00:00:00Z",
    ]);
    check(&all, &keep_last(2), &["5: newest, none verified, last 1", "4: last 2", "3: ", "2: ", "1: "]);
    let daily = |daily| Policy { daily, ..Policy::default() };
    // The two days of the wrong clock are kept and take no place among the three.
    check(
        &all,
        &daily(3),
        &[
            "5: newest, none verified, daily 2026-11-23",
            "4: daily 1970-01-01",
            "3: daily 2026-11-22",
            "2: daily 2043-02-05",
            "1: daily 2026-11-21",
        ],
    );
    // They go when the rule has moved past them.
    check(&all, &daily(1), &["5: newest, none verified, daily 2026-11-23", "4: ", "3: ", "2: ", "1: "]);
    let day = Policy { within: Some(SignedDuration::from_hours(23)), ..Policy::default() };
    // As new as the next one that is not doubtful: 2 and 3 may be, by what 4 says.
    let newest = "5: newest, none verified, within 23h";
    check(&all[..3], &day, &["3: newest, none verified, within 23h", "2: within 23h", "1: "]);
    check(&all[2..], &day, &[newest, "4: within 23h", "3: within 23h"]);
}

#[test]
fn a_wrong_clock_at_the_prune_empties_nothing() {
    let all = taken(&["2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"]);
    let policy = Policy { within: Some(SignedDuration::from_hours(24)), daily: 1, ..Policy::default() };
    let kept = |now: &str| -> Vec<u128> {
        let circumstances = Circumstances { now: at(now), ..known(&all) };
        let verdicts = verdicts(&all, &circumstances, &policy);
        verdicts.iter().filter(|v| v.is_kept()).map(|v| v.snapshot.0.as_u128()).collect()
    };
    assert_eq!(kept(NOW), [3, 2]);
    assert_eq!(kept("2050-01-01T00:00:00Z"), [3, 2]);
    assert_eq!(kept("1970-01-01T00:00:00Z"), [3, 2, 1]);
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
    let verdicts = judged(&taken(&["2026-11-22T10:00:00Z"]), &policy);
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
