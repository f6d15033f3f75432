//! What is true and what to do next: planning, journal, switch and recovery of volsnap, without I/O.

pub mod error;
pub mod model;
pub mod restore;

pub mod ports;

pub mod engine;

pub use error::{Code, Error, Result};
