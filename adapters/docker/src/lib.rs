//! The Containers port on a Docker Engine.
#![doc = include_str!("../README.md")]

mod engine;

mod layer;
mod look;
mod mounts;
mod order;
mod touch;

mod boot;
mod exec;
mod exposure;
mod fresh;
mod isolate;
mod podman;
mod quiesce;
mod record;
mod replace;
mod words;

mod api;
mod error;

pub use engine::DockerEngine;
pub use look::ListedContainer;

#[cfg(test)]
mod engine_tests;
