//! `crash` and `soak`: the tiers of crash tests, each by itself, all, or for hours.

pub mod figures;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::run::{Outcome, cargo, run};

/// The tiers, from the fastest to the most real.
pub const TIERS: [&str; 4] = ["sim", "disk", "kill", "docker"];
/// In a long run each tier has its turn for so many minutes.
const TURN_MINUTES: u64 = 10;

/// Runs a tier, or all of them with their mutants: `TIER [--seed N] [--minutes M]`.
pub fn crash(arguments: &[&str]) -> Outcome {
    let [tier, options @ ..] = arguments else {
        return Err(format!("which tier? {}, or all", TIERS.join(", ")));
    };
    let (mut seed, mut minutes) = (None, None);
    for option in options.chunks(2) {
        match option {
            ["--seed", number] => seed = Some(parse(number)?),
            ["--minutes", number] => minutes = Some(parse(number)?),
            _ => return Err(format!("`{}` is not --seed N or --minutes M", option.join(" "))),
        }
    }
    match *tier {
        "all" => TIERS.iter().try_for_each(|tier| test(tier, &["tier_", "mutants_"], seed, minutes)),
        tier if TIERS.contains(&tier) => test(tier, &["tier_"], seed, minutes),
        other => Err(format!("there is no tier {other}; there are {}, and all", TIERS.join(", "))),
    }
}

/// Runs the tiers in turn, each time with another seed, until the time is over or something is wrong:
/// `--hours H [--seed N]`.
pub fn soak(arguments: &[&str]) -> Outcome {
    let (hours, first) = match arguments {
        ["--hours", hours] => (parse(hours)?, None),
        ["--hours", hours, "--seed", seed] => (parse(hours)?, Some(parse(seed)?)),
        _ => return Err("how long? --hours H [--seed N]".into()),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first = first.unwrap_or(now.as_secs());
    let end = Instant::now() + Duration::from_secs(3600 * hours);
    for seed in first.. {
        for tier in TIERS {
            let left = end.saturating_duration_since(Instant::now()).as_secs().div_ceil(60);
            if left == 0 {
                println!("soak: {} seeds from {first} on, nothing is wrong", seed - first);
                return Ok(());
            }
            let minutes = left.min(TURN_MINUTES);
            test(tier, &["tier_"], Some(seed), Some(minutes)).map_err(|error| {
                format!("{error}; again: `cargo xtask crash {tier} --seed {seed} --minutes {minutes}`")
            })?;
        }
    }
    Ok(())
}

fn test(tier: &str, tests: &[&str], seed: Option<u64>, minutes: Option<u64>) -> Outcome {
    let binary = format!("crash_{tier}");
    let mut command = cargo(&["test", "-p", "volsnap-tests", "--test", &binary, "--", "--nocapture"]);
    command.args(["--test-threads", "1"]).args(tests);
    for (name, number) in [("VOLSNAP_CRASH_SEED", seed), ("VOLSNAP_CRASH_MINUTES", minutes)] {
        if let Some(number) = number {
            command.env(name, number.to_string());
        }
    }
    run(command)
}

fn parse(number: &str) -> Outcome<u64> {
    number.parse().map_err(|_| format!("`{number}` is no number"))
}
