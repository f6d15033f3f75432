//! The records of restores: of the last one of each workload, and of those before it that kept their originals.
//!
//! A restore that kept its originals leaves its closed journal like any other, and with it all that is known of them. The
//! next restore sets that record aside when its own becomes the last, so that it is there until nothing is kept any more.

use crate::{
    engine::{Engine, catalog::read_record, kept::short},
    error::{Code, Error, Result},
    model::{RestoreId, Workload, WorkloadId},
    restore::{Entry, Record, State},
};

impl Engine {
    /// Makes the journal of a restore that replaced the data the record of the last one. Each part may be done twice.
    pub(in crate::engine) async fn retire(&self, state: &State) -> Result<()> {
        self.make_room(state).await?;
        Ok(self.ports.journals.retire_journal(state.plan.workload.id).await?)
    }

    /// Keeps the record of a restore whose journal gives way to that of other work, because its app did not come back.
    pub(in crate::engine) async fn keep_record(&self, state: &State) -> Result<()> {
        let mut over = state.clone();
        // Over it is for its record: what it owes to the app goes on with the other work.
        over.append(Record { at: self.ports.clock.now(), entry: Entry::Closed })?;
        self.make_room(state).await?;
        Ok(self.ports.journals.record_restore(state.plan.workload.id, &over.journal().encode()?).await?)
    }

    /// Before a restore's record becomes the last: what it put back is kept no more, and what the restore before it kept
    /// is still remembered.
    async fn make_room(&self, state: &State) -> Result<()> {
        let (id, plan) = (state.plan.workload.id, &state.plan);
        if let Some(kept) = plan.kept {
            self.ports.journals.forget_record_aside(id, kept).await?;
        }
        let Some(record) = plan.record else { return Ok(()) };
        // A crash may have come after it was set aside.
        match self.record_of(id, None).await? {
            Some(last) if last.plan.restore == record => Ok(self.ports.journals.set_record_aside(id, record).await?),
            Some(_) | None => Ok(()),
        }
    }

    /// A record, if it is there and can be read.
    pub(super) async fn record_of(&self, id: WorkloadId, aside: Option<RestoreId>) -> Result<Option<State>> {
        let bytes = match aside {
            None => self.ports.journals.retired_journal(id).await?,
            Some(restore) => self.ports.journals.record_aside(id, restore).await?,
        };
        let read = bytes.map(|bytes| read_record(&bytes)).transpose();
        Ok(read.unwrap_or_else(|error| {
            tracing::warn!(workload = %id, %error, "the record of a restore cannot be read");
            None
        }))
    }

    /// What is known of a restore that kept its originals, wherever it stands: among the records, or in a journal that only
    /// waits for the app.
    pub(super) async fn kept_state(&self, id: WorkloadId, restore: RestoreId) -> Result<State> {
        let mut found = self.record_of(id, Some(restore)).await?;
        if found.is_none() {
            found = self.record_of(id, None).await?.filter(|last| last.plan.restore == restore);
        }
        if found.is_none() {
            let open = self.open_restores().await?.unwrap_or_default();
            found = open.into_iter().find(|state| state.plan.restore == restore && state.waits_for_the_app());
        }
        found.filter(State::keeps_originals).ok_or_else(|| {
            Error::new(Code::NotFound, format!("nothing is kept any more under {}", short(restore)))
                .hint("`volsnap kept list` shows what is")
        })
    }

    /// A workload that is forgotten takes along all that is known of what is kept for it.
    pub(in crate::engine) async fn refuse_kept(&self, workload: &Workload) -> Result<()> {
        let mut sets = self.kept_sets(Some(workload.id)).await?;
        sets.retain(|set| set.record.is_some());
        let Some(first) = sets.first() else { return Ok(()) };
        let (name, id) = (&workload.name, &first.id);
        Err(Error::new(Code::Refused, format!("originals of {name} are kept, which restores had not archived")).hint(
            format!(
                "`volsnap kept list {name}` shows them; `volsnap kept discard {id}` deletes them, `volsnap kept archive {id}` \
                 makes a snapshot of them"
            ),
        ))
    }

    /// Removes the records that were set aside for a workload, when nothing is kept for it any more.
    pub(in crate::engine) async fn forget_records_aside(&self, id: WorkloadId) -> Result<()> {
        for (workload, aside) in self.ports.journals.records().await? {
            if let (true, Some(restore)) = (workload == id, aside) {
                self.ports.journals.forget_record_aside(id, restore).await?;
            }
        }
        Ok(())
    }
}
