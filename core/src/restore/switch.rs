//! The switch as a table: from what a volume's names hold to the one rename that comes next.
//!
//! O is the original, R the restored directory, e an empty directory of somebody else, · nothing.
//!
//! | live | staged | aside | forward | back |
//! |---|---|---|---|---|
//! | O | R | · | exchange, or set aside (two renames) | done |
//! | · | R | O | install | put back |
//! | e | R | O | clear the empty one | clear the empty one |
//! | R | O | · | done | exchange |
//! | R | · | O | done | take out |
//! | · | O | · | | install (the original) |
//! | · | R | · | install (nothing was there before) | done, if nothing was there before |
//! | e | R | · | clear, if nothing was there before | done, if nothing was there before |
//! | R | · | · | done | take out, if nothing was there before |
//!
//! Every other row is an anomaly: something of somebody else stands in the way, or a directory is missing. A live
//! directory that no rename can replace has a table of its own, in [`super::by_entry`].

use super::{
    by_entry::{self, Shift},
    facts::{Facts, Holds, Names},
    plan::Method,
    state::{Direction, State},
};

/// One change of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// Live and staged exchange their names. A crash leaves both as they were or both exchanged.
    Exchange,
    /// Live is set aside. A crash leaves it at one of the two names.
    SetAside,
    /// Staged becomes live.
    Install,
    /// Live becomes staged.
    TakeOut,
    /// What was set aside becomes live.
    PutBack,
    /// An empty directory at the live name is removed, without recursion.
    ClearLive,
    /// Entries change places. A crash leaves some of them moved.
    ByEntry(Shift),
}

/// Why no rename is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// Something of somebody else stands at the live name.
    ForeignLive,
    /// Something of somebody else stands at the staged name, where the live directory has to go.
    ForeignStaged,
    /// The original is nowhere to be seen.
    OriginalMissing,
    /// The restored directory is nowhere to be seen.
    RestoredMissing,
}

/// The next change of a volume's names in that direction; `None` when it has arrived, or when nothing is decided.
pub fn towards(direction: Direction, state: &State, facts: &Facts, volume: usize) -> Result<Option<Rename>, Stuck> {
    let planned = &state.plan.volumes[volume];
    let places = &facts.volumes[volume];
    let names = facts.names(state, volume);
    match (direction, places.entries) {
        (Direction::Undecided, _) => Ok(None),
        (Direction::Forward, None) => forward(planned.method, planned.original.is_some(), names),
        (Direction::Back, None) => back(planned.original.is_some(), names),
        (Direction::Forward, Some(entries)) => {
            Ok(by_entry::forward(places, names.staged, entries)?.map(Rename::ByEntry))
        }
        (Direction::Back, Some(entries)) => Ok(by_entry::back(places, names.staged, entries)?.map(Rename::ByEntry)),
    }
}

/// The next rename towards the restored directory; `None` when it is live.
pub fn forward(method: Method, had_original: bool, names: Names) -> Result<Option<Rename>, Stuck> {
    if had_original && !has(names, Holds::Original) {
        return Err(Stuck::OriginalMissing);
    }
    match (names.live, names.staged) {
        (Holds::Restored, _) => Ok(None),
        (_, Holds::Absent | Holds::Original | Holds::EmptyForeign | Holds::Foreign) => Err(Stuck::RestoredMissing),
        (Holds::Original, Holds::Restored) => Ok(Some(match method {
            Method::Exchange => Rename::Exchange,
            Method::TwoRenames | Method::New | Method::ByEntry => Rename::SetAside,
        })),
        (Holds::Absent, Holds::Restored) => Ok(Some(Rename::Install)),
        (Holds::EmptyForeign, Holds::Restored) => Ok(Some(Rename::ClearLive)),
        (Holds::Foreign, Holds::Restored) => Err(Stuck::ForeignLive),
    }
}

/// The next rename towards the original; `None` when it is live, or when there was none and nothing of ours is live.
pub fn back(had_original: bool, names: Names) -> Result<Option<Rename>, Stuck> {
    if !had_original {
        return match names.live {
            Holds::Restored => Ok(Some(Rename::TakeOut)),
            Holds::Absent | Holds::Original | Holds::EmptyForeign | Holds::Foreign => Ok(None),
        };
    }
    if !has(names, Holds::Original) {
        return Err(Stuck::OriginalMissing);
    }
    match names.live {
        Holds::Original => Ok(None),
        Holds::Foreign => Err(Stuck::ForeignLive),
        Holds::EmptyForeign => Ok(Some(Rename::ClearLive)),
        Holds::Restored if names.staged == Holds::Original => Ok(Some(Rename::Exchange)),
        Holds::Restored if names.staged == Holds::Absent => Ok(Some(Rename::TakeOut)),
        Holds::Restored => Err(Stuck::ForeignStaged),
        Holds::Absent if names.staged == Holds::Original => Ok(Some(Rename::Install)),
        Holds::Absent => Ok(Some(Rename::PutBack)),
    }
}

fn has(names: Names, what: Holds) -> bool {
    [names.live, names.staged, names.aside].contains(&what)
}

#[cfg(test)]
mod tests {
    use Holds::{Absent, EmptyForeign, Foreign, Original, Restored};

    use super::*;

    const ALL: [Holds; 5] = [Absent, Original, Restored, EmptyForeign, Foreign];

    /// What a rename does to the names, as a filesystem would.
    fn apply(names: Names, rename: Rename) -> Names {
        let Names { live, staged, aside } = names;
        match rename {
            Rename::Exchange => Names { live: staged, staged: live, aside },
            Rename::SetAside => Names { live: Absent, staged, aside: live },
            Rename::Install => Names { live: staged, staged: Absent, aside },
            Rename::TakeOut => Names { live: Absent, staged: live, aside },
            Rename::PutBack => Names { live: aside, staged, aside: Absent },
            Rename::ClearLive => Names { live: Absent, staged, aside },
            Rename::ByEntry(_) => unreachable!("no entry is moved by these methods"),
        }
    }

    fn every_case(mut check: impl FnMut(Method, bool, Names)) {
        for method in [Method::Exchange, Method::TwoRenames, Method::New] {
            for had_original in [true, false] {
                for live in ALL {
                    for staged in ALL {
                        for aside in ALL {
                            let names = Names { live, staged, aside };
                            let twice = |what| [live, staged, aside].iter().filter(|h| **h == what).count() > 1;
                            if !twice(Original) && !twice(Restored) && (had_original || !has(names, Original)) {
                                check(method, had_original, names);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_row_ends_or_is_stuck_within_three_renames() {
        every_case(|method, had_original, start| {
            for target in [Restored, Original] {
                let mut names = start;
                let mut renames = 0;
                loop {
                    let rename = match target {
                        Restored => forward(method, had_original, names),
                        Absent | Original | EmptyForeign | Foreign => back(had_original, names),
                    };
                    match rename {
                        Err(_) => break,
                        Ok(None) if target == Restored => break assert_eq!(names.live, Restored),
                        Ok(None) if had_original => break assert_eq!(names.live, Original),
                        Ok(None) => break assert_ne!(names.live, Restored),
                        Ok(Some(rename)) => names = apply(names, rename),
                    }
                    renames += 1;
                    assert!(renames <= 3, "{method:?} {start:?} does not end");
                }
            }
        });
    }

    #[test]
    fn no_rename_meets_an_occupied_name_or_moves_a_foreign_directory() {
        every_case(|method, had_original, names| {
            for rename in
                [forward(method, had_original, names), back(had_original, names)].into_iter().flatten().flatten()
            {
                let ours = |h| matches!(h, Original | Restored);
                let fine = match rename {
                    Rename::Exchange => ours(names.live) && ours(names.staged),
                    Rename::SetAside => names.live == Original && names.aside == Absent,
                    Rename::Install => names.live == Absent && ours(names.staged),
                    Rename::TakeOut => names.live == Restored && names.staged == Absent,
                    Rename::PutBack => names.live == Absent && names.aside == Original,
                    Rename::ClearLive => names.live == EmptyForeign,
                    Rename::ByEntry(_) => false,
                };
                // A set-aside name that is taken makes the rename fail without replacing anything; everything else
                // must never be asked for.
                let taken = match rename {
                    Rename::SetAside => names.aside != Absent,
                    Rename::TakeOut => names.staged != Absent,
                    Rename::Exchange | Rename::Install | Rename::PutBack | Rename::ClearLive | Rename::ByEntry(_) => {
                        false
                    }
                };
                assert!(fine || taken, "{rename:?} on {names:?} ({method:?})");
            }
        });
    }

    #[test]
    fn no_rename_loses_a_directory() {
        every_case(|method, had_original, names| {
            for rename in
                [forward(method, had_original, names), back(had_original, names)].into_iter().flatten().flatten()
            {
                let after = apply(names, rename);
                let occupied = matches!(rename, Rename::SetAside) && names.aside != Absent
                    || matches!(rename, Rename::TakeOut) && names.staged != Absent;
                for what in [Original, Restored] {
                    assert!(occupied || has(names, what) == has(after, what), "{rename:?} on {names:?}");
                }
            }
        });
    }
}
