//! One answer a command: a JSON document or text for people on standard output, errors for people on standard error.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use serde::Serialize;
use serde_json::Value;
use volsnap::{
    Code, Error, Result,
    view::{ErrorDocument, ErrorView, RecoveredView},
};

/// What a command found out or did.
#[derive(Debug)]
pub struct Answer {
    /// For scripts; `None` if the command has written its answer itself.
    pub document: Option<Value>,
    /// For people; without a line end.
    pub text: String,
    /// Decides the exit status; `None` is 0.
    pub code: Option<Code>,
}

impl Answer {
    /// An answer that says all went well.
    pub fn new(document: &impl Serialize, text: impl Into<String>) -> Result<Answer> {
        let document = serde_json::to_value(document)
            .map_err(|error| Error::new(Code::Internal, format!("the answer is no JSON: {error}")))?;
        Ok(Answer { document: Some(document), text: text.into(), code: None })
    }

    /// An answer that the command has written itself, for scripts and for people.
    pub fn written(code: Option<Code>) -> Answer {
        Answer { document: None, text: String::new(), code }
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
        match answer.document {
            Some(document) if self.json => print_json(document, recovered),
            _ if answer.text.is_empty() => {}
            _ => print(&answer.text),
        }
        exit(answer.code)
    }

    /// Prints an error.
    pub fn fail(&self, error: &Error, recovered: &[RecoveredView]) -> ExitCode {
        if self.json {
            let document = ErrorDocument { error: ErrorView::of(error) };
            print_json(serde_json::to_value(document).unwrap_or_default(), recovered);
        } else {
            self.say("error", "31", &error.message);
            if let Some(hint) = &error.hint {
                self.say("hint", "36", hint);
            }
        }
        exit(Some(error.code))
    }

    /// Tells people something besides the answer.
    pub fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            tell(text);
        }
    }

    fn say(&self, label: &str, colour: &str, text: &str) {
        match is_coloured(&io::stderr()) {
            true => tell(&format!("\x1b[1;{colour}m{label}:\x1b[0m {text}")),
            false => tell(&format!("{label}: {text}")),
        }
    }
}

/// Whether a stream is to be coloured: a terminal, and nobody objects (<https://no-color.org>).
pub fn is_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A line on standard error. A reader that has gone away must not end an operation.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn print_json(mut document: Value, recovered: &[RecoveredView]) {
    if let (Value::Object(fields), false) = (&mut document, recovered.is_empty()) {
        // `recover` has the field already, as its very answer.
        fields.entry("recovered").or_insert_with(|| serde_json::to_value(recovered).unwrap_or_default());
    }
    print(&document.to_string());
}

/// A reader that has gone away (`| head`) has heard enough: that is no failure of the command.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

fn exit(code: Option<Code>) -> ExitCode {
    code.map_or(ExitCode::SUCCESS, |code| ExitCode::from(code.exit_status()))
}
