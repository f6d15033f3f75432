//! How a container engine fails, and what that means to callers.

use super::{Code, Error};

/// What kind of failure an engine met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineErrorKind {
    /// The engine cannot be reached. Worth a retry.
    Unreachable,
    /// No answer in time: the call may have been carried out. Look again, then retry.
    TimedOut,
    /// The container or image does not exist.
    NotFound,
    /// A name is taken, a container is in another state than the call needs, or the engine has used up what it needs
    /// (address ranges of networks). Look again.
    Conflict,
    /// The engine refused or failed.
    Failed,
    /// A deployer of this kind has no such thing. Asking again is in vain.
    Unsupported,
}

/// A failed call of an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("container engine: {message}")]
pub struct EngineError {
    /// What kind of failure.
    pub kind: EngineErrorKind,
    /// What happened, with the container's name and the engine's words.
    pub message: String,
}

impl EngineError {
    /// A failure of that kind.
    pub fn new(kind: EngineErrorKind, message: impl Into<String>) -> Self {
        EngineError { kind, message: message.into() }
    }

    /// Whether the same call may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.kind {
            EngineErrorKind::Unreachable | EngineErrorKind::TimedOut | EngineErrorKind::Conflict => true,
            EngineErrorKind::NotFound | EngineErrorKind::Failed | EngineErrorKind::Unsupported => false,
        }
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        let hint = match error.kind {
            EngineErrorKind::Unreachable => "check that the engine runs and that DOCKER_HOST names it",
            EngineErrorKind::TimedOut => {
                "the engine did not answer in time; look at its log, then run the command again"
            }
            EngineErrorKind::NotFound => "look with `docker ps -a` whether the container was removed or renamed",
            EngineErrorKind::Conflict => {
                "look with `docker ps -a` at the container's state, then run the command again"
            }
            EngineErrorKind::Failed => "the engine's log says more",
            EngineErrorKind::Unsupported => "the host that deploys the app has to do this itself",
        };
        Error::new(Code::Engine, error.to_string()).hint(hint)
    }
}
