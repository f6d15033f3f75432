//! Archives: many independent zstd frames of one PAX tar stream, with an index at the end (see the crate's README).

mod acl;
mod behind;
mod buffer;
mod capture;
mod compose;
mod compress;
mod contents;
mod copy;
mod crew;
mod decompress;
mod draft;
mod earlier;
mod export;
mod extract;
mod find;
mod format;
mod hashed;
mod header;
mod import;
mod live;
mod living;
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
mod transfer;
mod verify;
pub(crate) mod xattr;
mod zeros;

pub use copy::copy_out;
pub use draft::draft;
pub use export::{export, write_out};
pub use find::{dump, list, list_each};
pub use hashed::hashed;
pub use import::import;
pub use living::living;
pub use precopy::{Precopied, precopy};
pub use reread::read_back;
pub use stage::stage;
pub use verify::{summary, summary_of_foreign, verify, verify_foreign, verify_stored};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

#[cfg(test)]
mod tests;
