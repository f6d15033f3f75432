//! Which snapshots are kept, and by which rule.
//!
//! [`verdicts`] is a pure function: the same snapshots, policy and circumstances give the same answer, in whatever
//! order the snapshots come. It only says what may go; deleting is done elsewhere.
//!
//! - Each workload is judged by itself.
//! - What is newer is said by [`Snapshot::order`] and by no clock.
//! - A snapshot whose archive is not there takes no place in any rule, so that it never pushes out one that is. Its row
//!   is kept ([`Rule::NoArchive`]): the disk of the archives may only be away.
//! - Nor does one whose archive is damaged ([`Flaw`]). It is kept too ([`Rule::Damaged`]), until somebody deletes it.
//! - The calendar rules keep the newest snapshot of each hour, day, ISO week, month or year that has one, for the given
//!   number of such periods, by the calendar of [`Circumstances::zone`]. Periods without a snapshot do not count: a
//!   machine that was off for a month loses nothing by it.
//! - A pinned snapshot ([`Snapshot::pin`]) and one that something needs are kept, whatever else holds. The rules judge
//!   them besides like any other: to pin one, or to unpin it, changes nothing for the others.
//! - The newest verified snapshot of a workload is kept; while no ordinary one is verified, the newest ordinary one. So
//!   the last archive that exists is never given up.
//! - Pre-restore snapshots have a quota of their own, and take no place in the other rules.
//! - A policy without rules keeps everything. Whoever is asked to prune by such a policy should refuse: it is more
//!   likely a mistake than a wish.
//!
//! # A clock that was wrong
//!
//! Times are labels. The order shows which of them cannot all be right: one after another that was taken later, or after
//! now. Nobody can tell which of two such labels is the wrong one, so both are *doubtful*.
//!
//! - `last` and the quota of pre-restore snapshots count by the order alone.
//! - A calendar rule keeps a doubtful snapshot, if it is the newest with its label's period, without giving it a place:
//!   a jump of the clock pushes nothing out. It goes when the range of the rule has moved past it.
//! - `within` counts from the latest label that is not after now, and not from now: a clock that is ahead, or a machine
//!   that takes no snapshots any more, empties no catalog. A doubtful snapshot is taken to be as new as the next one after
//!   it that is not doubtful.

mod rule;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

pub use rule::{Period, Rule};

use super::{ArchiveFile, Flaw, Origin, Snapshot, SnapshotId, WorkloadId};

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
    /// All that were taken at most this long before the latest, a day being 24 hours. A negative one is as good as zero.
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

/// What the world is like when snapshots are judged.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// Snapshots that something needs now, with what it is. Those that are not judged do nothing.
    pub needed: BTreeMap<SnapshotId, String>,
    /// What has the name of an archive.
    pub archives: BTreeMap<SnapshotId, ArchiveFile>,
    /// Whose calendar says what a day is.
    pub zone: TimeZone,
    /// What the clock says.
    pub now: Timestamp,
}

/// Judges each snapshot, newest first (by [`Snapshot::order`]).
#[must_use]
pub fn verdicts(snapshots: &[Snapshot], circumstances: &Circumstances, policy: &Policy) -> Vec<Verdict> {
    let mut newest_first: Vec<&Snapshot> = snapshots.iter().collect();
    newest_first.sort_by_key(|snapshot| Reverse(snapshot.order()));

    let mut rules = Rules::default();
    let mut workloads: BTreeMap<WorkloadId, Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in &newest_first {
        if let Some(by) = circumstances.needed.get(&snapshot.id()) {
            rules.keep(snapshot, Rule::Needed { by: by.clone() });
        }
        if let Some(pin) = &snapshot.pin {
            rules.keep(snapshot, Rule::Pinned { note: pin.note.clone() });
        }
        if policy.is_empty() {
            rules.keep(snapshot, Rule::NoRules);
        }
        match Flaw::of(snapshot, &circumstances.archives) {
            None => workloads.entry(snapshot.workload()).or_default().push(snapshot),
            Some(Flaw::Missing) => rules.keep(snapshot, Rule::NoArchive),
            Some(flaw) => rules.keep(snapshot, Rule::Damaged(flaw)),
        }
    }
    for existing in workloads.values() {
        judge_workload(&labelled(existing, circumstances.now), policy, &circumstances.zone, &mut rules);
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

/// A snapshot that has an archive, and what its label is worth.
#[derive(Clone, Copy)]
struct Labelled<'a> {
    snapshot: &'a Snapshot,
    is_doubtful: bool,
    /// It was not taken later than that, by the latest label that is not after now; `None` if there is no such label.
    age_min: Option<SignedDuration>,
}

/// What the labels of a workload's snapshots are worth, newest first.
fn labelled<'a>(newest_first: &[&'a Snapshot], now: Timestamp) -> Vec<Labelled<'a>> {
    let by_now = |snapshot: &&Snapshot| Some(snapshot.created_at()).filter(|label| *label <= now);
    let latest = newest_first.iter().filter_map(by_now).max();
    // The latest label among all that came before it.
    let mut before = vec![None; newest_first.len()];
    let mut latest_so_far = None;
    for (snapshot, before) in newest_first.iter().zip(&mut before).rev() {
        *before = latest_so_far;
        latest_so_far = latest_so_far.max(by_now(snapshot));
    }
    // The earliest among all that came after it.
    let mut after = now;
    let mut taken_by = latest;
    let mut all = Vec::new();
    for (snapshot, before) in newest_first.iter().zip(before) {
        let label = snapshot.created_at();
        let is_doubtful = label > after || before.is_some_and(|before| before > label);
        after = after.min(label);
        if !is_doubtful {
            taken_by = Some(label);
        }
        let age_min = latest.zip(taken_by).map(|(latest, taken_by)| latest.duration_since(taken_by));
        all.push(Labelled { snapshot, is_doubtful, age_min });
    }
    all
}

/// Judges the snapshots of one workload, newest first.
fn judge_workload(existing: &[Labelled<'_>], policy: &Policy, zone: &TimeZone, rules: &mut Rules) {
    let (ordinary, prerestore): (Vec<Labelled<'_>>, Vec<Labelled<'_>>) =
        existing.iter().copied().partition(|one| match one.snapshot.origin() {
            Origin::Manual => true,
            Origin::PreRestore(_) => false,
        });
    keep_a_good_one(&ordinary, &prerestore, rules);
    for (one, rank) in prerestore.iter().zip(1..=policy.prerestore_last) {
        rules.keep(one.snapshot, Rule::PreRestoreQuota { rank, quota: policy.prerestore_last });
    }
    for (one, rank) in ordinary.iter().zip(1..=policy.last) {
        rules.keep(one.snapshot, Rule::Last { rank });
    }
    for period in Period::ALL {
        keep_newest_of_each(period, policy.count_of(period), &ordinary, zone, rules);
    }
    if let Some(within) = policy.within {
        let within_of = |one: &&Labelled<'_>| one.age_min.is_none_or(|age| age <= within.max(SignedDuration::ZERO));
        for one in ordinary.iter().filter(within_of) {
            rules.keep(one.snapshot, Rule::Within { within });
        }
    }
}

/// Whatever the policy: the newest verified snapshot stays, and the newest ordinary one while none of those is verified.
///
/// A pre-restore snapshot does not stand in for an ordinary one (it is what somebody wanted to get away from), nor is
/// it given up while it is the only verified one, or the only one.
fn keep_a_good_one(ordinary: &[Labelled<'_>], prerestore: &[Labelled<'_>], rules: &mut Rules) {
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
        rules.keep(newest.snapshot, Rule::NewestUnverified);
    }
}

fn newest_verified<'a>(newest_first: &[Labelled<'a>]) -> Option<&'a Snapshot> {
    newest_first.iter().map(|one| one.snapshot).find(|snapshot| snapshot.is_verified())
}

/// Keeps the newest snapshot of each of the `count` latest periods that have one. Doubtful ones among them do not count.
fn keep_newest_of_each(period: Period, count: u32, newest_first: &[Labelled<'_>], zone: &TimeZone, rules: &mut Rules) {
    let mut left = count;
    let mut seen = BTreeSet::new();
    for one in newest_first {
        if left == 0 {
            return;
        }
        let bucket = period.bucket(one.snapshot.created_at(), zone);
        if seen.insert(bucket.clone()) {
            rules.keep(one.snapshot, Rule::Calendar { period, bucket });
            left -= u32::from(!one.is_doubtful);
        }
    }
}

#[cfg(test)]
mod tests;
