//! One restore, with one thing that happens to it at one place.

use std::{
    collections::BTreeSet,
    fmt,
    process::Child,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{
    hands::Hand,
    ledger::Phase,
    oracle::{self, Allowed, Before, End},
    proxy::{Call, Fate},
    world::{MEMBERS, World},
};
use crate::cli::Ended;

/// After an engine's start, what it starts by itself has begun to write.
const REVIVAL: Duration = Duration::from_millis(400);
/// How often recovery may need to be called; a third time would be a loop.
const RECOVERIES_MAX: usize = 2;

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// At the first call of a phase (or as soon as its entry is seen, where no call comes).
    Phase(Phase),
    /// At the call of that number.
    Call(usize),
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// volsnap, the engine and all containers end at once; the engine comes up again before anybody recovers.
    Reboot,
    /// The daemon alone is killed; volsnap goes on to its end without it, the containers too.
    DaemonKilled,
    /// The engine ends with all containers and comes up again while volsnap waits for its answer.
    EngineRestarted,
    /// A call is cut.
    Cut(Fate),
    /// volsnap is killed, and a call of its recovery is cut.
    RecoveryCut(Fate, usize),
    /// A person does something.
    ByHand(Hand),
    /// Nothing, to see what a restore does.
    Nothing,
}

/// A restore with what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// What.
    pub event: Event,
    /// Where.
    pub place: Place,
    /// Whether the app is started again, not made anew.
    pub restart: bool,
}

/// What a case did.
#[derive(Debug)]
pub struct Done {
    /// How it ended, or what is wrong.
    pub end: Result<End, Vec<String>>,
    /// Whether the place was reached.
    pub reached: bool,
    /// The calls of the restore.
    pub calls: Vec<Call>,
    /// The containers that were there at the end.
    pub containers: BTreeSet<String>,
}

impl Event {
    /// Its kind, for figures.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Event::Reboot => "reboot",
            Event::DaemonKilled => "daemon killed",
            Event::EngineRestarted => "engine restarted",
            Event::Cut(_) => "call cut",
            Event::RecoveryCut(..) => "recovery's call cut",
            Event::ByHand(_) => "by hand",
            Event::Nothing => "nothing",
        }
    }

    /// Whether it ends the engine.
    #[must_use]
    pub fn ends_engine(&self) -> bool {
        matches!(self, Event::Reboot | Event::DaemonKilled | Event::EngineRestarted)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.restart { "restart" } else { "recreate" };
        write!(f, "{:?} at {:?} ({how})", self.event, self.place)
    }
}

impl Case {
    /// Runs the restore, lets it happen, recovers, and looks at what is there.
    ///
    /// # Panics
    /// If the world cannot be made ready.
    pub fn run(&self, world: &mut World, mark: &str) -> Done {
        let mut case = Running::begin(*self, world, mark);
        let reached = case.restore(world);
        let calls = world.proxy.calls();
        case.recover(world, reached);
        let end = case.judge(world);
        let containers = world.standing().into_values().map(|standing| standing.id).collect();
        Done { end, reached, calls, containers }
    }
}

/// A case that is under way.
pub struct Running {
    case: Case,
    before: Before,
    /// What volsnap said last about the end.
    said: Option<End>,
    /// All of what it said, for whoever looks at a violation.
    words: Vec<String>,
    wrongs: Vec<String>,
}

impl Running {
    /// Makes the world ready.
    pub fn begin(case: Case, world: &World, mark: &str) -> Self {
        world.fresh(mark);
        Running { case, before: Before::of(world), said: None, words: Vec::new(), wrongs: Vec::new() }
    }

    /// Whether the place was reached.
    fn restore(&mut self, world: &mut World) -> bool {
        let Case { event, place, restart } = self.case;
        let how = if restart { "restart" } else { "recreate" };
        let snapshot = world.snapshot.clone();
        let args = ["restore", "shop", &snapshot, "--yes", "--redeploy", how];
        world.proxy.arm(self.case.rule());
        if let Event::Cut(_) = event {
            self.hear(&world.cli.run(&args), &args);
            return world.proxy.calls().iter().any(|call| is_at(place, call));
        }
        let mut child = world.cli.spawn(&args);
        let Some(phase) = hold(world, &mut child, place) else {
            self.hear_child(child, &args);
            return event == Event::Nothing;
        };
        if matches!(event, Event::Reboot | Event::RecoveryCut(..)) {
            let _ = child.kill();
            // Dead before anything else ends: nobody sees an engine that is half gone.
            while is_alive(&child) {
                sleep(Duration::from_millis(1));
            }
        }
        self.happen(world, phase);
        if event != Event::DaemonKilled {
            return self.go_on(world, child, &args);
        }
        let reached = self.go_on(world, child, &args);
        world.engine.restart_daemon();
        self.see_revived(world, phase, true);
        reached
    }

    fn go_on(&mut self, world: &World, child: Child, args: &[&str]) -> bool {
        world.proxy.release();
        signal(&child, Signal::CONT);
        self.hear_child(child, args);
        true
    }

    /// Lets it happen, volsnap standing still, or dead.
    pub fn happen(&mut self, world: &mut World, phase: Phase) {
        match self.case.event {
            Event::Reboot => {
                world.engine.kill();
                world.engine.restart_engine();
                self.see_revived(world, phase, false);
            }
            Event::EngineRestarted => {
                world.engine.kill();
                world.engine.restart_engine();
                self.see_revived(world, phase, true);
            }
            Event::DaemonKilled => world.engine.kill_daemon(),
            Event::ByHand(hand) => hand.act(world, &mut self.before),
            Event::Cut(_) | Event::RecoveryCut(..) | Event::Nothing => {}
        }
    }

    /// What an engine that started makes of the app is how it is found, unless the pins say better; `alive` is whether
    /// volsnap saw it happen, and perhaps had brought the app back before.
    fn see_revived(&mut self, world: &World, phase: Phase, alive: bool) {
        sleep(REVIVAL);
        let redeploying = phase == Phase::Switched && alive;
        // Members are brought back side by side: while a call for one waits, another may have its policy again.
        let is_back = |call: &Call| call.phase == Phase::Switched && call.path == "containers/*/update";
        let unfenced = phase == Phase::Switched && !alive && world.proxy.calls().iter().any(is_back);
        if phase == Phase::Pinned || unfenced {
            // The pins are taken, and the fence is not up, or is down again for some: `always` starts what a person
            // stopped, as it would have without a restore.
            self.before.allow_revived(&world.standing());
        }
        if phase.is_fenced() && !redeploying {
            return;
        }
        let standing = world.standing();
        for member in &MEMBERS {
            let Some(now) = standing.get(member.name) else { continue };
            let allowed = self.before.runs.entry(member.name).or_default();
            if !redeploying {
                allowed.clear();
            }
            allowed.insert(now.run.into());
            // One that ended with an error may be between two tries.
            if member.policy == "on-failure" {
                allowed.insert(Allowed::Running);
            }
        }
    }

    /// Recovers until nothing is left to recover; the first recovery may have its own trouble.
    pub fn recover(&mut self, world: &World, reached: bool) {
        let mut cut = None;
        if let Event::RecoveryCut(fate, number) = self.case.event {
            cut = reached.then_some((fate, number));
        }
        for _ in 0..=RECOVERIES_MAX {
            if world.cli.journal(&world.workload).is_empty() {
                return;
            }
            let honest = cut.is_none();
            match cut.take() {
                Some((fate, number)) => world.proxy.arm(once(Place::Call(number), fate)),
                None => world.proxy.disarm(),
            }
            let args = ["recover", "shop"];
            let ended = world.cli.run(&args);
            // 5: done, with warnings, such as of what a person started in the middle.
            if honest && !matches!(ended.status, Some(0 | 5)) {
                self.wrongs.push(format!("a recovery failed: {ended:?}"));
            }
            self.hear(&ended, &args);
        }
    }

    fn hear_child(&mut self, child: Child, args: &[&str]) {
        let output = child.wait_with_output().expect("the binary ends");
        self.hear(&Ended::of(&output, args), args);
    }

    /// What volsnap says must be true at the end.
    fn hear(&mut self, ended: &Ended, args: &[&str]) {
        self.words.push(format!("said {:?}: {}", ended.status, ended.json));
        let reports = ended.json["recovered"].as_array().cloned().unwrap_or_default();
        for report in reports.iter().chain([&ended.json]) {
            match report["outcome"].as_str() {
                Some("restored") => self.said = Some(End::Restored),
                Some("aborted" | "reverted") => self.said = Some(End::Original),
                Some(other) => self.wrongs.push(format!("{args:?} ended with {other}: {report}")),
                None => {}
            }
        }
        // 0 and 5: done; 4: undone as a whole; 3 and 1: refused, or failed and said so.
        if !matches!(ended.status, None | Some(0 | 1 | 3 | 4 | 5)) && ended.json["error"] == Value::Null {
            self.wrongs.push(format!("{args:?} ended with {ended:?}"));
        }
    }

    /// How it ended, or what is wrong.
    pub fn judge(&mut self, world: &World) -> Result<End, Vec<String>> {
        let looked = oracle::look(world, &self.before);
        let mut wrongs = std::mem::take(&mut self.wrongs);
        match looked {
            Ok(end) => {
                if self.said.is_some_and(|said| said != end) {
                    wrongs.push(format!("volsnap says {:?}, and the data are {end:?}", self.said));
                }
                if wrongs.is_empty() {
                    return Ok(end);
                }
            }
            Err(seen) => wrongs.splice(0..0, seen).for_each(drop),
        }
        wrongs.append(&mut self.words);
        Err(wrongs)
    }
}

impl Case {
    /// What becomes of the calls of its restore.
    pub fn rule(&self) -> impl FnMut(&Call) -> Fate + Send + 'static {
        match self.event {
            Event::Cut(fate) => once(self.place, fate),
            Event::Reboot
            | Event::DaemonKilled
            | Event::EngineRestarted
            | Event::RecoveryCut(..)
            | Event::ByHand(_)
            | Event::Nothing => once(self.place, Fate::Hold),
        }
    }
}

/// That fate for the first call at that place, and all others pass.
fn once(place: Place, fate: Fate) -> impl FnMut(&Call) -> Fate + Send + 'static {
    let mut over = false;
    move |call| {
        if over || !is_at(place, call) {
            return Fate::Pass;
        }
        over = true;
        fate
    }
}

fn is_at(place: Place, call: &Call) -> bool {
    match place {
        Place::Phase(phase) => call.phase == phase,
        Place::Call(number) => call.number == number,
    }
}

/// Waits until volsnap stands still at that place, and says in which phase; `None` if it ended before.
fn hold(world: &World, child: &mut Child, place: Place) -> Option<Phase> {
    if place == Place::Phase(Phase::Redeployed) {
        // Nobody is asked anything while the originals are archived: the process itself is stopped.
        let deadline = Instant::now() + Duration::from_secs(60);
        while world.proxy.ledger().last() != Some("redeployed") {
            if has_ended(child) || Instant::now() > deadline {
                return None;
            }
            sleep(Duration::from_micros(200));
        }
        signal(child, Signal::STOP);
        return Some(Phase::Redeployed);
    }
    world.proxy.wait_held(|| has_ended(child)).map(|call| call.phase)
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().ok().flatten().is_some()
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // Gone in between: nothing to do.
    let _ = pid.map(|pid| kill_process(pid, signal));
}

/// Whether its threads still run: a killed process may take a moment.
fn is_alive(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
