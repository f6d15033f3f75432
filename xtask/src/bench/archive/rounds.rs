//! The rounds: every contender in its turn, so that what the machine does meanwhile falls on all of them alike.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use super::{
    contenders::{Contender, Paths, is_installed},
    corpora::{Census, Corpus, census, warm},
    figures::{Alone, ByJobs, Compared, Maybe, Row, Series, UNPACK, Verified, WithProgress},
    measure,
    ours::{Ours, Snapshot, remove},
    place::disk_speed,
};
use crate::run::Outcome;

/// How long nothing is done before each round. A disk that several machines share is slower for a while after much was written
/// to it; who comes first would pay for who was last.
const REST: Duration = Duration::from_secs(10);
/// volsnap and its base, which are first in turn. The disk alone is measured behind them, where it is in the way of neither,
/// and as rested as they were.
const FIRST: usize = 2;
/// One in so many rounds is enough for a curve, which has the fastest.
const CURVE_SHARE: usize = 2;
/// Ways of checking an archive; the words after the first are known by some versions only.
const VERIFY: [&[&str]; 2] = [&["verify"], &["verify", "--quick"]];

/// A directory with data to be archived, volsnap, and who it is compared with.
pub struct Arena<'a> {
    /// Where everything lies.
    pub dir: &'a Path,
    /// volsnap.
    pub ours: Ours,
    /// The others that are installed.
    pub contenders: Vec<&'a Contender>,
    /// How often.
    pub rounds: usize,
}

impl Arena<'_> {
    /// Makes data and measures on them; the reason if they cannot be made. Nothing stays.
    pub fn run(
        &self,
        title: &str,
        fill: &dyn Fn(&Path) -> Outcome,
        corpus: Option<&Corpus>,
    ) -> Outcome<Maybe<(Compared, Alone)>> {
        let source = self.source();
        eprintln!("{title}: making the data");
        make(&source)?;
        if let Err(why) = fill(&source) {
            remove(&source)?;
            return Ok(Err(why));
        }
        // Before the census: a file has no blocks until it is written back.
        rustix::fs::sync();
        warm(&source)?;
        let (compared, snapshot) = self.compare(title, census(&source)?)?;
        let alone = self.alone(&snapshot, corpus, compared.census)?;
        for dir in [source, self.ours.tree().to_path_buf()] {
            remove(&dir)?;
        }
        Ok(Ok((compared, alone)))
    }

    fn source(&self) -> PathBuf {
        self.dir.join("source")
    }

    fn compare(&self, title: &str, census: Census) -> Outcome<(Compared, Snapshot)> {
        let load = load();
        eprintln!("{title}: {} files, {} bytes; load average {load}", census.files, census.bytes);
        let named = |name: &str| Row { name: name.to_string(), ..Row::default() };
        let mut compared = Compared {
            title: title.to_string(),
            census,
            load,
            disk_bytes_per_second: Vec::new(),
            ours: named("volsnap"),
            whole: Series::default(),
            others: self.contenders.iter().map(|contender| named(contender.name)).collect(),
        };
        let mut last = None;
        for round in 0..self.rounds {
            eprintln!("  round {} of {}", round + 1, self.rounds);
            rustix::fs::sync();
            std::thread::sleep(REST);
            let mut turns = order(round, self.contenders.len());
            for whose in turns.by_ref().take(FIRST) {
                last = self.turn(whose, round, &mut compared)?.or(last);
            }
            std::thread::sleep(REST);
            measure::settle();
            compared.disk_bytes_per_second.push(disk_speed(self.dir, census.allocated_bytes)?);
            for whose in turns {
                self.turn(whose, round, &mut compared)?;
            }
        }
        let snapshot = last.ok_or_else(|| "no rounds, no figures".to_string())?;
        Ok((compared, snapshot))
    }

    fn turn(&self, whose: Option<usize>, round: usize, compared: &mut Compared) -> Outcome<Option<Snapshot>> {
        let Some(at) = whose else { return self.ours_once(compared).map(Some) };
        let (contender, row, census) = (self.contenders[at], &mut compared.others[at], compared.census);
        if round < contender.turns.of(self.rounds) && row.failed.is_none() {
            // A program that we do not know well must not cost the figures of all others.
            row.failed = self.other_once(contender, row, census).err();
        }
        Ok(None)
    }

    fn ours_once(&self, compared: &mut Compared) -> Outcome<Snapshot> {
        self.ours.begin()?;
        let snapshot = self.create(&[], &mut compared.ours.create)?;
        compared.ours.archive_bytes = snapshot.bytes;
        self.restore(&[], &snapshot, &mut compared.ours.restore, &mut compared.whole, compared.census)?;
        let [create, restore] = [&compared.ours.create, &compared.ours.restore].map(last);
        eprintln!("    volsnap: {create} ms, {restore} ms");
        Ok(snapshot)
    }

    fn create(&self, options: &[&str], series: &mut Series) -> Outcome<Snapshot> {
        measure::settle();
        let (spent, snapshot) = self.ours.create(options, &self.source())?;
        series.note(&spent);
        Ok(snapshot)
    }

    fn restore(
        &self,
        options: &[&str],
        snapshot: &Snapshot,
        staging: &mut Series,
        whole: &mut Series,
        expected: Census,
    ) -> Outcome {
        self.ours.empty_live()?;
        measure::settle();
        let (spent, stage_us) = self.ours.restore(options, snapshot)?;
        whole.note(&spent);
        staging.note(&measure::Spent { wall_us: stage_us, ..spent });
        is_complete("volsnap", self.ours.tree(), expected)?;
        self.ours.empty_live()
    }

    fn other_once(&self, contender: &Contender, row: &mut Row, expected: Census) -> Outcome {
        let at = |name: &str| self.dir.join(name);
        let paths = Paths { source: self.source(), archive: at("archive"), tree: at("tree"), cache: at("cache") };
        let ours = [&paths.archive, &paths.tree, &paths.cache];
        for dir in ours {
            remove(dir)?;
            make(dir)?;
        }
        let recipe = (contender.recipe)(&paths);
        let mut done = recipe.init.map_or(Ok(()), |init| measure::run(vec![init], None).map(drop));
        for (stages, series) in [(recipe.create, &mut row.create), (recipe.restore, &mut row.restore)] {
            done = done.and_then(|()| {
                measure::settle();
                measure::run(stages, Some(self.dir)).map(|spent| series.note(&spent))
            });
        }
        done?;
        row.archive_bytes = census(&paths.archive)?.bytes;
        is_complete(contender.name, &paths.tree, expected)?;
        eprintln!("    {}: {} ms, {} ms", contender.name, last(&row.create), last(&row.restore));
        ours.into_iter().try_for_each(|dir| remove(dir))
    }

    fn alone(&self, snapshot: &Snapshot, corpus: Option<&Corpus>, expected: Census) -> Outcome<Alone> {
        eprintln!("  volsnap alone");
        let mut alone = Alone::default();
        for words in VERIFY.iter().filter(|words| words[1..].iter().all(|word| self.ours.offers(&words[..1], word))) {
            let mut series = Series::default();
            for _ in 0..self.rounds {
                series.note(&self.ours.verify(words, snapshot)?);
            }
            alone.verified.push(Verified { command: words.join(" "), series });
        }
        if is_installed("zstd") {
            let mut unpacked = Verified { command: UNPACK.to_string(), series: Series::default() };
            for _ in 0..self.rounds {
                unpacked.series.note(&self.ours.unpacked(snapshot)?);
            }
            alone.verified.push(unpacked);
        }
        let Some(corpus) = corpus else { return Ok(alone) };
        if let Some(path) = corpus.one_file {
            let expected = self.source().join(path);
            alone.one_file = Some(self.ours.one_file(snapshot, path, &expected, self.rounds)?);
        }
        if corpus.with_progress {
            alone.with_progress = Some(self.with_progress(expected)?);
        }
        if corpus.by_jobs {
            alone.by_jobs = Some(self.by_jobs(expected)?);
        }
        Ok(alone)
    }

    /// Without and with, in turn.
    fn with_progress(&self, expected: Census) -> Outcome<WithProgress> {
        let (mut create, mut restore): ([Series; 2], [Series; 2]) = Default::default();
        for round in 1..=self.rounds {
            eprintln!("    progress {round} of {}", self.rounds);
            for (how, create, restore) in
                ["none", "json"].into_iter().zip(&mut create).zip(&mut restore).map(|((h, c), r)| (h, c, r))
            {
                let options = ["--progress", how];
                self.ours.begin()?;
                let snapshot = self.create(&options, create)?;
                self.restore(&options, &snapshot, restore, &mut Series::default(), expected)?;
            }
        }
        Ok(WithProgress { create, restore })
    }

    /// One job, two, four and so on, as many as there are processors and two at least, in turn.
    fn by_jobs(&self, expected: Census) -> Outcome<Maybe<Vec<ByJobs>>> {
        if !self.ours.offers(&[], "--jobs") {
            return Ok(Err("`--jobs` is not available".to_string()));
        }
        let new =
            |jobs| ByJobs { jobs, create: Series::default(), restore: Series::default(), verify: Series::default() };
        let mut curve: Vec<ByJobs> = job_counts(available_parallelism().map_or(1, usize::from)).map(new).collect();
        let rounds = (self.rounds / CURVE_SHARE).max(1);
        for round in 1..=rounds {
            eprintln!("    jobs {round} of {rounds}");
            for point in &mut curve {
                let count = point.jobs.to_string();
                let options = ["--jobs", &count];
                self.ours.begin()?;
                let snapshot = self.create(&options, &mut point.create)?;
                self.restore(&options, &snapshot, &mut point.restore, &mut Series::default(), expected)?;
                point.verify.note(&self.ours.verify(&["--jobs", &count, "verify"], &snapshot)?);
            }
        }
        Ok(Ok(curve))
    }
}

/// Who has a turn when, by number; volsnap has none. Who is first finds the disk rested: that is volsnap in every other round, and
/// its base in the others.
fn order(round: usize, contenders: usize) -> impl Iterator<Item = Option<usize>> {
    let before = (round % 2).min(contenders);
    (0..before).map(Some).chain([None]).chain((before..contenders).map(Some))
}

fn job_counts(processors: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |jobs| Some(jobs * 2)).take_while(move |jobs| *jobs <= processors.max(2))
}

fn last(series: &Series) -> u64 {
    series.wall_us.last().map_or(0, |us| us / 1000)
}

/// A contender that leaves something out would be fast for nothing.
fn is_complete(name: &str, tree: &Path, expected: Census) -> Outcome {
    let found = census(tree)?;
    let same = (found.files, found.bytes) == (expected.files, expected.bytes);
    if same { Ok(()) } else { Err(format!("{name} restored {found:?} of {expected:?}")) }
}

fn make(dir: &Path) -> Outcome {
    fs::create_dir(dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))
}

/// Of the last minute.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volsnap_and_its_base_are_first_in_turn() {
        let of = |round, contenders| order(round, contenders).collect::<Vec<_>>();
        assert_eq!(of(0, 2), [None, Some(0), Some(1)]);
        assert_eq!(of(1, 2), [Some(0), None, Some(1)]);
        assert_eq!(of(1, 0), [None]);
    }

    #[test]
    fn jobs_are_doubled_up_to_the_processors() {
        let of = |processors| job_counts(processors).collect::<Vec<_>>();
        assert_eq!(of(1), [1, 2]);
        assert_eq!(of(2), [1, 2]);
        assert_eq!(of(12), [1, 2, 4, 8]);
    }
}
