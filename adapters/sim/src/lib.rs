//! All four ports in memory, with faults and crashes: a whole machine as a value that can be cloned at any instant.
//!
//! A [`World`] is a machine: disks with what is durable and what is not, a container engine, a catalog, a clock.
//! [`Machine::start`] runs a process on it, whose ports are always ready: a driver polls the engine's future once
//! ([`Machine::run`]) and either it is done, or the process died on the way. Then the driver takes the world, calls
//! [`World::restart_process`] or [`World::reboot`], and starts the next process on it.
//!
//! Every call is made of numbered micro-operations; a [`Fault`] can strike at each of them, and
//! [`World::record_crash_points`] keeps the world as it was before each. What a power cut takes is decided by a
//! [`Chooser`], whose scripts can be enumerated.

pub mod chooser;
pub mod fault;
mod frozen;
pub mod mutant;

mod shared;

pub mod disk;
mod loss;
mod paths;

mod apps;
mod cuts;
mod events;
mod micro;
mod power;
pub mod world;

mod archive;
mod copies;
mod entries;
mod journal;
mod outside;
mod places;
mod precopy;
mod search;
mod stage;
mod subvolumes;

mod deploy;
pub mod engine;
mod record;
mod replace;

pub mod boot;
mod builder;
pub mod machine;
mod members;
mod ports;

pub use builder::{ContainerSpec, DiskSpec, WorldBuilder};
pub use chooser::Chooser;
pub use cuts::{Cut, Cuts};
pub use engine::HealthBehaviour;
pub use entries::RESTORED_ATTRIBUTES;
pub use fault::{Event, Failure, Fault, Reach};
pub use machine::{Machine, Run};
pub use micro::{MicroKind, Moment};
pub use mutant::Mutant;
pub use ports::{SimClock, SimCommands, SimContainers, SimDisks, SimStore};
pub use power::Boot;
pub use shared::fingerprint;
pub use world::{CrashPoint, World};
