//! What was measured.

use super::{corpora::Census, measure::Spent};
use crate::bench::figures::median;

/// The same thing, done several times.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Series {
    /// Each time.
    pub wall_us: Vec<u64>,
    /// Of all processors, each time.
    pub cpu_us: Vec<u64>,
    /// How much of all processors' time was used, each time.
    pub busy_percent: Vec<u64>,
    /// The highest peak of resident memory.
    pub peak_bytes: u64,
}

impl Series {
    /// One time more.
    pub fn note(&mut self, spent: &Spent) {
        self.wall_us.push(spent.wall_us);
        self.cpu_us.push(spent.cpu_us);
        self.busy_percent.push(spent.busy_percent);
        self.peak_bytes = self.peak_bytes.max(spent.peak_bytes);
    }

    /// Its time.
    pub fn median_us(&self) -> u64 {
        median(&self.wall_us)
    }

    /// The shortest: what is added by the rest of the machine is never negative.
    pub fn least_us(&self) -> u64 {
        self.wall_us.iter().copied().min().unwrap_or(0)
    }

    /// The longest.
    pub fn most_us(&self) -> u64 {
        self.wall_us.iter().copied().max().unwrap_or(0)
    }

    /// Of all processors.
    pub fn cpu_median_us(&self) -> u64 {
        median(&self.cpu_us)
    }
}

/// One contender on one corpus.
#[derive(Debug, Default, Clone)]
pub struct Row {
    /// Who.
    pub name: String,
    /// Archiving, until it is on the disk.
    pub create: Series,
    /// Making the tree, until it is on the disk; for volsnap the phase that stages it.
    pub restore: Series,
    /// Of the archive or the repository.
    pub archive_bytes: u64,
    /// Why it has no more turns.
    pub failed: Option<String>,
}

/// What only unpacks an archive: no check that looks at its contents takes less.
pub const UNPACK: &str = "zstd -t";

/// A check of an archive.
#[derive(Debug)]
pub struct Verified {
    /// The command.
    pub command: String,
    /// What it took.
    pub series: Series,
}

/// One file out of the archive.
#[derive(Debug)]
pub struct OneFile {
    /// Until it had come out.
    pub series: Series,
    /// Read from the archive.
    pub read_bytes: u64,
    /// What came out.
    pub bytes: u64,
}

/// Create and restore with a number of jobs.
#[derive(Debug)]
pub struct ByJobs {
    /// How many.
    pub jobs: usize,
    /// Of each command.
    pub create: Series,
    /// The staging phase.
    pub restore: Series,
    /// The check of the archive.
    pub verify: Series,
}

/// What progress costs: without, and with.
#[derive(Debug)]
pub struct WithProgress {
    /// `create`.
    pub create: [Series; 2],
    /// `restore`.
    pub restore: [Series; 2],
}

/// Something that may be missing, with the reason.
pub type Maybe<T> = Result<T, String>;

/// One corpus.
#[derive(Debug)]
pub struct Compared {
    /// What it is.
    pub title: String,
    /// What it holds.
    pub census: Census,
    /// The load of the machine when it began.
    pub load: String,
    /// What the disk took in a second, written in one piece and synced, once in each round.
    pub disk_bytes_per_second: Vec<u64>,
    /// volsnap.
    pub ours: Row,
    /// The whole of volsnap's restores, with the switch and the removal of what was there.
    pub whole: Series,
    /// The others, in the order of the contenders; the first is what ratios are of.
    pub others: Vec<Row>,
}

impl Compared {
    /// What the disk alone takes for so many bytes.
    pub fn disk_us(&self, bytes: u64) -> u64 {
        let us = u128::from(bytes) * 1_000_000 / u128::from(median(&self.disk_bytes_per_second).max(1));
        u64::try_from(us).unwrap_or(u64::MAX)
    }
}

/// What is measured of volsnap alone on a corpus.
#[derive(Debug, Default)]
pub struct Alone {
    /// Each way of checking.
    pub verified: Vec<Verified>,
    /// One file, if the corpus has one for it.
    pub one_file: Option<Maybe<OneFile>>,
    /// The curve, if it is measured here.
    pub by_jobs: Option<Maybe<Vec<ByJobs>>>,
    /// The cost of progress, if it is measured here.
    pub with_progress: Option<WithProgress>,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Figures {
    /// Each corpus, or why it is not there, with its title.
    pub corpora: Vec<(String, Maybe<(Compared, Alone)>)>,
    /// The same at growing numbers of files.
    pub growth: Vec<(Compared, Alone)>,
    /// Rounds.
    pub rounds: usize,
    /// Programs with their versions, or without one if they are not installed.
    pub versions: Vec<(&'static str, Option<String>)>,
    /// What it was measured on.
    pub machine: String,
}
