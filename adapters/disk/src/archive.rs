//! Archives: many independent zstd frames of one PAX tar stream, with an index at the end (see the crate's README).

mod acl;
mod behind;
mod capture;
mod compose;
mod compress;
mod copy;
mod crew;
mod decompress;
mod draft;
mod earlier;
mod extract;
mod find;
mod format;
mod header;
mod live;
mod log;
mod member;
mod name;
mod notes;
mod open;
mod owned;
mod part;
mod pax;
mod pick;
mod pipeline;
mod precopy;
mod progress;
mod read;
mod reread;
mod script;
mod source;
mod spool;
mod squeeze;
mod stage;
mod stream;
mod verify;
pub(crate) mod xattr;

pub use copy::copy_out;
pub use draft::draft;
pub use find::{dump, list};
pub use precopy::{Precopied, precopy};
pub use reread::read_back;
pub use stage::stage;
pub use verify::{summary, verify};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

#[cfg(test)]
mod tests;
