//! What the engine's answers mean for a caller: retry, look again, or give up.

use std::{error::Error as _, fmt};

use bollard::errors::Error;
use volsnap_core::ports::{EngineError, EngineErrorKind};

/// The port's error for a failed call; `doing` says what was tried on which container.
pub(crate) fn engine_error(doing: impl fmt::Display, error: &Error) -> EngineError {
    EngineError::new(kind(error), format!("{doing}: {}", words(error)))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the variants depend on the features of bollard; what is not named here is a plain failure"
)]
fn kind(error: &Error) -> EngineErrorKind {
    match error {
        // Podman's words for what Docker answers with 409.
        Error::DockerResponseServerError { message, .. } if message.contains("container state improper") => {
            EngineErrorKind::Conflict
        }
        // And for 404, of one that goes while it is looked at.
        Error::DockerResponseServerError { message, .. } if message.trim_end().ends_with("no such container") => {
            EngineErrorKind::NotFound
        }
        Error::DockerResponseServerError { status_code, .. } => match status_code {
            404 => EngineErrorKind::NotFound,
            409 => EngineErrorKind::Conflict,
            408 | 504 => EngineErrorKind::TimedOut,
            502 | 503 => EngineErrorKind::Unreachable,
            _ => EngineErrorKind::Failed,
        },
        Error::RequestTimeoutError => EngineErrorKind::TimedOut,
        // Also a connection that broke in the middle of a call: the engine went away, whatever it did before.
        Error::SocketNotFoundError(_)
        | Error::HyperLegacyError { .. }
        | Error::HyperResponseError { .. }
        | Error::IOError { .. } => EngineErrorKind::Unreachable,
        _ => EngineErrorKind::Failed,
    }
}

/// The engine's words, or the error with its causes: bollard's own text of a refused connection does not name the cause.
fn words(error: &Error) -> String {
    if let Error::DockerResponseServerError { message, .. } = error {
        return message.trim().to_string();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16) -> EngineErrorKind {
        kind(&Error::DockerResponseServerError { status_code, message: "no".into() })
    }

    #[test]
    fn answers_of_the_engine_are_told_apart() {
        assert_eq!(answer(404), EngineErrorKind::NotFound);
        assert_eq!(answer(409), EngineErrorKind::Conflict);
        assert_eq!(answer(500), EngineErrorKind::Failed);
        assert_eq!(answer(400), EngineErrorKind::Failed);
        assert_eq!(kind(&Error::RequestTimeoutError), EngineErrorKind::TimedOut);
        assert_eq!(kind(&Error::SocketNotFoundError("/run/x".into())), EngineErrorKind::Unreachable);
    }

    #[test]
    fn podmans_words_for_another_state_are_a_conflict() {
        let message = "can only create exec sessions on running containers: container state improper".into();
        let error = Error::DockerResponseServerError { status_code: 500, message };
        assert_eq!(kind(&error), EngineErrorKind::Conflict);
    }

    #[test]
    fn podmans_words_for_one_that_goes_while_it_is_looked_at_mean_that_it_is_gone() {
        let message = "container e8aa0da29533 does not exist in database: no such container".into();
        let error = Error::DockerResponseServerError { status_code: 500, message };
        assert_eq!(kind(&error), EngineErrorKind::NotFound);
    }

    #[test]
    fn a_message_names_what_was_tried_and_the_engines_words() {
        let error = Error::DockerResponseServerError { status_code: 500, message: "port is taken\n".into() };
        assert_eq!(engine_error("start web", &error).message, "start web: port is taken");
    }
}
