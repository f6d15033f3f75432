//! How the stream of a volume is put together once the app runs again: what was copied before, and what was captured.

use volsnap_core::ports::FsError;

use super::notes::{Reader, Writer};

/// One step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A part of the volume's earlier stream; members begin and end with it.
    Keep { from: u64, to: u64 },
    /// A member begins: its path below the volume's root, and its header.
    Member { path: Vec<u8>, header: Vec<u8> },
    /// Captured bytes, and in which of the two spools.
    Data { cloned: bool, offset: u64, bytes: u64 },
    /// So many zeros.
    Zeros(u64),
}

impl Step {
    pub(super) fn write(&self, notes: &mut Writer) -> Result<(), FsError> {
        match self {
            Step::Keep { from, to } => [0, *from, *to].into_iter().try_for_each(|number| notes.number(number)),
            Step::Member { path, header } => {
                notes.number(1)?;
                notes.string(path)?;
                notes.string(header)
            }
            Step::Data { cloned, offset, bytes } => {
                [2, u64::from(*cloned), *offset, *bytes].into_iter().try_for_each(|number| notes.number(number))
            }
            Step::Zeros(bytes) => [3, *bytes].into_iter().try_for_each(|number| notes.number(number)),
        }
    }

    /// The next step; `None` at the end.
    pub(super) fn read(notes: &mut Reader<'_>) -> Result<Option<Self>, FsError> {
        if notes.at_end() {
            return Ok(None);
        }
        Ok(Some(match notes.number()? {
            0 => Step::Keep { from: notes.number()?, to: notes.number()? },
            1 => Step::Member { path: notes.string()?, header: notes.string()? },
            2 => Step::Data { cloned: notes.number()? == 1, offset: notes.number()?, bytes: notes.number()? },
            _ => Step::Zeros(notes.number()?),
        }))
    }
}
