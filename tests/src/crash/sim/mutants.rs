//! Runs mutants against the part of the simulator's tier that is to catch them.

use std::path::Path;

use volsnap_core::restore::Outcome;

use super::{
    Figures, crashes,
    faults::{self, Bits, Numbers, Tally},
    kept, slow_boots,
    snapshots::{cases, snapshots},
};
use crate::{
    crash::Met,
    mutants::{How, Mutant, Trial},
    process::{Ended, restore},
    worlds::{self, Rules, Scene},
};

/// How the simulator's tier meets a mutant.
#[must_use]
pub fn meet(mutant: &Mutant) -> Met {
    let lie = match &mutant.how {
        How::Port(lie) | How::Both(lie, _) => Some(lie.clone()),
        How::Decision(_) | How::Judgement(_) | How::SurveyJudgement(_) => None,
    };
    let prepare = |scene: &mut Scene| {
        scene.rules = rules(&mutant.how);
        scene.world.set_mutant(lie.clone());
    };
    let mutated = |index: usize| {
        let mut scene = worlds::small()[index].build();
        prepare(&mut scene);
        scene
    };
    let (tried, sign) = match mutant.trial {
        Trial::Crashes(scene, processes) => of_figures(crashes(&mutated(scene), lie.as_ref(), processes)),
        Trial::SlowBoots(scene) => of_figures(slow_boots(&mutated(scene), lie.as_ref())),
        Trial::Errors(scene) => of_tally(faults::errors(&mutated(scene), Numbers::All)),
        Trial::Disturbances(scene) => of_tally(faults::disturbances(&mutated(scene))),
        Trial::Flips(scene) => of_tally(faults::flips(&mutated(scene), Bits::OneOfEachByte)),
        Trial::Together(scene) => of_tally(faults::together(&mutated(scene))),
        Trial::Snapshots(nth) => of_figures(snapshots(&cases().swap_remove(nth), lie.as_ref(), 1)),
        Trial::OtherIdentities(scene) => other_identities(mutated(scene)),
        Trial::Kept(nth) => {
            let mut case = kept::cases().swap_remove(nth);
            case.prepare(prepare);
            let explored = kept::crashes(&case, false);
            (explored.states, explored.wrongs.into_iter().next())
        }
        Trial::Refusals => of_tally(faults::refusals_by(prepare)),
    };
    match sign {
        Some(sign) => Met { mutant: mutant.name, caught_after: Some(tried.max(1)), sign },
        None => Met { mutant: mutant.name, caught_after: None, sign: format!("not in {tried} states") },
    }
}

/// It is to be given up before anything is touched, since nothing would be known again afterwards.
fn other_identities(mut scene: Scene) -> (u64, Option<String>) {
    scene.world.number_by_path(Path::new("/disk0"));
    let sign = match restore(&scene, scene.world.clone()).ended {
        Ended::Reported(report) if report.outcome == Outcome::Aborted => None,
        Ended::Reported(report) => Some(format!("it was not given up: {:?}", report.outcome)),
        ended @ (Ended::Failed(_) | Ended::Nothing | Ended::Gone) => Some(format!("it was not given up: {ended:?}")),
    };
    (1, sign)
}

fn rules(how: &How) -> Rules {
    let rules = Rules::default();
    match how {
        How::Port(_) => rules,
        How::Decision(decide) | How::Both(_, decide) => Rules { decide: *decide, ..rules },
        How::Judgement(judge) => Rules { judge: *judge, ..rules },
        How::SurveyJudgement(judge_survey) => Rules { judge_survey: *judge_survey, ..rules },
    }
}

fn of_figures(figures: Figures) -> (u64, Option<String>) {
    (figures.states, figures.violations.into_iter().next().and_then(|violation| violation.wrongs.into_iter().next()))
}

fn of_tally(tally: Tally) -> (u64, Option<String>) {
    (tally.struck(), tally.findings.into_iter().next().and_then(|finding| finding.wrongs.into_iter().next()))
}
