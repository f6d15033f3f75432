//! Ports that lie and engines that break a rule, on purpose: what the tests of crashes must not miss.

use std::collections::BTreeSet;

use volsnap_tests::{
    crash::{Met, report_mutants, sim},
    mutants::{self, Mutant},
};

#[test]
fn mutants_sim() {
    let (covered, bare): (Vec<Mutant>, Vec<Mutant>) = mutants::all().into_iter().partition(|m| m.equivalent.is_some());
    let met: Vec<Met> = bare.iter().map(sim::meet).collect();
    report_mutants("sim", &met);
    for mutant in &covered {
        let met = sim::meet(mutant);
        let why = mutant.equivalent.unwrap_or_default();
        println!("sim: {:34} | {:>8} | {why}", mutant.name, "covered");
        assert_eq!(met.caught_after, None, "{} can be caught after all: {}", mutant.name, met.sign);
    }
}

#[test]
fn every_mutant_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = mutants::all().iter().map(|mutant| mutant.name).collect();
    assert_eq!(names.len(), mutants::all().len());
}
