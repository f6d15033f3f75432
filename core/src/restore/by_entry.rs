//! The switch by entry, for a live directory that no rename can replace: a mount point, the root of a subvolume.
//!
//! Its private directory lies within it, and what changes places are its top-level entries. There may be any number of
//! them, so no journal lists them: where an entry lies says whose it is. The original's entries gather in `leaving`
//! until the live directory is empty; then `leaving` gets the name `aside`, and only after that is durable the restored
//! entries come in. So:
//!
//! * while `leaving` stands, whatever is in the live directory is the original's;
//! * while `aside` stands, whatever is in the live directory is the restored tree's.
//!
//! Each shift below is made durable by the survey before the next is asked for. A crash leaves some of a shift's entries
//! moved and others not, and the same row of the table asks for the rest.
//!
//! | live | staged | original in | forward | back |
//! |---|---|---|---|---|
//! | full | R | `leaving`, in part | gather | bring home |
//! | empty | R | `leaving`, whole | seal: it is `aside` from now on | bring home |
//! | empty or some of R | the rest of R | `aside` | fill | take out |
//! | R | empty | `aside` | done, with the restored root's attributes | take out |
//! | empty | R | `aside` | fill | unseal: it is `leaving` again |
//! | O | R | `leaving` is empty | gather | done, with the original root's attributes |
//!
//! The live directory itself stays, so its owner, mode, times, extended attributes and ACL are kept in two empty
//! directories beside the staged tree, one like each root.

use super::{
    facts::{Holds, Places},
    switch::Stuck,
};
use crate::model::Sight;

/// One of the two roots whose attributes a live directory can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// As it was before the restore.
    Original,
    /// As the snapshot has it.
    Restored,
}

/// A change of places of all entries that are in one directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// What is live joins what is leaving.
    Gather,
    /// All of the original is in `leaving`: it gets its root's attributes and the name `aside`.
    Seal,
    /// What is staged becomes live, and the live directory gets the restored root's attributes.
    Fill,
    /// What is live joins what is staged.
    TakeOut,
    /// All of the restored tree is out: `aside` is `leaving` again.
    Unseal,
    /// What is leaving becomes live again, and the live directory gets the original root's attributes.
    BringHome,
    /// The entries are in place; the live directory gets the attributes of this root.
    Dress(Root),
}

/// What a switch by entry sees besides the names that every volume has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries {
    /// Where the original's entries gather.
    pub leaving: Sight,
    /// Whether the live directory has entries that the switch moves: not our own name, and no `lost+found`.
    pub live: bool,
    /// Whether the live directory has the attributes that are kept for the original's root.
    pub like_original: bool,
    /// Whether the live directory has the attributes that are kept for the restored root.
    pub like_restored: bool,
}

/// Where the original is.
enum OriginalIn {
    Leaving { empty: bool },
    Aside,
}

/// The next shift towards the restored data; `None` when they are live. `staged` is what its name holds.
pub fn forward(places: &Places, staged: Holds, entries: Entries) -> Result<Option<Shift>, Stuck> {
    let staged_empty = is_staged_empty(places, staged)?;
    Ok(match original_in(places, entries)? {
        OriginalIn::Leaving { .. } if entries.live => Some(Shift::Gather),
        OriginalIn::Leaving { .. } => Some(Shift::Seal),
        OriginalIn::Aside if !staged_empty => Some(Shift::Fill),
        OriginalIn::Aside if !entries.like_restored => Some(Shift::Dress(Root::Restored)),
        OriginalIn::Aside => None,
    })
}

/// The next shift towards the original; `None` when it is live.
pub fn back(places: &Places, staged: Holds, entries: Entries) -> Result<Option<Shift>, Stuck> {
    Ok(match original_in(places, entries)? {
        OriginalIn::Aside if !entries.live => Some(Shift::Unseal),
        OriginalIn::Aside => {
            is_staged_empty(places, staged)?;
            Some(Shift::TakeOut)
        }
        OriginalIn::Leaving { empty: false } => Some(Shift::BringHome),
        OriginalIn::Leaving { empty: true } if !entries.like_original => Some(Shift::Dress(Root::Original)),
        OriginalIn::Leaving { empty: true } => None,
    })
}

impl Shift {
    /// How many shifts are left in its direction, itself included: what the measure of progress counts.
    #[must_use]
    pub fn left(self) -> usize {
        match self {
            Shift::Gather | Shift::TakeOut => 4,
            Shift::Seal | Shift::Unseal => 3,
            Shift::Fill | Shift::BringHome => 2,
            Shift::Dress(_) => 1,
        }
    }
}

impl Entries {
    /// Whether entries of the original lie where something may be deleted.
    #[must_use]
    pub fn hold_original(&self) -> bool {
        is_empty(self.leaving) == Some(false)
    }
}

fn original_in(places: &Places, entries: Entries) -> Result<OriginalIn, Stuck> {
    match (is_empty(entries.leaving), is_empty(places.aside)) {
        (Some(empty), None) => Ok(OriginalIn::Leaving { empty }),
        (None, Some(_)) => Ok(OriginalIn::Aside),
        (None, None) | (Some(_), Some(_)) => Err(Stuck::OriginalMissing),
    }
}

/// Entries come only from, and go only back to, the directory that was staged.
fn is_staged_empty(places: &Places, staged: Holds) -> Result<bool, Stuck> {
    is_empty(places.staged).filter(|_| staged == Holds::Restored).ok_or(Stuck::RestoredMissing)
}

fn is_empty(sight: Sight) -> Option<bool> {
    match sight {
        Sight::Directory { empty, .. } => Some(empty),
        Sight::Absent | Sight::Other => None,
    }
}
