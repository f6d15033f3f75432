//! What can be typed about keeping and deleting snapshots.

use clap::Args as ClapArgs;
use jiff::SignedDuration;

use crate::cli::parse::duration;

#[derive(Debug, ClapArgs)]
pub struct Pin {
    /// Id, unique prefix of it, or `latest`; `shop/latest` is the newest of shop
    pub snapshot: String,
    /// What for
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub struct Delete {
    /// Id or unique prefix of it
    pub snapshot: String,
    /// Also if it is pinned
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Prune {
    /// Only this workload (name or id); else all
    pub workload: Option<String>,
    /// Keep the newest N
    #[arg(long, value_name = "N")]
    pub keep_last: Option<u32>,
    /// Keep the newest of each of N hours
    #[arg(long, value_name = "N")]
    pub keep_hourly: Option<u32>,
    /// Keep the newest of each of N days
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<u32>,
    /// Keep the newest of each of N weeks
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<u32>,
    /// Keep the newest of each of N months
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<u32>,
    /// Keep the newest of each of N years
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<u32>,
    /// Keep all that are younger, such as `7d`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub keep_within: Option<SignedDuration>,
    /// Keep the newest N that restores took of what they replaced [default: 3]
    #[arg(long, value_name = "N")]
    pub keep_prerestore: Option<u32>,
    /// Only say what would be deleted, and which rule keeps what
    #[arg(long)]
    pub dry_run: bool,
}
