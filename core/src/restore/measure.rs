//! Why the loop ends.

use super::{
    facts::{Facts, Holds, Survey},
    state::{Direction, State},
    switch::{self, Rename},
};
use crate::model::Sight;

/// What lowers with every move that succeeds: decisions still open first, then what the present one waits for.
///
/// The loop ends because no move raises an earlier part. Only the world can raise a later one (an engine that revives
/// a container), and the loop bounds how often it may.
#[must_use]
pub fn measure(state: &State, facts: &Facts) -> [usize; 4] {
    let survey = Survey::of(state);
    let volumes = 0..facts.volumes.len();
    let unstaged = volumes.clone().filter(|v| facts.names(state, *v).staged == Holds::Absent).count();
    let kept = volumes.clone().filter(|v| has_kept(state, facts, *v)).count();
    let renames_left: usize = volumes.map(|v| renames_left(state, facts, v)).sum();
    let privates = facts.volumes.iter().filter(|p| p.private != Sight::Absent).count();
    let containers = match survey.containers {
        true => facts.unfenced().len() + facts.active().len() + usize::from(facts.has_leftovers(state)),
        false => 0,
    };
    let waiting = match state.direction() {
        Direction::Undecided => [unstaged, facts.unprepared(state).len(), containers + facts.unlike_kept().count()],
        Direction::Forward | Direction::Back if state.is_settled() => [privates + kept, containers, 0],
        Direction::Forward | Direction::Back => [containers, renames_left, 0],
    };
    let open = 2 * 16_usize.saturating_sub(state.records.len()) + usize::from(state.again);
    [open, waiting[0], waiting[1], waiting[2]]
}

/// Whether something is still to be done about the place where an earlier restore kept a tree.
fn has_kept(state: &State, facts: &Facts, volume: usize) -> bool {
    match (facts.volumes[volume].kept, state.direction()) {
        (None, _) | (Some(_), Direction::Undecided) => false,
        (Some(kept), Direction::Forward) => kept.private != Sight::Absent,
        (Some(_), Direction::Back) => facts.names(state, volume).staged != Holds::Absent,
    }
}

fn renames_left(state: &State, facts: &Facts, volume: usize) -> usize {
    match switch::towards(state.direction(), state, facts, volume) {
        Err(_) | Ok(None) => 0,
        Ok(Some(Rename::Exchange | Rename::Install | Rename::PutBack)) => 1,
        Ok(Some(Rename::SetAside | Rename::TakeOut | Rename::ClearLive)) => 2,
        Ok(Some(Rename::ByEntry(shift))) => shift.left(),
    }
}
