//! One process on a simulated machine: an engine over its ports, run to its end or its death.

use std::sync::Arc;

use volsnap_core::{
    engine::{Engine, RecoveredItem, RestoreRequest},
    error::Error,
    ports::{Quiet, Watch},
    restore::Report,
};
use volsnap_sim::{CrashPoint, Machine, Run, World};

use crate::worlds::{Rules, Scene};

/// How a process came to its end.
#[derive(Clone, Debug)]
pub enum Ended {
    /// The operation returned a report.
    Reported(Box<Report>),
    /// There was nothing to recover.
    Nothing,
    /// The operation returned an error.
    Failed(Error),
    /// The process died, or its future was dropped.
    Gone,
}

/// What a process left.
#[derive(Debug)]
pub struct Left {
    /// The world after it.
    pub world: World,
    /// How it ended.
    pub ended: Ended,
    /// Every crash point on the way, if they were asked for.
    pub points: Vec<CrashPoint>,
}

/// The engine of a process on that machine, by the scene's rules.
#[must_use]
pub fn engine(machine: &Machine, scene: &Scene) -> Engine {
    let mut ports = machine.ports();
    if scene.spec.apps.is_empty() {
        ports.containers = None;
    }
    let Rules { decide, judge, judge_survey } = scene.rules;
    Engine::new(ports).with_decision(decide).with_judgement(judge, judge_survey)
}

/// Runs the restore of a scene in a world.
#[must_use]
pub fn restore(scene: &Scene, world: World) -> Left {
    let machine = Machine::start(world);
    let engine = engine(&machine, scene);
    let ended = ran(machine.run(restoring(&engine, scene)));
    left(&machine, ended)
}

/// The restore of a scene, by that engine.
pub async fn restoring(engine: &Engine, scene: &Scene) -> Ended {
    let request = RestoreRequest {
        workload: scene.workload.clone(),
        snapshot: scene.snapshot.clone(),
        targets: Vec::new(),
        options: scene.options,
        shown: None,
        kept: None,
    };
    let watch = quiet();
    match engine.restore(&request, &watch).await {
        Ok(report) => Ended::Reported(Box::new(report)),
        Err(error) => Ended::Failed(error),
    }
}

/// Runs the recovery that a new process begins with.
#[must_use]
pub fn recover(scene: &Scene, world: World) -> Left {
    let machine = Machine::start(world);
    let engine = engine(&machine, scene);
    let ended = ran(machine.run(recovering(&engine)));
    left(&machine, ended)
}

/// A recovery, by that engine.
pub async fn recovering(engine: &Engine) -> Ended {
    let watch = quiet();
    match engine.recover(None, &watch).await {
        Ok(mut recovered) => match recovered.pop().map(|recovered| recovered.result) {
            None => Ended::Nothing,
            Some(Ok(RecoveredItem::Restore(report))) => Ended::Reported(report),
            Some(Ok(RecoveredItem::Snapshot { .. })) => Ended::Nothing,
            Some(Err(error)) => Ended::Failed(error),
        },
        Err(error) => Ended::Failed(error),
    }
}

/// Nobody watches.
#[must_use]
pub fn quiet() -> Watch {
    Arc::new(Quiet)
}

fn ran(run: Run<Ended>) -> Ended {
    match run {
        Run::Done(ended) => ended,
        Run::Died | Run::Dropped => Ended::Gone,
    }
}

fn left(machine: &Machine, ended: Ended) -> Left {
    let points = machine.world().take_crash_points();
    Left { world: machine.snapshot(), ended, points }
}
