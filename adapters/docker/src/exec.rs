//! Running a command in a container, for hooks.

use std::time::Duration;

use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecResults},
};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};
use volsnap_core::ports::{Command, EngineError, EngineErrorKind, Exit, Ran, TOLD_MAX, Watch};

use crate::api::Api;

/// How often the observer is asked whether to end.
const ASK: Duration = Duration::from_millis(100);

/// Runs a command in a running container, as its own user and in its own directory. The engine has no call that ends
/// a command, so one that is not waited for any longer goes on in its container.
pub(crate) async fn exec(api: &Api, container: &str, command: &Command, watch: &Watch) -> Result<Ran, EngineError> {
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        env: Some(command.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
        cmd: Some(command.words.clone()),
        ..Default::default()
    };
    let (id, started) = api.start_exec(container, options).await?;
    let StartExecResults::Attached { mut output, .. } = started else {
        return Err(EngineError::new(EngineErrorKind::Failed, format!("exec in {container} was not attached to")));
    };
    let deadline = Instant::now().checked_add(command.timeout);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = loop {
        match timeout(ASK, output.next()).await {
            Ok(Some(Ok(LogOutput::StdErr { message }))) => keep(&mut err, &message),
            Ok(Some(Ok(
                LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message },
            ))) => keep(&mut out, &message),
            // A connection that broke says nothing of how the command ended; the engine does, below.
            Ok(Some(Err(_)) | None) => break None,
            Err(_) => {}
        }
        if watch.cancelled() {
            break Some(Exit::Cancelled);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break Some(Exit::TimedOut);
        }
    };
    let exit = match ended {
        Some(exit) => exit,
        None => status(api, container, &id).await?,
    };
    let said = if err.iter().all(u8::is_ascii_whitespace) { out } else { err };
    Ok(Ran { exit, told: String::from_utf8_lossy(&said).into_owned() })
}

/// How a command ended whose output has.
async fn status(api: &Api, container: &str, id: &str) -> Result<Exit, EngineError> {
    // The output may end a moment before the engine has the status.
    for _ in 0..50 {
        let seen = api.inspect_exec(container, id).await?;
        match (seen.running, seen.exit_code) {
            (Some(true), _) | (_, None) => tokio::time::sleep(ASK).await,
            (_, Some(status)) => return Ok(Exit::Status(status)),
        }
    }
    Err(EngineError::new(EngineErrorKind::Failed, format!("a command in {container} closed its output and goes on")))
}

fn keep(said: &mut Vec<u8>, more: &[u8]) {
    said.extend_from_slice(more);
    // What a replacement of bytes that are no text may add fits in the rest.
    let surplus = said.len().saturating_sub(TOLD_MAX / 3);
    said.drain(..surplus);
}
