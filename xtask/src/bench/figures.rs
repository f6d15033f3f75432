//! What was measured, and what was promised.

use super::world::WORLDS;

/// Downtime less the engine's calls stays below this, whatever the data.
pub const DOWNTIME_MAX_US: u64 = 100_000;
/// And it grows with the data by no more than this, in hundredths.
pub const FACTOR_MAX_PERCENT: u64 = 150;
/// Resident memory of a command, whatever the data.
pub const PEAK_MAX_BYTES: u64 = 128 << 20;

/// Of one world.
#[derive(Default)]
pub struct Measured {
    /// Downtime less the time inside engine calls, of each restore.
    pub own_us: Vec<u64>,
    /// Time inside engine calls, of each restore.
    pub engine_us: Vec<u64>,
    /// The peak of resident memory of `create`.
    pub create_peak_bytes: u64,
    /// The highest of the restores.
    pub restore_peak_bytes: u64,
}

/// Of all worlds, in their order.
pub struct Figures {
    /// On plain directories.
    pub directories: Vec<Measured>,
    /// Under a container, or why there was none.
    pub containers: Result<Vec<Measured>, String>,
}

impl Figures {
    /// The targets that were missed, one sentence for each.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let sets = [("directories", Some(&self.directories)), ("container", self.containers.as_ref().ok())];
        for (set, worlds) in sets.into_iter().filter_map(|(name, worlds)| Some((name, worlds?))) {
            let base = worlds.first().map_or(0, |world| median(&world.own_us));
            for (world, measured) in WORLDS.iter().zip(worlds) {
                let down = median(&measured.own_us);
                let peak = measured.create_peak_bytes.max(measured.restore_peak_bytes);
                let mut miss = |what: String| missed.push(format!("{set}, {}: {what}", world.title));
                if down >= DOWNTIME_MAX_US {
                    miss(format!("down for {down} µs"));
                }
                if percent(down, base) > FACTOR_MAX_PERCENT {
                    miss(format!("down for {} % of the least data's", percent(down, base)));
                }
                if peak >= PEAK_MAX_BYTES {
                    miss(format!("{peak} bytes of memory"));
                }
            }
        }
        missed
    }
}

/// The middle one.
pub fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// `value` in hundredths of `base`.
pub fn percent(value: u64, base: u64) -> u64 {
    value * 100 / base.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(own_us: u64, peak: u64) -> Measured {
        Measured { own_us: vec![own_us; 3], engine_us: vec![0; 3], create_peak_bytes: peak, restore_peak_bytes: 1 }
    }

    fn missed(worlds: [(u64, u64); 3]) -> usize {
        let directories = worlds.map(|(us, peak)| world(us, peak)).into();
        Figures { directories, containers: Err("none".into()) }.missed().len()
    }

    #[test]
    fn a_missed_target_is_told() {
        assert_eq!(missed([(4000, 1), (4400, 1), (6000, 1)]), 0);
        assert_eq!(missed([(4000, 1), (6100, 1), (4000, 1)]), 1);
        assert_eq!(missed([(100_000, 1), (99_999, 1), (99_999, 1)]), 1);
        assert_eq!(missed([(4000, 1), (4000, PEAK_MAX_BYTES), (4000, 1)]), 1);
    }

    #[test]
    fn one_slow_restore_does_not_move_the_median() {
        assert_eq!(median(&[5, 1, 900, 3, 4]), 4);
    }
}
