//! The real binary on a terminal of its own: what it shows there, and keys that are pressed.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt, process::ExitStatusExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    fs::OFlags,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::World;

/// Enough that nothing of a test scrolls away.
const ROWS: u16 = 200;
/// How long anything may take to appear or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with a command in its foreground.
pub struct Terminal {
    width: u16,
    child: Child,
    master: File,
    written: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

/// What a command left on its terminal.
#[derive(Debug)]
pub struct Left {
    /// Its exit status; 128 and the signal if one ended it.
    pub status: i32,
    /// The rows of the screen without what is blank at their ends.
    pub screen: String,
    /// All that was written, with its control characters.
    pub raw: String,
    pub width: u16,
}

impl Terminal {
    /// Starts `volsnap` with those arguments.
    pub fn start(world: &World, width: u16, args: &[&str]) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: ROWS, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let no_tty = OFlags::NOCTTY.bits().cast_signed();
        let slave = File::options().read(true).write(true).custom_flags(no_tty).open(path).unwrap();
        let inner = world.command(args);
        // Makes the terminal the one that Ctrl-C goes by, then becomes the command.
        let mut command = Command::new("setsid");
        command.arg("-c").arg(inner.get_program()).args(inner.get_args()).env_clear();
        for (key, value) in inner.get_envs() {
            command.env(key, value.unwrap_or_default());
        }
        command.env("TERM", "xterm").current_dir(inner.get_current_dir().unwrap());
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        let master = File::from(master);
        let written = Arc::new(Mutex::new(Vec::new()));
        let reader = std::thread::spawn({
            let (mut master, written) = (master.try_clone().unwrap(), written.clone());
            move || {
                let mut bytes = [0; 4096];
                // Once nobody has the other end any more, reading fails.
                while let Ok(length @ 1..) = master.read(&mut bytes) {
                    written.lock().unwrap().extend_from_slice(&bytes[..length]);
                }
            }
        });
        Terminal { width, child, master, written, reader }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&mut self) {
        self.press("\x03");
    }

    /// Waits until something was written that contains this.
    pub fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.raw().contains(text) {
            assert!(Instant::now() < deadline, "{text:?} did not come: {:?}", self.raw());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn raw(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits for the end of the command.
    pub fn end(mut self) -> Left {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() >= deadline {
                self.child.kill().unwrap();
                panic!("it did not end: {:?}", self.raw());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        self.reader.join().unwrap();
        let bytes = self.written.lock().unwrap().clone();
        Left {
            status: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            screen: screen(&bytes, self.width),
            raw: String::from_utf8_lossy(&bytes).into_owned(),
            width: self.width,
        }
    }
}

/// What a terminal shows after those bytes.
fn screen(bytes: &[u8], width: u16) -> String {
    let mut parser = vt100::Parser::new(ROWS.try_into().unwrap(), width.try_into().unwrap(), 0);
    parser.process(bytes);
    let rows: Vec<String> = parser.screen().rows(0, width).map(|row| row.trim_end().to_string()).collect();
    rows.join("\n").trim_end().to_string()
}

impl Left {
    /// The lines of the bar that were drawn one over the other.
    pub fn bars(&self) -> Vec<String> {
        let drawn = self.raw.split('\r').filter_map(|line| line.strip_suffix("\x1b[K"));
        drawn.filter(|line| !line.is_empty()).map(str::to_string).collect()
    }

    /// Asserts that no line is so wide that the terminal had to break it, but for words that have no room anywhere.
    pub fn assert_fits(&self) {
        for line in self.raw.split(['\n', '\r']) {
            let mut bare = String::new();
            let mut chars = line.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\x1b' => drop(chars.by_ref().find(char::is_ascii_alphabetic)),
                    c => bare.push(c),
                }
            }
            let one_word = bare.trim_start().split_once(' ').is_none();
            let width = usize::from(self.width);
            assert!(one_word || bare.chars().count() <= width, "wider than {width}: {bare:?}");
        }
    }
}
