//! The one error that callers see: a code of the contract, what happened, and what to do about it.

pub mod engine;
pub mod filesystem;

use std::fmt;

pub use engine::{EngineError, EngineErrorKind};
pub use filesystem::{DENIED_HINT, FsError, FsErrorKind, FsOp};
use serde::{Deserialize, Serialize};

/// How an operation failed, as scripts see it. Each code has one exit status of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A fault of volsnap itself.
    Internal,
    /// A disk or the operating system said no.
    Io,
    /// The container engine said no or could not be reached.
    Engine,
    /// The request makes no sense as given.
    Usage,
    /// A preflight check said no; nothing was touched.
    Refused,
    /// The restore began and was rolled back: original data, app back.
    Aborted,
    /// Data restored, but something needs a look.
    Warnings,
    /// Nothing can be decided safely; nothing was deleted and the journal is kept.
    NeedsAttention,
    /// Another process holds the workload.
    Busy,
    /// No such workload, snapshot, volume or member.
    NotFound,
    /// An archive, a journal or the catalog fails its checks.
    Corrupt,
    /// An archive member tries to leave its place or breaks a limit.
    Hostile,
}

impl Code {
    /// The exit status of the command line for this code.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Code::Internal | Code::Io | Code::Engine => 1,
            Code::Usage => 2,
            Code::Refused => 3,
            Code::Aborted => 4,
            Code::Warnings => 5,
            Code::NeedsAttention => 6,
            Code::Busy => 7,
            Code::NotFound => 8,
            Code::Corrupt => 9,
            Code::Hostile => 10,
        }
    }

    /// The word of the contract, as in `{"error":{"code":"…"}}`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Internal => "internal",
            Code::Io => "io",
            Code::Engine => "engine",
            Code::Usage => "usage",
            Code::Refused => "refused",
            Code::Aborted => "aborted",
            Code::Warnings => "warnings",
            Code::NeedsAttention => "needs-attention",
            Code::Busy => "busy",
            Code::NotFound => "not-found",
            Code::Corrupt => "corrupt",
            Code::Hostile => "hostile",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed operation.
///
/// `message` begins in lower case and names the thing and the value; `hint` says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure, for scripts.
    pub code: Code,
    /// What happened, with the thing and its value.
    pub message: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
}

impl Error {
    /// An error without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), hint: None }
    }

    /// The same error, telling the reader what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with what was being done in front of its message.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

/// The result of an operation of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;
