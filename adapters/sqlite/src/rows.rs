//! One file per table: the only places that name its columns.

pub(crate) mod events;
pub(crate) mod settings;
pub(crate) mod snapshots;
pub(crate) mod workloads;

use std::{fmt::Display, str::FromStr};

use jiff::Timestamp;

use crate::fault::Fault;

/// An instant as its two columns. Both have the sign of the instant, so the pair sorts as the instant does.
fn columns_of(at: Timestamp) -> (i64, i32) {
    (at.as_second(), at.subsec_nanosecond())
}

fn instant(seconds: i64, nanoseconds: i32) -> Result<Timestamp, Fault> {
    Timestamp::new(seconds, nanoseconds)
        .map_err(|e| Fault::Damaged(format!("no instant: {seconds} s {nanoseconds} ns: {e}")))
}

fn id<T>(text: &str) -> Result<T, Fault>
where
    T: FromStr<Err: Display>,
{
    text.parse().map_err(|e| Fault::Damaged(format!("no id: {text:?}: {e}")))
}
