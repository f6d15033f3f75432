//! The rules that keep a snapshot, and their names for people.

use std::fmt;

use jiff::{
    SignedDuration, Timestamp,
    tz::{Offset, TimeZone},
};
use serde::{Deserialize, Serialize};

use crate::model::Flaw;

/// A calendar rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    /// Every hour.
    Hourly,
    /// Every day.
    Daily,
    /// Every ISO week, Monday to Sunday.
    Weekly,
    /// Every month.
    Monthly,
    /// Every year.
    Yearly,
}

impl Period {
    /// All, from the shortest on.
    pub const ALL: [Period; 5] = [Period::Hourly, Period::Daily, Period::Weekly, Period::Monthly, Period::Yearly];

    /// The name of the period that `at` is in, by the calendar of a zone: `2026-11-20 14:00`, `2026-11-20`, `2026-W47`,
    /// `2026-11`, `2026`. Outside UTC an hour says its offset, `2026-10-25 02:00+01`: where summer time ends there are two
    /// of that name.
    #[must_use]
    pub fn bucket(self, at: Timestamp, zone: &TimeZone) -> String {
        let offset = zone.to_offset(at);
        let time = offset.to_datetime(at);
        let (year, month, day) = (time.year(), time.month(), time.day());
        match self {
            Period::Hourly if offset == Offset::UTC => format!("{year:04}-{month:02}-{day:02} {:02}:00", time.hour()),
            Period::Hourly => format!("{year:04}-{month:02}-{day:02} {:02}:00{offset}", time.hour()),
            Period::Daily => format!("{year:04}-{month:02}-{day:02}"),
            Period::Weekly => {
                let week = time.date().iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Period::Monthly => format!("{year:04}-{month:02}"),
            Period::Yearly => format!("{year:04}"),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Period::Hourly => "hourly",
            Period::Daily => "daily",
            Period::Weekly => "weekly",
            Period::Monthly => "monthly",
            Period::Yearly => "yearly",
        })
    }
}

/// Why a snapshot is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Rule {
    /// Something needs it now.
    Needed {
        /// What, for people: `open restore`.
        by: String,
    },
    /// Somebody pinned it.
    Pinned {
        /// What for.
        note: Option<String>,
    },
    /// It is the newest verified snapshot of its workload.
    LastVerified,
    /// It is the newest snapshot of its workload, and none is verified.
    NewestUnverified,
    /// It has no archive: there is nothing to delete, and somebody should know.
    NoArchive,
    /// Its archive cannot be restored: it stands for no other snapshot, and somebody should look at it.
    Damaged(Flaw),
    /// The policy has no rules.
    NoRules,
    /// It is a pre-restore snapshot within the quota of those.
    PreRestoreQuota {
        /// The newest is 1.
        rank: u32,
        /// How many are kept.
        quota: u32,
    },
    /// It is among the newest.
    Last {
        /// The newest is 1.
        rank: u32,
    },
    /// It is the newest of a period.
    Calendar {
        /// Which calendar rule.
        period: Period,
        /// The period: see [`Period::bucket`].
        bucket: String,
    },
    /// It is not that much older than the latest.
    Within {
        /// The duration of the policy.
        within: SignedDuration,
    },
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Needed { by } => f.write_str(by),
            Rule::Pinned { note: None } => f.write_str("pinned"),
            Rule::Pinned { note: Some(note) } => write!(f, "pinned: {note}"),
            Rule::LastVerified => f.write_str("last verified"),
            Rule::NewestUnverified => f.write_str("newest, none verified"),
            Rule::NoArchive => f.write_str("no archive"),
            Rule::Damaged(flaw) => write!(f, "damaged archive: {flaw}"),
            Rule::NoRules => f.write_str("no rules"),
            Rule::PreRestoreQuota { rank, quota } => write!(f, "pre-restore {rank} of {quota}"),
            Rule::Last { rank } => write!(f, "last {rank}"),
            Rule::Calendar { period, bucket } => write!(f, "{period} {bucket}"),
            Rule::Within { within } => write!(f, "within {}", in_days(*within)),
        }
    }
}

/// `7d`, `1d 12h`, `30m`: jiff's own form stops at hours.
fn in_days(duration: SignedDuration) -> String {
    let days = duration.as_secs() / SECONDS_PER_DAY;
    let rest = SignedDuration::new(duration.as_secs() % SECONDS_PER_DAY, duration.subsec_nanos());
    match (days, rest.is_zero()) {
        (0, _) => format!("{rest:#}"),
        (_, true) => format!("{days}d"),
        (_, false) => format!("{days}d {rest:#}"),
    }
}

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;
