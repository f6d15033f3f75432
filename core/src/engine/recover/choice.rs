//! Ends a restore in the direction that a person chose, where the names alone tell the directories apart.

use super::*;

/// Which directories a person wants to be live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Those that were there before the restore.
    Original,
    /// Those that were staged.
    Restored,
}

impl Engine {
    /// Brings an open restore to its end where its directories are not recognised any more, since their filesystem gives
    /// them other identities when they are renamed: from here on the names in the private directories tell which is
    /// which. A person asks for it, having looked, and says which of the two is to be live.
    ///
    /// Refused unless the names of each volume tell of both directories. What is decided is written down before anything
    /// is renamed, so that a crash leaves a restore that [`Engine::recover`] brings to the end that was chosen.
    pub async fn recover_named(&self, id: WorkloadId, take: Take, watch: &Watch) -> Result<RecoveredItem> {
        let name = id.to_string();
        let engine = &self.lock(id, &name, watch).await?.deploys_of(id).await?;
        let Some(bytes) = engine.ports.journals.read_journal(id).await? else {
            return Err(Error::new(Code::NotFound, format!("no operation on workload {name} is open"))
                .hint("`volsnap status` shows what is"));
        };
        let journal = Journal::decode(&bytes).map_err(|e| engine.name_journal(id, e.into()))?;
        let Body::Restore(records) = journal.body else {
            return Err(Error::new(Code::Refused, "what is open is a snapshot, which replaces nothing")
                .hint("run `volsnap recover` without --take"));
        };
        let mut state = State::replay(&records).map_err(|e| engine.name_journal(id, e.into()))?;
        if let Some(anomaly) = engine.other_host(&state.plan.host) {
            return Err(
                Error::new(Code::NeedsAttention, anomaly.to_string()).hint(anomaly.remedy(&state.plan.workload.name))
            );
        }
        let (engine, _) = &engine.claim(&state.plan.workload.name, &state.plan.live_paths()).await?;
        let entries = engine.choice(&state, take).await?;
        for entry in entries {
            state.append(Record { at: engine.ports.clock.now(), entry })?;
        }
        // In one step: which directory is which, and which of them is to be live.
        engine.ports.journals.write_journal(id, &state.journal().encode()?).await?;
        watch.progress(&Progress::begin(Phase::Recover));
        let up_all_along = Some(false);
        let notes = Notes { recovered: true, up_all_along, ..Notes::default() };
        Ok(RecoveredItem::Restore(Box::new(engine.drive(&mut state, watch, notes).await?)))
    }

    /// What has to be written down for a person's choice, if it can be followed.
    pub(super) async fn choice(&self, state: &State, take: Take) -> Result<Vec<Entry>> {
        let name = &state.plan.workload.name;
        let refuse = |message: String| {
            Err(Error::new(Code::Refused, message).hint(format!("`volsnap recover {name}` goes on without a choice")))
        };
        let volumes = self.places(state).await?;
        let facts = Facts { volumes, ..Facts::default() };
        let parents = parents_taken(state, &facts)?;
        let is_on_its_way = state.committed.is_some() && !state.is_settled();
        if !is_on_its_way && parents.is_none() {
            return refuse(format!("the restore of {name} has nothing to choose: no directory of it is on its way"));
        }
        if state.direction() == Direction::Back && take == Take::Restored {
            return refuse(format!("the restore of {name} is on its way back to the original data, and stays so"));
        }
        if !is_on_its_way {
            return match (take, state.direction()) {
                (Take::Original, Direction::Forward) => Err(Error::new(
                    Code::Refused,
                    format!("the restore of {name} has put the restored data in their places already"),
                )
                .hint(format!(
                    "`volsnap recover {name} --take restored` ends it; `volsnap undo {name}` goes back from there"
                ))),
                (Take::Original, Direction::Undecided) => {
                    let given_up = abort(Code::Aborted, "the original data were chosen");
                    Ok(parents.into_iter().chain([given_up]).collect())
                }
                (Take::Original, Direction::Back) | (Take::Restored, _) => Ok(parents.into_iter().collect()),
            };
        }
        let holds = |names: Names, what| [names.live, names.staged, names.aside].contains(&what);
        let mut originals_known = !state.named;
        let mut strange = None;
        for (volume, planned) in state.plan.volumes.iter().enumerate() {
            let names = facts.names(state, volume);
            let has_original = |names| holds(names, Holds::Original) || planned.original.is_none();
            let is_known = |names| has_original(names) && holds(names, Holds::Restored);
            let told = match planned.method {
                Method::TwoRenames => facts.volumes[volume].named(names),
                Method::Exchange | Method::New | Method::ByEntry => None,
            };
            originals_known &= has_original(names) && planned.method != Method::ByEntry;
            if !is_known(names) && !told.is_some_and(is_known) {
                strange = strange.or(Some(volume));
            }
        }
        // The way back asks for nothing but the originals: what was restored may be gone for good.
        let goes_by_names = take == Take::Restored || !originals_known;
        if let Some(volume) = strange.filter(|_| goes_by_names) {
            let (live, private) = (state.plan.volumes[volume].live.display(), state.plan.private(volume));
            return Err(Error::new(
                Code::NeedsAttention,
                format!("the names at {live} and in {} do not tell which directory is which", private.display()),
            )
            .hint("the original belongs at the live name or at `aside` in the private directory, the restored data at `staged`; move them there, then run this again"));
        }
        let named = (!state.named && goes_by_names).then_some(Entry::Named);
        let turn = match (take, state.direction()) {
            (Take::Original, Direction::Forward) => Some(abort(Code::Aborted, "the original data were chosen")),
            (Take::Original, Direction::Undecided | Direction::Back) | (Take::Restored, _) => None,
        };
        Ok(parents.into_iter().chain(named).chain(turn).collect())
    }
}

/// The directories above the live ones, if they are others than those in which the restore began and it is seen that they
/// are the right ones: the directory above has the number that it had, or holds the original. Without that its filesystem
/// may not be mounted.
fn parents_taken(state: &State, facts: &Facts) -> Result<Option<Entry>> {
    let mut parents = Vec::new();
    for (volume, planned) in state.plan.volumes.iter().enumerate() {
        let now = facts.volumes[volume].parent.identity();
        let names = facts.names(state, volume);
        let has_original = || [names.live, names.staged, names.aside].contains(&Holds::Original);
        match now {
            Some(now) if now.inode == planned.parent.inode || has_original() => parents.push(now),
            Some(_) | None => {
                let anomaly =
                    Anomaly::ParentChanged { path: state.plan.holder(volume).to_path_buf(), commands: Vec::new() };
                return Err(Error::new(Code::NeedsAttention, anomaly.to_string())
                    .hint("mount the filesystem: nothing there shows that it is the one that the restore began on"));
            }
        }
    }
    let is_same = state.plan.volumes.iter().zip(&parents).all(|(planned, now)| now.is(planned.parent));
    Ok((!is_same).then_some(Entry::ParentsTaken { parents }))
}
