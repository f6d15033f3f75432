//! The tier, and that a seed makes the same run again.

use volsnap_tests::crash::{
    self, Budget,
    sim::{self, Amount, Story},
};

#[test]
fn tier_sim() {
    let budget = Budget::from_env();
    let tier = sim::run(budget, Amount::CI);
    crash::report("sim", &tier.line());
    println!("{:?}", tier.figures.outcomes);
    if let (Some(spec), Some(violation)) = (tier.failed, tier.figures.violations.first()) {
        let (spec, violation) = sim::shrink(&spec, None, violation);
        let story = Story::of(&spec, None, &violation);
        println!("{story}");
        panic!("something is wrong, in {}, with seed {}", story.keep("found").display(), budget.seed);
    }
}

#[test]
fn a_seed_makes_the_same_run_again() {
    let run = |seed| {
        sim::run(Budget { seed, time: None }, Amount { small: 0, seeded: 4, states: 15_000 }).figures.fingerprint
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
