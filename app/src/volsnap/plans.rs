//! Plans: what a restore or an undo would do, how long it would keep the app down, and plans that are kept in a file
//! until somebody agrees to them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use volsnap_core::{
    Code, Error, Result,
    engine::RestoreRequest,
    model::Workload,
    restore::{Forecast, Options, Plan},
};

use super::{Volsnap, undoing};

/// The version of [`SavedPlan`] that is written. An older one is still read.
pub const PLAN_FORMAT: u32 = 1;

/// A plan with all that is needed to apply it later: what `plan --json` prints beside the view, and `restore --plan`
/// reads. It is applied only if the world is still as the plan says ([`RestoreRequest::shown`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SavedPlan {
    /// [`PLAN_FORMAT`] of the version that wrote it.
    pub plan_format: u32,
    /// The state directory that holds the workload and the snapshot.
    pub state_dir: PathBuf,
    /// The volumes that were asked for by name; empty for all.
    pub volumes_chosen: Vec<String>,
    /// The plan, in a form that is volsnap's own.
    #[cfg_attr(test, schemars(with = "serde_json::Map<String, serde_json::Value>"))]
    pub plan: Plan,
    /// BLAKE3 of all of the above: a file that was altered or cut off is no plan.
    pub fingerprint: String,
}

impl SavedPlan {
    fn new(state_dir: PathBuf, volumes_chosen: Vec<String>, plan: Plan) -> Result<Self> {
        let mut saved =
            SavedPlan { plan_format: PLAN_FORMAT, state_dir, volumes_chosen, plan, fingerprint: String::new() };
        saved.fingerprint = saved.print()?;
        Ok(saved)
    }

    /// Reads the document of `plan --json`.
    ///
    /// # Errors
    /// [`Code::Refused`] if it is none, was altered, or was written by a newer version.
    pub fn read(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            plan_format: u32,
        }
        let no_plan = |why: String| {
            Error::new(Code::Refused, format!("it is not a plan: {why}"))
                .hint("`volsnap plan WORKLOAD SNAPSHOT --json > FILE` writes one")
        };
        let Version { plan_format } = serde_json::from_str(json).map_err(|error| no_plan(error.to_string()))?;
        let newer = |why: String| {
            Error::new(Code::Refused, why)
                .hint("apply it with the volsnap that wrote it, or make it again with this one")
        };
        if plan_format > PLAN_FORMAT {
            let known = format!("this volsnap knows versions up to {PLAN_FORMAT}");
            return Err(newer(format!("the plan has version {plan_format}, and {known}")));
        }
        // What is there and not known was written by another version: a plan is never followed without a part of it.
        let saved: SavedPlan = serde_json::from_str(json)
            .map_err(|error| newer(format!("the plan is not one that this volsnap writes: {error}")))?;
        match saved.print()? == saved.fingerprint {
            true => Ok(saved),
            false => Err(no_plan(
                "it was altered since it was written, or a newer volsnap wrote it: its fingerprint is another".into(),
            )),
        }
    }

    /// Over the values and not over the text, which may be laid out anew.
    fn print(&self) -> Result<String> {
        let text = serde_json::to_vec(&(self.plan_format, &self.state_dir, &self.volumes_chosen, &self.plan));
        let text = text.map_err(|error| {
            Error::new(Code::Refused, format!("the plan cannot be written down: {error}"))
                .hint("name the state directory by a path that is UTF-8")
        })?;
        Ok(blake3::hash(&text).to_hex().to_string())
    }
}

impl Volsnap {
    /// What a restore would do. It can be handed back as [`RestoreRequest::shown`], and the restore is refused if the
    /// world has changed since.
    pub async fn plan(&self, request: &RestoreRequest) -> Result<Plan> {
        self.engine().plan(request).await
    }

    /// What can be said beforehand about the downtime of a plan.
    pub async fn forecast(&self, plan: &Plan) -> Result<Forecast> {
        self.engine().forecast(plan).await
    }

    /// The request that [`Volsnap::undo`] would make now, to be planned and shown before it is made.
    pub async fn undo_request(&self, workload: &Workload, options: Options) -> Result<RestoreRequest> {
        undoing(self.engine(), workload, options).await
    }

    /// A plan of that request in the form in which it can be kept.
    pub fn save_plan(&self, request: &RestoreRequest, plan: Plan) -> Result<SavedPlan> {
        SavedPlan::new(self.own_state_dir(), request.targets.clone(), plan)
    }

    /// The request that a kept plan stands for. Restoring it applies exactly that plan or is refused.
    ///
    /// # Errors
    /// [`Code::Refused`] if the plan is of another state directory, has refusals itself, or if its workload or snapshot
    /// is gone.
    pub async fn planned(&self, saved: &SavedPlan) -> Result<RestoreRequest> {
        let SavedPlan { plan, state_dir, volumes_chosen, .. } = saved;
        let own = self.own_state_dir();
        if *state_dir != own {
            return Err(Error::new(
                Code::Refused,
                format!(
                    "the plan is of the state directory {}, and this one is {}",
                    state_dir.display(),
                    own.display()
                ),
            )
            .hint(format!("give --state-dir {}", state_dir.display())));
        }
        plan.check()?;
        let changed = |what: String| {
            Error::new(Code::Refused, format!("the world has changed since the plan was made: {what}"))
                .hint("nothing was touched; make a new plan: `volsnap list` shows the snapshots")
        };
        let name = &plan.workload.name;
        let workload = self.workloads().await?.into_iter().find(|w| w.id == plan.workload.id);
        let workload = workload.ok_or_else(|| changed(format!("workload {name} is not registered any more")))?;
        let snapshot = self.snapshots(None).await?.into_iter().find(|s| s.id() == plan.snapshot);
        let snapshot = snapshot.ok_or_else(|| changed(format!("snapshot {} was deleted", plan.snapshot)))?;
        Ok(RestoreRequest {
            targets: volumes_chosen.clone(),
            options: plan.options,
            shown: Some(plan.clone()),
            ..RestoreRequest::of(workload, snapshot)
        })
    }

    /// By its real name: a link to it is the same directory.
    fn own_state_dir(&self) -> PathBuf {
        let named = self.engine().ports().filesystem.state_dir();
        named.canonicalize().unwrap_or(named)
    }
}
