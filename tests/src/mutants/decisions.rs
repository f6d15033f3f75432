//! Decisions and judgements that break one rule each.

#![allow(clippy::wildcard_enum_match_arm, reason = "what a mutant does not break it passes on, whatever it is")]

use volsnap_core::{
    model::{RestartPolicy, RunState, Sight},
    ports::FsErrorKind,
    restore::{
        Entry, Facts, Move, State, Step,
        by_entry::Shift,
        facts::Holds,
        journal::Safety,
        judge::{Failure, Verdict, judge, judge_survey},
        next,
        state::Direction,
        switch::Rename,
    },
};

/// Renames first, then commits.
pub(super) fn commit_after_switch(state: &State, facts: &Facts) -> Move {
    let exchanged = (0..facts.volumes.len()).all(|v| facts.names(state, v).staged == Holds::Original);
    match next(state, facts) {
        _ if state.direction() == Direction::Undecided && state.pinned.is_some() && exchanged => {
            let restored = facts.volumes.iter().filter_map(|places| places.live.identity()).collect();
            Move::Record(Entry::Committed { restored })
        }
        Move::Record(Entry::Committed { .. }) => {
            let renames = (0..facts.volumes.len()).map(|v| (v, Rename::Exchange)).collect();
            Move::Perform(Step::Switch { renames })
        }
        other => other,
    }
}

/// Starts the app before it writes down that every volume is switched.
pub(super) fn redeploy_before_switched(state: &State, facts: &Facts) -> Move {
    match next(state, facts) {
        Move::Record(Entry::Switched) if state.pinned.as_ref().is_some_and(|pinned| !pinned.is_empty()) => {
            Move::Perform(Step::Redeploy)
        }
        other => other,
    }
}

/// Removes the originals before it writes down that they are kept elsewhere; in fact before they are.
pub(super) fn unlink_before_captured(state: &State, facts: &Facts) -> Move {
    let private = facts.volumes.iter().position(|places| places.private != Sight::Absent);
    match private {
        Some(volume)
            if state.direction() == Direction::Forward && state.redeployed.is_some() && state.captured.is_none() =>
        {
            Move::Perform(Step::Discard { volume })
        }
        _ => next(state, facts),
    }
}

/// Writes down that the originals are archived without having done it.
pub(super) fn capture_believed(state: &State, facts: &Facts) -> Move {
    match next(state, facts) {
        Move::Perform(Step::Capture) => Move::Record(Entry::Captured { safety: Safety::Taken }),
        other => other,
    }
}

/// Removes originals for which there is no archive.
pub(super) fn kept_discarded(state: &State, facts: &Facts) -> Move {
    let private = facts.volumes.iter().position(|places| places.private != Sight::Absent);
    match (private, &state.captured) {
        (Some(volume), Some(Safety::Kept { .. })) if !state.closed => Move::Perform(Step::Discard { volume }),
        _ => next(state, facts),
    }
}

/// Moves the restored entries in while the name of what left still says that whatever is live is the original's.
pub(super) fn filled_unsealed(state: &State, facts: &Facts) -> Move {
    shifted(next(state, facts), Shift::Seal, Shift::Fill)
}

/// Brings the original's entries home while the name of what left still says that whatever is live was restored.
pub(super) fn brought_home_sealed(state: &State, facts: &Facts) -> Move {
    shifted(next(state, facts), Shift::Unseal, Shift::BringHome)
}

fn shifted(asked: Move, from: Shift, to: Shift) -> Move {
    match asked {
        Move::Perform(Step::Switch { mut renames }) => {
            for (_, rename) in renames.iter_mut().filter(|(_, rename)| *rename == Rename::ByEntry(from)) {
                *rename = Rename::ByEntry(to);
            }
            Move::Perform(Step::Switch { renames })
        }
        other => other,
    }
}

/// Lets each volume stay as a crash left it.
pub(super) fn each_for_itself(state: &State, facts: &Facts) -> Move {
    let is = |what| (0..facts.volumes.len()).any(|v| facts.names(state, v).live == what);
    match next(state, facts) {
        Move::Perform(Step::Switch { .. }) if is(Holds::Restored) && is(Holds::Original) => {
            Move::Record(match state.direction() {
                Direction::Back => Entry::Reverted,
                Direction::Forward | Direction::Undecided => Entry::Switched,
            })
        }
        other => other,
    }
}

/// Sees no restart policy to be switched off.
pub(super) fn no_fence(state: &State, facts: &Facts) -> Move {
    let mut facts = facts.clone();
    if state.pinned.is_some() {
        facts.containers.iter_mut().for_each(|seen| seen.container.restart_policy = RestartPolicy::never());
    }
    next(state, &facts)
}

/// Switches restart policies off before it has written down what they were.
pub(super) fn fence_before_pinned(state: &State, facts: &Facts) -> Move {
    match next(state, facts) {
        Move::Record(Entry::Pinned { .. }) if !facts.unfenced().is_empty() => {
            Move::Perform(Step::Fence { containers: facts.unfenced() })
        }
        other => other,
    }
}

/// Sees nobody run once what ran is written down.
pub(super) fn not_stopped(state: &State, facts: &Facts) -> Move {
    next(state, &stopped_if(state.pinned.is_some(), facts))
}

/// Sees nobody run once the decision has fallen.
pub(super) fn not_looked_at_again(state: &State, facts: &Facts) -> Move {
    next(state, &stopped_if(state.committed.is_some() && !state.is_settled(), facts))
}

fn stopped_if(blind: bool, facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    if blind {
        facts.containers.iter_mut().for_each(|seen| seen.container.run = RunState::Stopped);
    }
    facts
}

/// Stops the app before it stages.
pub(super) fn stop_before_staging(state: &State, facts: &Facts) -> Move {
    match next(state, facts) {
        Move::Perform(Step::Stage { .. }) if !facts.active().is_empty() => {
            Move::Perform(Step::Stop { containers: facts.active() })
        }
        other => other,
    }
}

/// Overlooks other people's containers until the decision has fallen.
pub(super) fn others_overlooked(state: &State, facts: &Facts) -> Move {
    let mut facts = facts.clone();
    if state.direction() == Direction::Undecided {
        let pinned = |id| state.pinned.iter().flatten().any(|p| p.container.id == id);
        facts
            .containers
            .retain(|seen| seen.member || pinned(seen.container.id.clone()) || !seen.container.run.is_active());
    }
    next(state, &facts)
}

/// Takes whatever is live for the original until the decision has fallen.
pub(super) fn replacement_overlooked(state: &State, facts: &Facts) -> Move {
    let mut facts = facts.clone();
    if state.direction() == Direction::Undecided {
        for (places, planned) in facts.volumes.iter_mut().zip(&state.plan.volumes) {
            if let Some(identity) = planned.original {
                places.live = Sight::Directory { identity, empty: false };
            }
        }
    }
    next(state, &facts)
}

/// Takes every directory of somebody else for an empty one.
pub(super) fn foreign_cleared(state: &State, facts: &Facts) -> Move {
    let mut facts = facts.clone();
    for places in &mut facts.volumes {
        if let Sight::Directory { empty, .. } = &mut places.live {
            *empty = true;
        }
    }
    next(state, &facts)
}

/// Recognises the restored directory by there being one, once the original is aside.
pub(super) fn identity_by_existence(state: &State, facts: &Facts) -> Move {
    let exists = |sight| matches!(sight, Sight::Directory { .. });
    let done = facts.volumes.iter().all(|places| exists(places.live) && exists(places.aside));
    match state.direction() {
        Direction::Forward if !state.switched && done => Move::Record(Entry::Switched),
        Direction::Undecided | Direction::Forward | Direction::Back => next(state, facts),
    }
}

/// Does not look at the directory that a volume lies in.
pub(super) fn parent_ignored(state: &State, facts: &Facts) -> Move {
    let mut facts = facts.clone();
    for (places, planned) in facts.volumes.iter_mut().zip(&state.plan.volumes) {
        places.parent = Sight::Directory { identity: planned.parent, empty: false };
    }
    next(state, &facts)
}

/// Takes what needs a person for an end.
pub(super) fn attention_ignored(state: &State, facts: &Facts) -> Move {
    match next(state, facts) {
        Move::NeedsAttention(_) => Move::Finished,
        other => other,
    }
}

/// Goes forward after the decision was turned round.
pub(super) fn abort_ignored(state: &State, facts: &Facts) -> Move {
    if state.direction() != Direction::Back || state.committed.is_none() || state.reverted {
        return next(state, facts);
    }
    let forward = State { aborted: None, switched: false, ..state.clone() };
    match next(&forward, facts) {
        Move::Record(Entry::Switched) => Move::Record(Entry::Reverted),
        other => other,
    }
}

/// Believes that kept originals are archived as soon as that is asked for.
pub(super) fn kept_archive_believed(state: &State, facts: &Facts) -> Move {
    match next(state, facts) {
        Move::Perform(Step::Capture) if state.reopened.is_some() => {
            Move::Record(Entry::Captured { safety: Safety::Taken })
        }
        other => other,
    }
}

/// Removes what was to be put back instead of giving it back.
pub(super) fn kept_not_given_back(state: &State, facts: &Facts) -> Move {
    match next(state, facts) {
        Move::Perform(Step::GiveBack { volume }) => Move::Perform(Step::Discard { volume }),
        other => other,
    }
}

/// Sees no containers under names of the restore when it closes.
pub(super) fn leftovers_kept(state: &State, facts: &Facts) -> Move {
    match next(state, facts) {
        Move::Perform(Step::DiscardContainers) => Move::Record(Entry::Closed),
        other => other,
    }
}

/// Asks for a failed sync again.
pub(super) fn sync_retried(state: &State, step: &Step, failure: &Failure, attempt: u32) -> Verdict {
    if is_failed_sync(failure) && attempt < 4 { Verdict::Again } else { judge(state, step, failure, attempt) }
}

/// Asks for a survey whose sync failed again.
pub(super) fn survey_sync_retried(state: &State, failure: &Failure, attempt: u32) -> Verdict {
    if is_failed_sync(failure) && attempt < 4 { Verdict::Again } else { judge_survey(state, failure, attempt) }
}

fn is_failed_sync(failure: &Failure) -> bool {
    matches!(failure, Failure::Filesystem(error) if error.kind == FsErrorKind::SyncFailed)
}

/// Takes a rename that failed for done.
pub(super) fn switch_failure_ignored(state: &State, step: &Step, failure: &Failure, attempt: u32) -> Verdict {
    match (step, state.direction()) {
        (Step::Switch { .. }, Direction::Forward) => Verdict::Record(Entry::Switched),
        (Step::Switch { .. }, Direction::Back) => Verdict::Record(Entry::Reverted),
        _ => judge(state, step, failure, attempt),
    }
}

/// Does without an archive that could not be made.
pub(super) fn capture_failure_forgotten(state: &State, step: &Step, failure: &Failure, attempt: u32) -> Verdict {
    match step {
        Step::Capture => Verdict::Record(Entry::Captured { safety: Safety::NotWanted }),
        _ => judge(state, step, failure, attempt),
    }
}

/// Lets the restored data stand although the app is sick on them.
pub(super) fn unhealthy_accepted(state: &State, step: &Step, failure: &Failure, attempt: u32) -> Verdict {
    match failure {
        Failure::Unhealthy(problem) => Verdict::Record(Entry::Redeployed { problem: Some(problem.clone()) }),
        Failure::Filesystem(_) | Failure::Engine(_) | Failure::Cancelled => judge(state, step, failure, attempt),
    }
}

/// Goes on after the decision although a survey's sync failed.
pub(super) fn doubt_ignored(state: &State, failure: &Failure, attempt: u32) -> Verdict {
    match is_failed_sync(failure) && state.direction() != Direction::Undecided {
        true => Verdict::Again,
        false => judge_survey(state, failure, attempt),
    }
}
