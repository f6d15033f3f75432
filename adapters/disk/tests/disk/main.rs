//! The disk on real filesystems: what the port's contract suite cannot ask for, since it knows of no mounts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod journal;
mod places;
mod scratch;
