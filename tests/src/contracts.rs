//! One suite per port, run against the simulator and the real adapter alike.

pub mod containers;
pub mod disks;
pub mod store;
