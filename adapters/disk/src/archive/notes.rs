//! Numbers and strings written one after the other into a file without a name, and read again in that order: what is
//! remembered between the passes over a volume takes no memory, and a crash leaves nothing of it.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    os::unix::fs::FileExt,
};

use volsnap_core::ports::FsError;

use super::compress::io_error;
use crate::tree::Trouble;

/// Writes notes.
pub(super) struct Writer {
    file: BufWriter<File>,
    at: u64,
    trouble: Trouble,
}

impl Writer {
    pub(super) fn new(file: File, trouble: &Trouble) -> Self {
        Writer { file: BufWriter::with_capacity(1 << 16, file), at: 0, trouble: trouble.clone() }
    }

    /// How many bytes have been written.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn number(&mut self, number: u64) -> Result<(), FsError> {
        self.put(&number.to_le_bytes())
    }

    pub(super) fn string(&mut self, string: &[u8]) -> Result<(), FsError> {
        self.number(string.len() as u64)?;
        self.put(string)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        self.at += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|e| io_error(&self.trouble, "write notes for", &e))
    }

    /// The file, for readers.
    pub(super) fn finish(self) -> Result<File, FsError> {
        let trouble = self.trouble;
        self.file.into_inner().map_err(|e| io_error(&trouble, "write notes for", e.error()))
    }
}

/// Reads notes.
pub(super) struct Reader<'a> {
    file: BufReader<From<'a>>,
    left: u64,
    trouble: Trouble,
}

struct From<'a> {
    file: &'a File,
    at: u64,
}

impl Read for From<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<'a> Reader<'a> {
    /// Reads the bytes from `start` to `end`.
    pub(super) fn new(file: &'a File, start: u64, end: u64, trouble: &Trouble) -> Self {
        let file = BufReader::with_capacity(1 << 16, From { file, at: start });
        Reader { file, left: end - start, trouble: trouble.clone() }
    }

    pub(super) fn at_end(&self) -> bool {
        self.left == 0
    }

    pub(super) fn number(&mut self) -> Result<u64, FsError> {
        let mut bytes = [0; 8];
        self.get(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(super) fn string(&mut self) -> Result<Vec<u8>, FsError> {
        let length = self.number()?;
        let mut string = vec![0; usize::try_from(length.min(self.left)).unwrap_or(0)];
        self.get(&mut string)?;
        Ok(string)
    }

    fn get(&mut self, bytes: &mut [u8]) -> Result<(), FsError> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.file.read_exact(bytes).map_err(|e| io_error(&self.trouble, "read the notes for", &e))
    }
}
