//! Archives on real directories: what goes in comes out, other tools read it, and hostile ones stay in their place.

mod churn;
mod forge;
mod frozen;
mod hostile;
mod immutable;
mod index;
mod interop;
mod race;
mod random;
mod resume;
mod roundtrip;
mod scene;
