//! One answer a command: a JSON document or text for people on standard output, errors for people on standard error.

use std::{
    fmt,
    io::{self, IsTerminal, StderrLock, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use serde::Serialize;
use serde_json::Value;
use volsnap::{
    Code, Error, Result,
    view::{ErrorDocument, ErrorView, RecoveredView, severity},
};

use super::{plain, width::Width};

/// What a command found out or did.
#[derive(Debug)]
pub struct Answer {
    /// For scripts; `None` if the command has written its answer itself.
    pub document: Option<Value>,
    /// For people; without a line end.
    pub text: String,
    /// Decides the exit status; `None` is 0.
    pub code: Option<Code>,
    /// Whether it tells of something that was done, and stays done also where nobody can be told.
    pub of_deeds: bool,
}

impl Answer {
    /// An answer that says all went well.
    pub fn new(document: &impl Serialize, text: impl Into<String>) -> Result<Answer> {
        let document = serde_json::to_value(document)
            .map_err(|error| Error::new(Code::Internal, format!("the answer is no JSON: {error}")))?;
        Ok(Answer { document: Some(document), text: text.into(), code: None, of_deeds: false })
    }

    /// An answer that the command has written itself, for scripts and for people.
    pub fn written(code: Option<Code>) -> Answer {
        Answer { document: None, text: String::new(), code, of_deeds: false }
    }

    /// The same answer with that code.
    pub fn code(self, code: Option<Code>) -> Answer {
        Answer { code, ..self }
    }
}

/// Prints answers and errors.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    /// For scripts?
    pub json: bool,
    /// Nothing but results and errors?
    pub quiet: bool,
}

impl Printer {
    pub fn new(json: bool, quiet: bool) -> Self {
        Printer { json, quiet }
    }

    /// Prints what a command came to, with what was recovered before it.
    pub fn finish(&self, result: Result<Answer>, recovered: &[RecoveredView]) -> ExitCode {
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => return self.fail(&error, recovered),
        };
        let printed = match answer.document {
            Some(document) if self.json => print_json(document, recovered),
            _ if answer.text.is_empty() => Ok(()),
            _ => print(&Width::of(&io::stdout()).wrapped(&plain::text(answer.text.trim_end()), 2)),
        };
        let Err(lost) = printed else { return exit(answer.code) };
        let message = match answer.of_deeds {
            true => format!("{}; what it would have told was done, and stays so", lost.message),
            false => lost.message.clone(),
        };
        self.complain(&Error { message, ..lost.clone() });
        exit(answer.code.into_iter().chain([lost.code]).max_by_key(|code| severity(*code)))
    }

    /// Prints an error.
    pub fn fail(&self, error: &Error, recovered: &[RecoveredView]) -> ExitCode {
        let error = &match (error.code, &error.hint) {
            (Code::Internal, None) => {
                error.clone().hint("a fault of volsnap: run it again with -vv and report what it says")
            }
            (_, _) => error.clone(),
        };
        // What cannot be told where it belongs is told where it can be.
        if !self.json || print_json(document_of(error), recovered).is_err() {
            self.complain(error);
        }
        exit(Some(error.code))
    }

    /// Tells of an error on standard error: for people, and where standard output takes no document.
    pub fn complain(&self, error: &Error) {
        if self.json {
            return tell(&document_of(error).to_string());
        }
        say("error", "31", &error.message);
        if let Some(hint) = &error.hint {
            say("hint", "36", hint);
        }
    }

    /// Tells people something besides the answer.
    pub fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            tell(&Width::of(&io::stderr()).wrapped(&plain::text(text), 2));
        }
    }
}

/// A labelled text on standard error.
pub fn say(label: &str, colour: &str, text: &str) {
    let text = Width::of(&io::stderr()).wrapped(&format!("{label}: {}", plain::text(text)), 2);
    match is_coloured(&io::stderr()) {
        true => tell(&format!("\x1b[1;{colour}m{label}:\x1b[0m{}", &text[label.len() + 1..])),
        false => tell(&text),
    }
}

/// Whether a stream is to be coloured: a terminal, and nobody objects (<https://no-color.org>).
pub fn is_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether a bar stands in the last line of standard error. Whoever writes there holds the stream's lock.
static BAR_STANDS: AtomicBool = AtomicBool::new(false);

/// Takes what stands in the last line away.
const ERASE: &str = "\r\x1b[K";

/// A line on standard error. A reader that has gone away must not end an operation.
pub fn tell(text: &str) {
    let _ = writeln!(StandardError, "{text}");
}

/// Draws a bar in the last line of standard error, over the one that stands there.
pub fn draw(bar: &str) {
    let mut stderr = io::stderr().lock();
    BAR_STANDS.store(true, Ordering::Relaxed);
    let _ = write!(stderr, "\r{bar}\x1b[K").and_then(|()| stderr.flush());
}

/// Takes the bar away.
pub fn erase() {
    let _ = StandardError.flush();
}

/// Standard error, for what must not get into the way of a bar.
#[derive(Clone, Copy, Debug)]
pub struct StandardError;

impl StandardError {
    fn without_bar() -> io::Result<StderrLock<'static>> {
        let mut stderr = io::stderr().lock();
        if BAR_STANDS.swap(false, Ordering::Relaxed) {
            stderr.write_all(ERASE.as_bytes())?;
        }
        Ok(stderr)
    }
}

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::without_bar()?.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Self::without_bar()?.write_all(bytes)
    }

    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        Self::without_bar()?.write_fmt(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::without_bar()?.flush()
    }
}

fn document_of(error: &Error) -> Value {
    serde_json::to_value(ErrorDocument { error: ErrorView::of(error) }).unwrap_or_default()
}

fn print_json(mut document: Value, recovered: &[RecoveredView]) -> Result<()> {
    if let (Value::Object(fields), false) = (&mut document, recovered.is_empty()) {
        // `recover` has the field already, as its very answer.
        fields.entry("recovered").or_insert_with(|| serde_json::to_value(recovered).unwrap_or_default());
    }
    print(&document.to_string())
}

fn print(text: &str) -> Result<()> {
    write_out(&format!("{text}\n"))
}

/// Writes to standard output, to the letter. A reader that has gone away (`| head`) has heard enough: that is no failure
/// of the command.
pub fn write_out(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// What became of writing to standard output.
pub fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Standard output takes nothing more.
pub fn unwritten(why: &dyn fmt::Display) -> Error {
    Error::new(Code::Io, format!("cannot write standard output: {why}")).hint("look where standard output leads to")
}

fn exit(code: Option<Code>) -> ExitCode {
    code.map_or(ExitCode::SUCCESS, |code| ExitCode::from(code.exit_status()))
}
