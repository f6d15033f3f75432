//! The Containers port on a Docker Engine.
#![doc = include_str!("../README.md")]

mod engine;

mod look;
mod mounts;
mod order;

mod exec;
mod quiesce;
mod record;
mod replace;

mod api;
mod error;

pub use engine::DockerEngine;
pub use look::ListedContainer;
