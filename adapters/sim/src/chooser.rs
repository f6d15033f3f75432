//! Where the choices of a simulation come from: a script that can be enumerated, or a seeded random source.

/// Answers "which of n?", and remembers what was asked.
#[derive(Clone, Debug)]
pub struct Chooser {
    script: Vec<usize>,
    taken: Vec<(usize, usize)>,
    random: Option<u64>,
}

impl Chooser {
    /// Follows the script, then always answers 0.
    #[must_use]
    pub fn scripted(script: Vec<usize>) -> Self {
        Chooser { script, taken: Vec::new(), random: None }
    }

    /// Answers at random, as a function of the seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Chooser { script: Vec::new(), taken: Vec::new(), random: Some(seed) }
    }

    /// One of `0..arity`; 0 without being asked if there is no choice.
    pub fn choose(&mut self, arity: usize) -> usize {
        self.choose_beyond(arity, arity)
    }

    /// One of `0..all`, of which an enumeration tries only those below `arity`.
    pub fn choose_beyond(&mut self, arity: usize, all: usize) -> usize {
        if all <= 1 {
            return 0;
        }
        let choice = match &mut self.random {
            Some(state) => usize::try_from(splitmix(state) % all as u64).unwrap_or(0),
            None => self.script.get(self.taken.len()).copied().unwrap_or(0).min(all - 1),
        };
        self.taken.push((choice, arity));
        choice
    }

    /// The choices that were made, as a script that makes them again.
    #[must_use]
    pub fn script(&self) -> Vec<usize> {
        self.taken.iter().map(|(choice, _)| *choice).collect()
    }

    /// The script that comes next in depth-first order; `None` when all have been seen.
    #[must_use]
    pub fn next_script(&self) -> Option<Vec<usize>> {
        let turn = self.taken.iter().rposition(|(choice, arity)| choice + 1 < *arity)?;
        let mut script: Vec<usize> = self.taken[..turn].iter().map(|(choice, _)| *choice).collect();
        script.push(self.taken[turn].0 + 1);
        Some(script)
    }

    /// Calls `visit` once for each way in which the choices that it asks for can be made.
    pub fn every(mut visit: impl FnMut(&mut Chooser)) {
        let mut script = Some(Vec::new());
        while let Some(next) = script {
            let mut chooser = Chooser::scripted(next);
            visit(&mut chooser);
            script = chooser.next_script();
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and every seed is good.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_visited_once() {
        let mut seen = Vec::new();
        Chooser::every(|chooser| {
            let first = chooser.choose(2);
            let second = if first == 0 { chooser.choose(3) } else { 9 };
            seen.push((first, second));
        });
        assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (1, 9)]);
    }

    #[test]
    fn a_seed_gives_the_same_choices_again() {
        let run = |seed| {
            let mut chooser = Chooser::seeded(seed);
            (0..20).map(|_| chooser.choose(7)).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }
}
