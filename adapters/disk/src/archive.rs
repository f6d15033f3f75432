//! Archives: many independent zstd frames of one PAX tar stream, with an index at the end (see the crate's README).

mod acl;
mod compress;
mod decompress;
mod draft;
mod earlier;
mod extract;
mod format;
mod header;
mod member;
mod name;
mod open;
mod pax;
mod pipeline;
mod progress;
mod read;
mod source;
mod stage;
mod stream;
mod verify;
pub(crate) mod xattr;

pub use draft::draft;
pub use stage::stage;
pub use verify::{summary, verify};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

#[cfg(test)]
mod tests;
