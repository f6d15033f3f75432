//! Whom the entries of a copy belong to: the ids of the archive, others in their place, or whoever makes the copy.

use std::fmt;

/// So many ids from one on become those from another one on, as in `newuidmap` and in mounts that map ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id in the archive.
    pub from: u32,
    /// What it becomes.
    pub to: u32,
    /// How many.
    pub count: u32,
}

impl IdRange {
    fn end_of(self, first: u32) -> u64 {
        u64::from(first) + u64::from(self.count)
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.from, self.to, self.count)
    }
}

/// Which ids become which. An id that lies in no range stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    ranges: Vec<IdRange>,
}

impl IdMap {
    /// A map of these ranges; says what is wrong with them if one is empty, reaches the last number, which stands for
    /// nobody, or overlaps with another on either side.
    pub fn new(ranges: Vec<IdRange>) -> Result<Self, String> {
        for (at, range) in ranges.iter().enumerate() {
            if range.count == 0 {
                return Err(format!("{range} has no ids"));
            }
            if range.end_of(range.from.max(range.to)) > u64::from(u32::MAX) {
                return Err(format!("{range} goes beyond the last id"));
            }
            let meets =
                |a: u32, other: &IdRange, b: u32| u64::from(a) < other.end_of(b) && u64::from(b) < range.end_of(a);
            if let Some(other) = ranges[..at].iter().find(|other| meets(range.from, other, other.from)) {
                return Err(format!("{other} and {range} are of the same ids"));
            }
            if let Some(other) = ranges[..at].iter().find(|other| meets(range.to, other, other.to)) {
                return Err(format!("{other} and {range} lead to the same ids"));
            }
        }
        Ok(IdMap { ranges })
    }

    /// What an id becomes.
    #[must_use]
    pub fn map(&self, id: u32) -> u32 {
        let within = |range: &&IdRange| id >= range.from && u64::from(id) < range.end_of(range.from);
        self.ranges.iter().find(within).map_or(id, |range| range.to + (id - range.from))
    }

    /// Whether every id stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

/// Whom the entries of a copy belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Whom the archive says, with these ids in place of those: of owners, in ACLs, and of the root to whom
    /// capabilities belong.
    Mapped {
        /// Of users.
        uids: IdMap,
        /// Of groups.
        gids: IdMap,
    },
    /// Whoever makes the copy, who need not be root. Files lose set-user-id and set-group-id, and what only root may set
    /// is left out: capabilities, and attributes in `trusted.` and `security.`.
    Mine,
}

impl Default for Owners {
    fn default() -> Self {
        Owners::Mapped { uids: IdMap::default(), gids: IdMap::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u32, to: u32, count: u32) -> IdRange {
        IdRange { from, to, count }
    }

    #[test]
    fn ids_within_a_range_move_by_as_much_as_its_beginning_and_others_stay() {
        let map = IdMap::new(vec![range(0, 100_000, 65_536), range(70_000, 7, 1)]).unwrap();
        for (id, becomes) in
            [(0, 100_000), (999, 100_999), (65_535, 165_535), (65_536, 65_536), (70_000, 7), (70_001, 70_001)]
        {
            assert_eq!(map.map(id), becomes, "{id}");
        }
        let last = IdMap::new(vec![range(5, u32::MAX - 1, 1)]).unwrap();
        assert_eq!(last.map(5), u32::MAX - 1);
        assert_eq!(IdMap::default().map(u32::MAX), u32::MAX, "the number of nobody");
    }

    #[test]
    fn ranges_that_say_nothing_too_much_or_two_things_are_refused() {
        for ranges in [
            vec![range(1, 2, 0)],
            vec![range(5, u32::MAX, 1)],
            vec![range(u32::MAX - 1, 5, 2)],
            vec![range(0, 10, 5), range(4, 100, 1)],
            vec![range(0, 10, 5), range(100, 14, 1)],
        ] {
            assert!(IdMap::new(ranges.clone()).is_err(), "{ranges:?}");
        }
        assert!(IdMap::new(vec![range(0, 10, 5), range(5, 15, 5)]).is_ok(), "next to each other");
    }
}
