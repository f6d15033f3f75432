//! Kept originals are put back into service: a restore like any other, whose data stand already and are moved.

use super::{
    KeptSet,
    end::{gone, not_ended},
};
use crate::{
    engine::{Engine, RestoreRequest, act, recover::quiet},
    error::Result,
    model::{ArchiveSummary, ImageChoice, RestoreId, Snapshot, VolumeTotals},
    restore::{
        Body, Facts, Options, Plan, Refusal, State,
        facts::Holds,
        plan::{KeptName, KeptTree, Method},
    },
};

impl Engine {
    /// The request that [`Engine::restore`] and [`Engine::plan`] take to put back what a restore kept, all volumes of it.
    ///
    /// What is live until then is archived as in every restore; without a safety snapshot it is kept in its turn.
    pub async fn kept_request(&self, set: &KeptSet, options: Options) -> Result<RestoreRequest> {
        if set.record.is_none() {
            let tree = set.dirs.iter().find_map(|dir| dir.tree.as_ref());
            let hint = set.remedy();
            let what = tree.map_or_else(|| set.id.clone(), |tree| tree.display().to_string());
            return Err(Refusal::new(format!("which volume {what} is the original of is not known"), hint).into());
        }
        self.refuse_in_the_middle(set).await?;
        let state = self.kept_state(set.workload_id, set.restore_id).await?;
        let workload = self.workload(&set.workload_id.to_string()).await?;
        let manifest = act::safety_manifest(self, &state);
        let totals = vec![VolumeTotals::default(); manifest.volumes.len()];
        let summary = ArchiveSummary { manifest, totals, quiesced_ms: 0, archive_bytes: 0, digest: String::new() };
        // If that restore brought another image along, the one of before belongs to the originals.
        let image = match options.image {
            ImageChoice::Current => state.plan.options.image,
            ImageChoice::Snapshot => ImageChoice::Snapshot,
        };
        let options = Options { resume: false, image, ..options };
        let request = RestoreRequest::of(workload, Snapshot::from(summary));
        Ok(RestoreRequest { options, kept: Some(set.restore_id), ..request })
    }

    /// A restore that has not ended comes first, unless it only waits for its app: then this may be the remedy.
    async fn refuse_in_the_middle(&self, set: &KeptSet) -> Result<()> {
        // Whoever holds it is at work, and what has not ended is its own.
        let engine = &self.lock(set.workload_id, &set.workload, &quiet()).await?;
        match engine.journal_body(set.workload_id).await? {
            Some(Body::Restore(records)) if !State::replay(&records)?.waits_for_the_app() => Err(not_ended(set)),
            Some(Body::Restore(_) | Body::Snapshot(_)) | None => Ok(()),
        }
    }

    /// Says in a plan where the data of each volume stand, or why they cannot be put back.
    pub(in crate::engine) async fn plan_kept(&self, restore: RestoreId, plan: &mut Plan) -> Result<()> {
        let state = self.kept_state(plan.workload.id, restore).await?;
        let facts = Facts { volumes: self.places(&state).await?, ..Facts::default() };
        plan.kept = Some(restore);
        for planned in &mut plan.volumes {
            let of = state.plan.volumes.iter().position(|before| before.target == planned.archived());
            let Some(volume) = of.filter(|volume| state.plan.volumes[*volume].original.is_some()) else { continue };
            let before = &state.plan.volumes[volume];
            if before.live != planned.live || (before.method == Method::ByEntry) != (planned.method == Method::ByEntry)
            {
                let id = super::short(restore);
                plan.refusals.push(Refusal::new(
                    format!(
                        "volume {} is not where it was when its original was set aside ({})",
                        planned.target,
                        before.live.display()
                    ),
                    format!(
                        "`volsnap kept archive {id}` makes a snapshot of the originals, which can be restored anywhere"
                    ),
                ));
                continue;
            }
            let (names, places) = (facts.names(&state, volume), &facts.volumes[volume]);
            let found = match (names.staged, names.aside) {
                (Holds::Original, _) => places.staged.identity().map(|identity| (KeptName::Staged, identity)),
                (_, Holds::Original) => places.aside.identity().map(|identity| (KeptName::Aside, identity)),
                (_, _) => None,
            };
            let Some((name, identity)) = found else { return Err(gone(&state, volume)) };
            let size = self.ports.filesystem.measure(&name.within(&state.plan.private(volume))).await?;
            planned.kept = Some(KeptTree { index: volume, name, identity });
            (planned.bytes, planned.entries) = (size.bytes, size.entries);
        }
        Ok(())
    }
}
