//! The one function that decides: from what the journal says and what is seen, the next thing to do.
//!
//! A restore and a recovery are the same loop around [`next`], entered at a different iteration. Why no crash can hurt:
//!
//! * Nothing is remembered that can be seen. Every step is asked for because the facts lack its effect, so a step that
//!   was cut off, undone by a power cut or done twice is asked for again, or not any more.
//! * What is seen is durable: the survey makes names durable before it reports them.
//! * Until `Committed` is durable no live directory is renamed, so going back is only sweeping. From `Committed` until
//!   `Switched` or `Reverted` every rename is derived from the identities that the journal holds, in the one direction
//!   that it names, for all volumes alike. The app starts only after that, when the directories stay where they are.
//! * No original is deleted before `Captured`, and then only under a name that carries the restore's id.
//!
//! ```text
//! undecided   stage every volume → prepare the replacements → Pinned → fence → stop → Committed
//! forward     fence, stop again if something was revived → rename → Switched → redeploy → Redeployed
//!             → capture → Captured → discard → Closed, or AppDown until the app is back
//! reopened    if the originals are to be archived after all: capture → Captured; → discard → Closed
//! back        (if committed: fence, stop → rename → Reverted) → redeploy → Redeployed → discard → Closed
//! ```

use super::{
    anomaly::Anomaly,
    facts::{Facts, Holds, Names},
    journal::{Entry, Safety},
    state::{Direction, State},
    step::{Move, Step},
    switch::{self, Rename, Stuck},
};
use crate::{
    error::Code,
    model::{Container, Identity, Pinned, RestartPolicy, RunState, Sight, place},
};

/// The next thing to do.
#[must_use]
pub fn next(state: &State, facts: &Facts) -> Move {
    if state.closed {
        return Move::Finished;
    }
    let strange = first_anomaly(state, facts);
    match (state.direction(), strange) {
        // Its filesystem may not be mounted yet after a boot. Going back would have to wait for that as well, so there is
        // nothing to win by giving up what was staged.
        (Direction::Undecided, Some(anomaly)) if state.resumes() => Move::NeedsAttention(anomaly),
        // Nothing has been touched yet, so there is a way back that needs no decision by a person.
        (Direction::Undecided, Some(anomaly)) => Move::Record(abort(Code::Aborted, anomaly.to_string())),
        (Direction::Forward | Direction::Back, Some(anomaly)) => Move::NeedsAttention(anomaly),
        (Direction::Undecided, None) => undecided(state, facts),
        (Direction::Forward, None) => forward(state, facts),
        (Direction::Back, None) => back(state, facts),
    }
}

/// The entry that turns a restore round as a whole.
#[must_use]
pub fn abort(code: Code, reason: impl Into<String>) -> Entry {
    Entry::Aborted { code, reason: reason.into() }
}

/// Up to the decision. The app runs until everything that takes time is done.
fn undecided(state: &State, facts: &Facts) -> Move {
    for volume in 0..state.plan.volumes.len() {
        let planned = &state.plan.volumes[volume];
        let names = facts.names(state, volume);
        let as_planned = match planned.original {
            Some(_) => names.live == Holds::Original,
            None => matches!(names.live, Holds::Absent | Holds::EmptyForeign),
        };
        if !as_planned {
            let reason = format!("{} was replaced while its data were being staged", planned.live.display());
            return Move::Record(abort(Code::Aborted, reason));
        }
        if names.staged == Holds::Absent {
            return Move::Perform(Step::Stage { volume });
        }
        if planned.kept.is_some() && names.staged != Holds::Restored {
            let reason = format!("what was kept of {} is another directory by now", planned.live.display());
            return Move::Record(abort(Code::Aborted, reason));
        }
    }
    if let Some(container) = facts.intruders().first() {
        let reason =
            format!("container {} was started on one of the volumes and is not part of the workload", container.name);
        // A refusal says that nothing was touched. After the pins the app was.
        let code = if state.pinned.is_none() { Code::Refused } else { Code::Aborted };
        return Move::Record(abort(code, reason));
    }
    if let Some(container) = facts.one_offs().next()
        && !state.plan.options.stop_one_offs
    {
        let name = &container.name;
        let reason = format!("container {name} runs one command on the volumes, and would not be started again");
        let code = if state.pinned.is_none() { Code::Refused } else { Code::Aborted };
        return Move::Record(abort(code, reason));
    }
    // Before the decision there is a way back that leaves it alone; after it, it would have to be stopped for good.
    if let Some(container) = facts.strangers(state).first() {
        let reason = format!("container {} appeared while the app was being stopped", container.name);
        return Move::Record(abort(Code::Aborted, reason));
    }
    // When the plan was made it ran, and would have been made anew as well. Since then it was stopped, such as by a boot.
    if let Some(container) = facts.left_behind(state).filter(|_| state.pinned.is_none()) {
        let name = &container.name;
        let reason =
            format!("container {name} was stopped, and could not be started any more when what it uses is made anew");
        return Move::Record(abort(Code::Aborted, reason));
    }
    if state.pinned.is_none() {
        let unprepared = facts.unprepared(state);
        if !unprepared.is_empty() {
            return Move::Perform(Step::Prepare { containers: unprepared });
        }
        return Move::Record(Entry::Pinned { containers: pins(state, facts) });
    }
    // The fence comes before the stop: from here on the engine cannot revive what is stopped, not even over a reboot.
    if let Some(quiesce) = quiesce(facts) {
        return quiesce;
    }
    match facts.unlike_kept().next() {
        Some(volume) => Move::Perform(Step::KeepAttributes { volume }),
        None => Move::Record(Entry::Committed { restored: staged(facts) }),
    }
}

/// From the decision to the restored data. A crash anywhere here comes back to here.
fn forward(state: &State, facts: &Facts) -> Move {
    if !state.switched {
        return settle(facts, renames(Direction::Forward, state, facts), Entry::Switched);
    }
    if state.redeployed.is_none() || state.again {
        return bring_back(state);
    }
    if state.captured.is_none() {
        return match (safety_wanted(state), facts.safety_archive) {
            (false, _) => Move::Record(Entry::Captured { safety: without_archive(state) }),
            (true, true) => Move::Record(Entry::Captured { safety: Safety::Taken }),
            (true, false) => Move::Perform(Step::Capture),
        };
    }
    close(state, facts)
}

fn safety_wanted(state: &State) -> bool {
    state.plan.options.safety_snapshot && has_originals(state)
}

fn has_originals(state: &State) -> bool {
    state.plan.volumes.iter().any(|v| v.original.is_some())
}

/// Whoever goes without a safety snapshot counts on the restored data. Until the app is up on them nobody knows what
/// they are worth, and the originals are all that there is besides.
fn without_archive(state: &State) -> Safety {
    match &state.redeployed {
        // What comes back was in no snapshot, and so there is none to return to from it but what it replaces.
        Some(_) if state.plan.kept.is_some() && has_originals(state) => {
            Safety::Kept { reason: "no safety snapshot was wanted".into() }
        }
        Some(Some(_)) if has_originals(state) => Safety::Kept { reason: "the app did not come back".into() },
        Some(Some(_) | None) | None => Safety::NotWanted,
    }
}

/// From the decision to go back to the original data.
fn back(state: &State, facts: &Facts) -> Move {
    if !state.is_settled() {
        return settle(facts, renames(Direction::Back, state, facts), Entry::Reverted);
    }
    // Bringing the app back comes before sweeping: a large tree to delete must not keep it down.
    if state.redeploys() {
        return bring_back(state);
    }
    close(state, facts)
}

/// No rename under a running app: a revived one is stopped again, before every rename.
fn settle(facts: &Facts, renames: Result<Vec<(usize, Rename)>, Anomaly>, done: Entry) -> Move {
    match renames {
        Err(anomaly) => Move::NeedsAttention(anomaly),
        Ok(renames) => quiesce(facts).unwrap_or(match renames.is_empty() {
            true => Move::Record(done),
            false => Move::Perform(Step::Switch { renames }),
        }),
    }
}

fn quiesce(facts: &Facts) -> Option<Move> {
    let unfenced = facts.unfenced();
    if !unfenced.is_empty() {
        return Some(Move::Perform(Step::Fence { containers: unfenced }));
    }
    let mut active = facts.active();
    active.reverse(); // those that depend on others stop first
    (!active.is_empty()).then_some(Move::Perform(Step::Stop { containers: active }))
}

fn bring_back(state: &State) -> Move {
    match state.owed() {
        [] => Move::Record(Entry::Redeployed { problem: None }),
        [..] => Move::Perform(Step::Redeploy),
    }
}

fn close(state: &State, facts: &Facts) -> Move {
    for (volume, places) in facts.volumes.iter().enumerate() {
        let names = facts.names(state, volume);
        if let Some(aside) = kept_aside(state, names, volume) {
            return aside;
        }
        // A filesystem that numbers its directories anew shows an original as somebody else's. From the switch on, what
        // is not known to be restored data is taken for the original.
        let is_forward = state.direction() == Direction::Forward && state.plan.volumes[volume].original.is_some();
        let may_be_original =
            |holds| holds == Holds::Original || is_forward && !matches!(holds, Holds::Absent | Holds::Restored);
        let holds_original = may_be_original(names.staged)
            || may_be_original(names.aside)
            || places.entries.is_some_and(|entries| entries.hold_original());
        match (places.private, holds_original, state.may_forget_originals()) {
            (Sight::Absent, _, _) => {}
            // Kept for want of a safety archive: the report names the place.
            (_, true, false) if state.captured.is_some() => {}
            (_, true, false) => {
                return Move::NeedsAttention(aside(state, volume));
            }
            (_, true, true) | (_, false, _) => return Move::Perform(Step::Discard { volume }),
        }
    }
    for (volume, places) in facts.volumes.iter().enumerate().filter(|_| state.direction() == Direction::Forward) {
        let emptied = places.kept.is_some_and(|kept| kept.private != Sight::Absent && kept.tree == Sight::Absent);
        if emptied && state.captured.is_some() {
            return Move::Perform(Step::DiscardKept { volume });
        }
    }
    // One that was started under a name of ours would be a second writer beside the app, and is not removed while it
    // runs.
    let running = facts.active_leftovers(state);
    if !running.is_empty() {
        return Move::Perform(Step::Stop { containers: running });
    }
    if facts.has_leftovers(state) {
        return Move::Perform(Step::DiscardContainers);
    }
    // One that is sick, or that somebody has started meanwhile, is not down.
    match state.problem() {
        Some(_) if state.reopened.is_none() && !facts.not_back(state).is_empty() => Move::AppDown,
        Some(_) | None => Move::Record(Entry::Closed),
    }
}

/// On the way back, what an earlier restore had kept goes back to where that kept it, before the private directory in which
/// it stands is removed.
fn kept_aside(state: &State, names: Names, volume: usize) -> Option<Move> {
    if state.direction() != Direction::Back || state.plan.volumes[volume].kept.is_none() {
        return None;
    }
    match names.staged {
        Holds::Absent => None,
        Holds::Restored => Some(Move::Perform(Step::GiveBack { volume })),
        Holds::Original | Holds::EmptyForeign | Holds::Foreign => Some(Move::NeedsAttention(aside(state, volume))),
    }
}

fn renames(direction: Direction, state: &State, facts: &Facts) -> Result<Vec<(usize, Rename)>, Anomaly> {
    let mut renames = Vec::new();
    for volume in 0..state.plan.volumes.len() {
        match switch::towards(direction, state, facts, volume) {
            Ok(Some(rename)) => renames.push((volume, rename)),
            Ok(None) => {}
            Err(reason) => return Err(stuck(state, volume, reason)),
        }
    }
    Ok(renames)
}

fn stuck(state: &State, volume: usize, reason: Stuck) -> Anomaly {
    let path = state.plan.volumes[volume].live.clone();
    let private = state.plan.private(volume);
    let commands = Vec::new();
    match reason {
        Stuck::ForeignLive => Anomaly::ForeignLive { path, commands },
        Stuck::ForeignStaged => Anomaly::ForeignLive { path: place::staged_in(&private), commands },
        Stuck::OriginalMissing => Anomaly::OriginalMissing { path, private, commands },
        Stuck::RestoredMissing => Anomaly::RestoredMissing { path, private, commands },
    }
}

fn aside(state: &State, volume: usize) -> Anomaly {
    Anomaly::OriginalAside { private: state.plan.private(volume), commands: Vec::new() }
}

/// A filesystem that is not mounted looks like one on which everything is missing. The parent tells.
fn first_anomaly(state: &State, facts: &Facts) -> Option<Anomaly> {
    let mut volumes = facts.volumes.iter().zip(&state.plan.volumes);
    let changed =
        volumes.position(|(places, planned)| !places.parent.identity().is_some_and(|it| it.is(planned.parent)));
    let path = |volume| state.plan.holder(volume).to_path_buf();
    changed.map(|volume| Anomaly::ParentChanged { path: path(volume), commands: Vec::new() })
}

/// What ran: members, and others that the engine could start on the volumes in the middle.
fn pins(state: &State, facts: &Facts) -> Vec<Pinned> {
    let relevant = facts.containers.iter().filter(|s| !facts.is_ours(state, s));
    let mut pins: Vec<Pinned> =
        relevant.map(|s| Pinned { container: pinned(&state.plan.as_found(&s.container)), member: s.member }).collect();
    // What is gone since is made anew.
    let is_gone = |down: &&Pinned| facts.containers.iter().all(|s| s.container.name != down.container.name);
    pins.extend(state.plan.down.iter().filter(is_gone).cloned());
    pins
}

/// As it was, but for one that runs one command: what it is stopped for is what it is from then on.
fn pinned(container: &Container) -> Container {
    match container.particulars.is_one_off && container.run.is_active() {
        true => Container { run: RunState::Stopped, restart_policy: RestartPolicy::never(), ..container.clone() },
        false => container.clone(),
    }
}

fn staged(facts: &Facts) -> Vec<Identity> {
    facts.volumes.iter().filter_map(|places| places.staged.identity()).collect()
}
