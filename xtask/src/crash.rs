//! `crash`: the tiers of crash tests, each by itself.

use crate::run::{Outcome, cargo, run};

/// The tiers, from the fastest to the most real.
const TIERS: [&str; 4] = ["sim", "disk", "kill", "docker"];

/// Runs a tier: `TIER [--seed N] [--minutes M]`.
pub fn crash(arguments: &[&str]) -> Outcome {
    let [tier, options @ ..] = arguments else {
        return Err(format!("which tier? {}", TIERS.join(", ")));
    };
    if !TIERS.contains(tier) {
        return Err(format!("there is no tier {tier}; there are {}", TIERS.join(", ")));
    }
    let binary = format!("crash_{tier}");
    let test = format!("tier_{tier}");
    let mut command = cargo(&["test", "-p", "volsnap-tests", "--test", &binary, &test, "--", "--nocapture"]);
    for option in options.chunks(2) {
        let name = match option {
            ["--seed", _] => "VOLSNAP_CRASH_SEED",
            ["--minutes", _] => "VOLSNAP_CRASH_MINUTES",
            _ => return Err(format!("`{}` is not --seed N or --minutes M", option.join(" "))),
        };
        let number: u64 = option[1].parse().map_err(|_| format!("`{}` is no number", option[1]))?;
        command.env(name, number.to_string());
    }
    run(command)
}
