//! The workload of the demonstration: a guestbook with its pages and a counter, in a container if there is an engine.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    engine::{Engine, Run},
    run::Outcome,
};

/// The workload's name.
pub const NAME: &str = "guestbook";

/// The volumes' names within the workload, as [`App::live`] has their places.
pub const TARGETS: [&str; 2] = ["/site", "/db"];

const PAGES: usize = 240;
const GUESTS: usize = 1000;
const PHOTO_BYTES: u64 = 8_000_000;

/// Counts as fast as it can, so that a snapshot always meets it in the middle of a write; ends at once when asked to.
const SCRIPT: &str = "\
trap 'exit 0' TERM
n=$(cat /db/counter 2>/dev/null || echo 0)
while :; do
  n=$((n+1)); echo $n >/db/next; mv /db/next /db/counter
  sleep 0.02 & wait $!
done";

/// How long the app may take to show a sign of life.
const PATIENCE: Duration = Duration::from_secs(20);

/// The guestbook.
pub struct App {
    site: PathBuf,
    db: PathBuf,
    photo: Vec<u8>,
    engine: Result<Engine, String>,
    container: String,
}

impl App {
    /// Lays out the data, and starts the container where there is an engine.
    pub fn raise(dir: &Path) -> Outcome<Self> {
        let engine = Engine::at_hand(dir);
        let site = dir.join("site");
        make_dir(&site)?;
        let container = match &engine {
            Ok(engine) if !engine.private => format!("{}-{NAME}", engine.prefix),
            Ok(_) | Err(_) => NAME.to_string(),
        };
        let mut app = App { site, db: dir.join("db"), photo: photo()?, engine, container };
        if let Ok(engine) = &app.engine {
            engine.import_image(dir)?;
            // A named volume on an engine of our own; on somebody else's we may not be allowed to see where it lies.
            let db = if engine.private { "guestbook-db".to_string() } else { app.db.display().to_string() };
            if !engine.private {
                make_dir(&app.db)?;
            }
            let mounts = [format!("{}:/site", app.site.display()), format!("{db}:/db")];
            engine.run(&Run { name: &app.container, script: SCRIPT, mounts: &mounts })?;
            if engine.private {
                app.db = engine.volume_path(&db)?;
            }
        } else {
            make_dir(&app.db)?;
        }
        app.fill()?;
        Ok(app)
    }

    /// What the demonstration takes place on.
    pub fn stage(&self) -> String {
        match &self.engine {
            Ok(engine) if engine.private => format!("a real container of a private Docker Engine {}", engine.version),
            Ok(engine) => format!("a real container of your Docker Engine {}", engine.version),
            Err(why) => format!("plain directories (no container engine: {why})"),
        }
    }

    /// The address of the engine.
    pub fn host(&self) -> Option<String> {
        self.engine.as_ref().ok().map(Engine::host)
    }

    /// The words of `workload add`.
    pub fn registration(&self) -> Vec<String> {
        let mut words: Vec<String> = ["workload", "add", NAME].map(str::to_string).into();
        if self.has_container() {
            words.extend(["--container".to_string(), self.container.clone()]);
        } else {
            for (target, place) in TARGETS.iter().zip(self.live()) {
                words.extend(["--volume".to_string(), format!("{target}={}", place.display())]);
            }
        }
        words
    }

    /// A sentence about it.
    pub fn introduce(&self) -> Outcome<String> {
        self.check_whole()?;
        Ok(match self.has_container() {
            true => format!(
                "{NAME} has {PAGES} pages in /site and counts in /db fifty times a second, now at {}",
                self.goes_on()?
            ),
            false => format!("{NAME} has {PAGES} pages in /site and {GUESTS} guests in /db"),
        })
    }

    /// Whether it is a container.
    pub fn has_container(&self) -> bool {
        self.engine.is_ok()
    }

    /// Whether the container runs.
    pub fn runs(&self) -> bool {
        self.engine.as_ref().is_ok_and(|engine| engine.is_running(&self.container))
    }

    /// The live directories.
    pub fn live(&self) -> Vec<PathBuf> {
        vec![self.site.clone(), self.db.clone()]
    }

    /// Where the counter stands.
    pub fn counter(&self) -> Option<u64> {
        fs::read_to_string(self.db.join("counter")).ok()?.trim().parse().ok()
    }

    /// Waits until the counter has moved twice, so that it is the app that moves it; where it stands then.
    pub fn goes_on(&self) -> Outcome<u64> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen: Vec<u64> = Vec::new();
        while seen.len() < 3 {
            if let Some(now) = self.counter().filter(|now| seen.last() != Some(now)) {
                seen.push(now);
            }
            if Instant::now() > deadline {
                return Err(format!("the app does not count: it stands at {:?}", self.counter()));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(seen[2])
    }

    /// What goes wrong one day.
    pub fn damage(&self) -> Outcome {
        let entries = fs::read_dir(&self.site).map_err(|e| format!("cannot list the pages: {e}"))?;
        for entry in entries.flatten() {
            fs::remove_file(entry.path()).map_err(|e| format!("cannot remove a page: {e}"))?;
        }
        fs::remove_file(self.db.join("guests")).map_err(|e| format!("cannot remove the guests: {e}"))?;
        self.check_damaged()
    }

    /// Every page, the photo and the guests are as they were made.
    pub fn check_whole(&self) -> Outcome {
        for number in 0..PAGES {
            expect(&self.site.join(page_name(number)), page(number).as_bytes())?;
        }
        expect(&self.site.join("photo.raw"), &self.photo)?;
        expect(&self.db.join("guests"), guests().as_bytes())
    }

    /// No page and no guest is there.
    pub fn check_damaged(&self) -> Outcome {
        let pages = fs::read_dir(&self.site).map_err(|e| format!("cannot list the pages: {e}"))?.count();
        match (pages, self.db.join("guests").exists()) {
            (0, false) => Ok(()),
            (pages, guests) => Err(format!("expected an empty site and found {pages} files; guests: {guests}")),
        }
    }

    /// Nothing of ours stands beside the live directories, no journal is open, no container is left over.
    pub fn check_no_leftovers(&self, state: &Path) -> Outcome {
        let beside = self.live();
        let mut places: Vec<&Path> = beside.iter().filter_map(|live| live.parent()).collect();
        let journals = state.join("journal");
        places.push(&journals);
        for place in places {
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(".volsnap") || name.ends_with(".json") && place == journals {
                    return Err(format!("{} was left", entry.path().display()));
                }
            }
        }
        match &self.engine {
            Ok(engine) => match engine.containers()? {
                names if names == [self.container.clone()] => Ok(()),
                names => Err(format!("expected one container and found {names:?}")),
            },
            Err(_) => Ok(()),
        }
    }

    fn fill(&self) -> Outcome {
        let write = |path: PathBuf, data: &[u8]| {
            fs::write(&path, data).map_err(|e| format!("cannot write {}: {e}", path.display()))
        };
        for number in 0..PAGES {
            write(self.site.join(page_name(number)), page(number).as_bytes())?;
        }
        write(self.site.join("photo.raw"), &self.photo)?;
        write(self.db.join("guests"), guests().as_bytes())
    }
}

fn make_dir(path: &Path) -> Outcome {
    fs::create_dir(path).map_err(|e| format!("cannot make {}: {e}", path.display()))
}

fn page_name(number: usize) -> String {
    format!("page-{number:03}.html")
}

fn page(number: usize) -> String {
    format!("<h1>Page {number}</h1>\n{}", format!("<p>Somebody was here, {number} times.</p>\n").repeat(number))
}

fn guests() -> String {
    (0..GUESTS).map(|guest| format!("guest {guest}\n")).collect()
}

fn photo() -> Outcome<Vec<u8>> {
    let mut photo = Vec::new();
    let source = fs::File::open("/dev/urandom").map_err(|e| format!("cannot make a photo: {e}"))?;
    source.take(PHOTO_BYTES).read_to_end(&mut photo).map_err(|e| format!("cannot make a photo: {e}"))?;
    Ok(photo)
}

fn expect(path: &Path, data: &[u8]) -> Outcome {
    match fs::read(path) {
        Ok(found) if found == data => Ok(()),
        Ok(found) => Err(format!("{} holds {} other bytes", path.display(), found.len())),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}
