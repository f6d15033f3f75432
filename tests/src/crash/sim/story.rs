//! Violations as files that people read and machines replay: the world, what befell it, what is wrong, and then every
//! operation of every process in words.

use std::{fmt, fs, path::PathBuf, str::FromStr};

use volsnap_core::model::{Redeploy, RunState};
use volsnap_sim::Mutant;

use super::{Crash, Happening, Slow, Violation, judge::replay};
use crate::{
    oracle::Wrongs,
    worlds::{AppSpec, Kind, Live, POLICIES, SceneSpec, VolumeDisk, VolumeSpec},
};

/// A violation that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The world.
    pub spec: SceneSpec,
    /// How the fault that was put in on purpose is called, if it is one.
    pub mutant: Option<String>,
    /// What befell the machine.
    pub path: Vec<Crash>,
    /// What was wrong.
    pub wrongs: Wrongs,
    /// What happened, in words.
    pub told: Vec<String>,
}

/// Between what is replayed and what is only read.
const RULE: &str = "----";

/// Many ways of losing show the same.
fn each_once(mut wrongs: Wrongs) -> Wrongs {
    wrongs.sort();
    wrongs.dedup();
    wrongs
}

impl Story {
    /// The story of a violation.
    #[must_use]
    pub fn of(spec: &SceneSpec, mutant: Option<&Mutant>, violation: &Violation) -> Self {
        let (wrongs, told) = replay(&spec.build(), mutant, violation);
        let mutant = mutant.map(|mutant| format!("{mutant:?}"));
        Story { spec: spec.clone(), mutant, path: violation.path.clone(), wrongs: each_once(wrongs), told }
    }

    /// What is wrong when the same befalls the engine once more.
    #[must_use]
    pub fn replay(&self, mutant: Option<&Mutant>) -> Wrongs {
        let violation = Violation { path: self.path.clone(), fault: None, wrongs: Wrongs::new() };
        each_once(replay(&self.spec.build(), mutant, &violation).0)
    }

    /// Where stories are kept.
    #[must_use]
    pub fn dir() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("stories")
    }

    /// All that are kept, with their names.
    ///
    /// # Panics
    /// If one of them cannot be read.
    #[must_use]
    pub fn kept() -> Vec<(String, Story)> {
        let files =
            fs::read_dir(Story::dir()).expect("stories are kept").map(|file| file.expect("it can be listed").path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ext| ext == "txt")).collect();
        files.sort();
        let read = |path: PathBuf| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let story = fs::read_to_string(&path).map_err(|e| e.to_string()).and_then(|text| text.parse());
            (name.clone(), story.unwrap_or_else(|e: String| panic!("{name}: {e}")))
        };
        files.into_iter().map(read).collect()
    }

    /// Keeps it under a name, and says where.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn keep(&self, name: &str) -> PathBuf {
        let path = Story::dir().join(format!("{name}.txt"));
        fs::create_dir_all(Story::dir())
            .and_then(|()| fs::write(&path, self.to_string()))
            .expect("stories can be kept");
        path
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { spec, mutant, path, wrongs, told } = self;
        writeln!(f, "world: {}", spec.name)?;
        for VolumeDisk { exchange, ordered } in &spec.disks {
            writeln!(f, "disk: {} {}", word(*exchange, EXCHANGE), word(*ordered, ORDERED))?;
        }
        for VolumeSpec { disk, live, absent } in &spec.volumes {
            writeln!(f, "volume: on disk {disk} {live:?} {}", word(*absent, ABSENT))?;
        }
        for AppSpec { policy, run, member, kind } in &spec.apps {
            writeln!(f, "app: {policy} {run:?} {} {kind:?}", word(*member, MEMBER))?;
        }
        let SceneSpec { state_with_volumes, redeploy, safety, sick, resume, frozen, .. } = spec;
        writeln!(f, "journal: {}", word(*state_with_volumes, JOURNAL))?;
        writeln!(f, "redeploy: {redeploy:?}")?;
        writeln!(f, "originals: {}", word(*safety, SAFETY))?;
        writeln!(f, "restored data: {}", word(*sick, SICK))?;
        if *resume {
            writeln!(f, "staging: {}", word(true, RESUME))?;
        }
        if *frozen {
            writeln!(f, "subvolumes: {}", word(true, FROZEN))?;
        }
        if let Some(mutant) = mutant {
            writeln!(f, "mutant: {mutant}")?;
        }
        path.iter().try_for_each(|crash| writeln!(f, "befalls: {}", Line(crash)))?;
        wrongs.iter().try_for_each(|wrong| writeln!(f, "wrong: {wrong}"))?;
        writeln!(f, "{RULE}")?;
        writeln!(f, "cargo test -p volsnap-tests --test crash_sim stories    replays it\n")?;
        told.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

const EXCHANGE: [&str; 2] = ["no-exchange", "exchange"];
const ORDERED: [&str; 2] = ["unordered", "ordered"];
const ABSENT: [&str; 2] = ["in-the-snapshot", "not-in-the-snapshot"];
const MEMBER: [&str; 2] = ["outside", "member"];
const JOURNAL: [&str; 2] = ["on a disk of its own", "beside the volumes"];
const SAFETY: [&str; 2] = ["forgotten", "archived"];
const SICK: [&str; 2] = ["fine", "make the app sick"];
const RESUME: [&str; 2] = ["begun again", "resumed"];
const LIVE: [Live; 5] = [Live::Full, Live::Empty, Live::Missing, Live::MountPoint, Live::Subvolume];
const FROZEN: [&str; 2] = ["none", "read-only"];
const RUN: [RunState; 3] = [RunState::Running, RunState::Paused, RunState::Stopped];
const KIND: [Kind; 8] = [
    Kind::Plain,
    Kind::Waits,
    Kind::SharesNetwork,
    Kind::Linked,
    Kind::HasVolumes,
    Kind::RemovesItself,
    Kind::OneOff,
    Kind::CannotStart,
];
const REDEPLOY: [Redeploy; 2] = [Redeploy::Recreate, Redeploy::Restart];

fn word(flag: bool, words: [&'static str; 2]) -> &'static str {
    words[usize::from(flag)]
}

struct Line<'a>(&'a Crash);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choices = |script: &[usize]| script.iter().map(|choice| format!(" {choice}")).collect::<String>();
        match self.0 {
            Crash::ByItself { op, what: Happening::Writeback } => write!(f, "writeback before {op}"),
            Crash::ByItself { op, what: Happening::WritebackOf(disk) } => write!(f, "writeback of {disk} before {op}"),
            Crash::ByItself { op, what: Happening::AppsWrite } => write!(f, "apps write before {op}"),
            Crash::ByItself { op, what: Happening::ClockJumps(seconds) } => {
                write!(f, "clock jumps {seconds} before {op}")
            }
            Crash::ByItself { op, what: Happening::AppsWork } => write!(f, "apps work before {op}"),
            Crash::Kill { op } => write!(f, "kill before {op}"),
            Crash::Cut { op, script } => write!(f, "power cut before {op} losing{}", choices(script)),
            Crash::SlowBoot { op, script, boot } => {
                write!(f, "power cut before {op} losing{} then {boot:?}", choices(script))
            }
        }
    }
}

impl FromStr for Story {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut spec = SceneSpec { disks: Vec::new(), volumes: Vec::new(), ..SceneSpec::plain("") };
        let (mut mutant, mut path, mut wrongs) = (None, Vec::new(), Wrongs::new());
        let mut lines = text.lines();
        for line in lines.by_ref().take_while(|line| *line != RULE) {
            let (key, value) = line.split_once(": ").ok_or_else(|| format!("not a line of a story: {line}"))?;
            let words: Vec<&str> = value.split(' ').collect();
            match (key, words.as_slice()) {
                ("world", _) => spec.name = value.into(),
                ("disk", [exchange, ordered]) => {
                    spec.disks
                        .push(VolumeDisk { exchange: flag(exchange, EXCHANGE)?, ordered: flag(ordered, ORDERED)? });
                }
                ("volume", ["on", "disk", disk, live, absent]) => {
                    let (disk, live, absent) = (number(disk)?, named(live, &LIVE)?, flag(absent, ABSENT)?);
                    spec.volumes.push(VolumeSpec { disk, live, absent });
                }
                ("app", [policy, run, member, kind]) => {
                    let policy = POLICIES.into_iter().find(|p| p == policy).ok_or("no such policy")?;
                    let (run, member, kind) = (named(run, &RUN)?, flag(member, MEMBER)?, named(kind, &KIND)?);
                    spec.apps.push(AppSpec { policy, run, member, kind });
                }
                ("journal", _) => spec.state_with_volumes = flag(value, JOURNAL)?,
                ("redeploy", _) => spec.redeploy = named(value, &REDEPLOY)?,
                ("originals", _) => spec.safety = flag(value, SAFETY)?,
                ("restored data", _) => spec.sick = flag(value, SICK)?,
                ("staging", _) => spec.resume = flag(value, RESUME)?,
                ("subvolumes", _) => spec.frozen = flag(value, FROZEN)?,
                ("mutant", _) => mutant = Some(value.to_string()),
                ("befalls", words) => path.push(crash(words).ok_or_else(|| format!("what befalls here? {value}"))?),
                ("wrong", _) => wrongs.push(value.into()),
                _ => return Err(format!("not a line of a story: {line}")),
            }
        }
        let told = lines.skip(2).map(str::to_string).collect();
        Ok(Story { spec, mutant, path, wrongs, told })
    }
}

fn crash(words: &[&str]) -> Option<Crash> {
    let op = |word: &&str| word.parse::<u64>().ok();
    let script = |words: &[&str]| words.iter().map(|word| word.parse::<usize>().ok()).collect::<Option<Vec<usize>>>();
    match words {
        ["writeback", "before", at] => Some(Crash::ByItself { op: op(at)?, what: Happening::Writeback }),
        ["writeback", "of", disk, "before", at] => {
            Some(Crash::ByItself { op: op(at)?, what: Happening::WritebackOf(disk.parse().ok()?) })
        }
        ["clock", "jumps", seconds, "before", at] => {
            Some(Crash::ByItself { op: op(at)?, what: Happening::ClockJumps(seconds.parse().ok()?) })
        }
        ["apps", "work", "before", at] => Some(Crash::ByItself { op: op(at)?, what: Happening::AppsWork }),
        ["apps", "write", "before", at] => Some(Crash::ByItself { op: op(at)?, what: Happening::AppsWrite }),
        ["kill", "before", at] => Some(Crash::Kill { op: op(at)? }),
        ["power", "cut", "before", at, "losing", choices @ .., "then", boot] => {
            let boot = named(boot, &Slow::ALL).ok()?;
            Some(Crash::SlowBoot { op: op(at)?, script: script(choices)?, boot })
        }
        ["power", "cut", "before", at, "losing", choices @ ..] => {
            Some(Crash::Cut { op: op(at)?, script: script(choices)? })
        }
        _ => None,
    }
}

fn flag(text: &str, words: [&str; 2]) -> Result<bool, String> {
    match words.iter().position(|word| *word == text) {
        Some(index) => Ok(index == 1),
        None => Err(format!("{text} is none of {words:?}")),
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn named<T: Copy + fmt::Debug>(text: &str, all: &[T]) -> Result<T, String> {
    all.iter().copied().find(|one| format!("{one:?}") == text).ok_or_else(|| format!("{text} is none of {all:?}"))
}
