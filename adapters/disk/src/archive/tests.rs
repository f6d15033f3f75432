//! Archives on real directories: what goes in comes out, other tools read it, and hostile ones stay in their place.

mod changes;
mod churn;
mod copy;
mod direct;
mod find;
mod flags;
mod forge;
mod freeze;
mod frozen;
mod hostile;
mod immutable;
mod index;
mod interop;
mod mounted;
mod race;
mod random;
mod reread;
mod resume;
mod roundtrip;
mod scene;
mod seeds;
mod subvolumes;
