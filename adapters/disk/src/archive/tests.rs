//! Archives on real directories: what goes in comes out, other tools read it, and hostile ones stay in their place.

mod forge;
mod frozen;
mod hostile;
mod interop;
mod random;
mod resume;
mod roundtrip;
mod scene;
mod seeds;
