//! Which snapshots are kept, and by which rule.
//!
//! [`verdicts`] is a pure function: the same snapshots, needs, policy and instant give the same answer, in whatever
//! order the snapshots come. It only says what may go; deleting is done elsewhere.
//!
//! - Each workload is judged by itself.
//! - The calendar rules keep the newest snapshot of each hour, day, ISO week, month or year in UTC that has one, for
//!   the given number of such periods. Periods without a snapshot do not count: a machine that was off for a month
//!   loses nothing by it. UTC, and not the host's zone: no day has 23 or 25 hours, and the same snapshots are judged
//!   alike on every host, also after one moved.
//! - A pinned snapshot ([`Snapshot::pin`]) and one that something needs are kept, whatever else holds. The rules judge
//!   them besides like any other: to pin one, or to unpin it, changes nothing for the others.
//! - The newest verified snapshot of a workload is kept; while no ordinary one is verified, the newest ordinary one.
//! - Pre-restore snapshots have a quota of their own, and take no place in the other rules.
//! - A snapshot from the future (the clock was wrong when it was taken, or is now) is kept and takes no place either:
//!   neither is it deleted, nor does it push out good ones. Once its time has come it is judged like any other.
//!   Only `within` looks at the clock; the other rules count, so a clock that is ahead does not empty a catalog by them.
//! - A policy without rules keeps everything. Whoever is asked to prune by such a policy should refuse: it is more
//!   likely a mistake than a wish.

mod rule;

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use rule::{Period, Rule};

use super::{Origin, Snapshot, SnapshotId, WorkloadId};

/// How many snapshots to keep of each kind. A count of 0 switches its rule off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The newest ones.
    pub last: u32,
    /// The newest of each hour.
    pub hourly: u32,
    /// The newest of each day.
    pub daily: u32,
    /// The newest of each ISO week.
    pub weekly: u32,
    /// The newest of each month.
    pub monthly: u32,
    /// The newest of each year.
    pub yearly: u32,
    /// All that are not older than this, a day being 24 hours. A negative one is as good as zero.
    pub within: Option<SignedDuration>,
    /// The newest pre-restore snapshots. Does not make a policy: see [`Policy::is_empty`].
    pub prerestore_last: u32,
}

impl Default for Policy {
    /// No rules, and three pre-restore snapshots.
    fn default() -> Self {
        Policy { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: None, prerestore_last: 3 }
    }
}

impl Policy {
    /// Whether it has no rules, and so keeps everything, pre-restore snapshots too.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Policy { last, hourly, daily, weekly, monthly, yearly, within, prerestore_last: _ } = self;
        [last, hourly, daily, weekly, monthly, yearly].into_iter().all(|count| *count == 0) && within.is_none()
    }

    fn count_of(&self, period: Period) -> u32 {
        match period {
            Period::Hourly => self.hourly,
            Period::Daily => self.daily,
            Period::Weekly => self.weekly,
            Period::Monthly => self.monthly,
            Period::Yearly => self.yearly,
        }
    }
}

/// What retention says of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its workload.
    pub workload: WorkloadId,
    /// When it was begun.
    pub created_at: Timestamp,
    /// The rules that keep it; none: it is to be deleted.
    pub kept_by: Vec<Rule>,
}

impl Verdict {
    /// Whether any rule keeps it.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !self.kept_by.is_empty()
    }
}

/// Judges each snapshot, newest first (by creation, then id).
///
/// `needed` are snapshots that something needs now, with what it is; those that are not among `snapshots` do nothing.
#[must_use]
pub fn verdicts(
    snapshots: &[Snapshot],
    needed: &BTreeMap<SnapshotId, String>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Verdict> {
    let mut newest_first: Vec<&Snapshot> = snapshots.iter().collect();
    newest_first.sort_by_key(|snapshot| Reverse((snapshot.created_at(), snapshot.id())));

    let mut rules = Rules::default();
    for snapshot in &newest_first {
        if let Some(by) = needed.get(&snapshot.id()) {
            rules.keep(snapshot, Rule::Needed { by: by.clone() });
        }
        if let Some(pin) = &snapshot.pin {
            rules.keep(snapshot, Rule::Pinned { note: pin.note.clone() });
        }
        if snapshot.created_at() > now {
            rules.keep(snapshot, Rule::Future);
        }
        if policy.is_empty() {
            rules.keep(snapshot, Rule::NoRules);
        }
    }
    let mut workloads: BTreeMap<WorkloadId, Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in newest_first.iter().filter(|snapshot| snapshot.created_at() <= now) {
        workloads.entry(snapshot.workload()).or_default().push(snapshot);
    }
    for settled in workloads.values() {
        judge_workload(settled, policy, now, &mut rules);
    }
    newest_first.into_iter().map(|snapshot| rules.verdict_of(snapshot)).collect()
}

/// The rules found so far, by snapshot, in the order in which they were found.
#[derive(Default)]
struct Rules(BTreeMap<SnapshotId, Vec<Rule>>);

impl Rules {
    fn keep(&mut self, snapshot: &Snapshot, rule: Rule) {
        self.0.entry(snapshot.id()).or_default().push(rule);
    }

    fn verdict_of(&self, snapshot: &Snapshot) -> Verdict {
        Verdict {
            snapshot: snapshot.id(),
            workload: snapshot.workload(),
            created_at: snapshot.created_at(),
            kept_by: self.0.get(&snapshot.id()).cloned().unwrap_or_default(),
        }
    }
}

/// Judges the snapshots of one workload, newest first and none from the future.
fn judge_workload(settled: &[&Snapshot], policy: &Policy, now: Timestamp, rules: &mut Rules) {
    let (ordinary, prerestore): (Vec<&Snapshot>, Vec<&Snapshot>) =
        settled.iter().copied().partition(|snapshot| match snapshot.origin() {
            Origin::Manual => true,
            Origin::PreRestore(_) => false,
        });
    keep_a_good_one(&ordinary, &prerestore, rules);
    for (snapshot, rank) in prerestore.iter().zip(1..=policy.prerestore_last) {
        rules.keep(snapshot, Rule::PreRestoreQuota { rank, quota: policy.prerestore_last });
    }
    for (snapshot, rank) in ordinary.iter().zip(1..=policy.last) {
        rules.keep(snapshot, Rule::Last { rank });
    }
    for period in Period::ALL {
        keep_newest_of_each(period, policy.count_of(period), &ordinary, rules);
    }
    if let Some(within) = policy.within {
        keep_within(within, &ordinary, now, rules);
    }
}

/// Whatever the policy: the newest verified snapshot stays, and the newest ordinary one while none of those is verified.
///
/// A pre-restore snapshot does not stand in for an ordinary one (it is what somebody wanted to get away from), nor is
/// it given up while it is the only verified one, or the only one.
fn keep_a_good_one(ordinary: &[&Snapshot], prerestore: &[&Snapshot], rules: &mut Rules) {
    if let Some(good) = newest_verified(ordinary) {
        rules.keep(good, Rule::LastVerified);
        return;
    }
    let good = newest_verified(prerestore);
    if let Some(good) = good {
        rules.keep(good, Rule::LastVerified);
    }
    let stand_in = if good.is_none() { prerestore.first() } else { None };
    if let Some(newest) = ordinary.first().or(stand_in) {
        rules.keep(newest, Rule::NewestUnverified);
    }
}

fn newest_verified<'a>(newest_first: &[&'a Snapshot]) -> Option<&'a Snapshot> {
    newest_first.iter().copied().find(|snapshot| snapshot.is_verified())
}

/// Keeps the newest snapshot of each of the `count` latest periods that have one.
fn keep_newest_of_each(period: Period, count: u32, newest_first: &[&Snapshot], rules: &mut Rules) {
    let mut left = count;
    let mut previous = None;
    for snapshot in newest_first {
        if left == 0 {
            return;
        }
        let bucket = period.bucket(snapshot.created_at());
        if previous.as_ref() != Some(&bucket) {
            rules.keep(snapshot, Rule::Calendar { period, bucket: bucket.clone() });
            previous = Some(bucket);
            left -= 1;
        }
    }
}

fn keep_within(within: SignedDuration, newest_first: &[&Snapshot], now: Timestamp, rules: &mut Rules) {
    // Further back than time goes: everything is within.
    let oldest = now.checked_sub(within.max(SignedDuration::ZERO)).unwrap_or(Timestamp::MIN);
    for snapshot in newest_first.iter().filter(|snapshot| snapshot.created_at() >= oldest) {
        rules.keep(snapshot, Rule::Within { within });
    }
}

#[cfg(test)]
mod tests;
