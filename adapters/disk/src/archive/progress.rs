//! Tells the observer how far an operation has come, now and then, and asks whether to go on.

use volsnap_core::ports::{FsError, Phase, Progress, Watch};

use crate::tree::Trouble;

const BYTES_BETWEEN: u64 = 1 << 20;
const ENTRIES_BETWEEN: u64 = 256;

/// Counts what is done.
pub(super) struct Meter<'a> {
    watch: &'a Watch,
    trouble: &'a Trouble,
    done: Progress,
    told_bytes: u64,
    told_entries: u64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(watch: &'a Watch, trouble: &'a Trouble, phase: Phase) -> Self {
        Meter { watch, trouble, done: Progress::begin(phase), told_bytes: 0, told_entries: 0 }
    }

    /// Begins with a volume.
    pub(super) fn volume(&mut self, target: &str, bytes_total: u64) -> Result<(), FsError> {
        self.done = Progress { volume: Some(target.into()), bytes_total, ..Progress::begin(self.done.phase) };
        self.tell()
    }

    /// Begins with what goes by no volume.
    pub(super) fn whole(&mut self, bytes_total: u64) -> Result<(), FsError> {
        self.done = Progress { bytes_total, ..Progress::begin(self.done.phase) };
        self.tell()
    }

    /// So much more is done.
    ///
    /// # Errors
    /// `Cancelled` if the observer asks for the end.
    pub(super) fn add(&mut self, bytes: u64, entries: u64) -> Result<(), FsError> {
        self.done.bytes += bytes;
        self.done.entries += entries;
        let due = self.done.bytes - self.told_bytes >= BYTES_BETWEEN
            || self.done.entries - self.told_entries >= ENTRIES_BETWEEN;
        if due { self.tell() } else { Ok(()) }
    }

    /// Tells at once.
    pub(super) fn tell(&mut self) -> Result<(), FsError> {
        (self.told_bytes, self.told_entries) = (self.done.bytes, self.done.entries);
        self.watch.progress(&self.done);
        if self.watch.cancelled() { Err(self.trouble.cancelled()) } else { Ok(()) }
    }
}
