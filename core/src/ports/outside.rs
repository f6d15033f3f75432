//! What comes from elsewhere, and what goes there.

use std::path::PathBuf;

use crate::model::Manifest;

/// A file that is to be taken among the archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportJob {
    /// The file, by its absolute path; links are followed.
    pub file: PathBuf,
    /// BLAKE3 of its index as [`Archives::read_foreign`](super::Archives::read_foreign) gave it: another file under the same name is refused.
    pub archive_digest: String,
    /// What the archive is to say of itself. It names the file's volumes in their order.
    pub manifest: Manifest,
    /// Whether an archive that stands there is replaced.
    pub replace: bool,
}

/// Takes the contents of a file piece by piece. An error is in words, and ends the reading.
pub trait Output: Send {
    /// The next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// All of them have come.
    fn end(&mut self) -> Result<(), String>;
}
