//! From arguments to exit status: parse, open, do one command, print one answer.

mod args;
mod config;
mod parse;

mod complete;

mod commands;
mod session;

mod answer;
mod ask;
mod plain;
mod progress;
mod render;
mod signals;
mod width;
mod words;

use std::{ffi::OsString, io, os::unix::ffi::OsStrExt, process::ExitCode};

use clap::{FromArgMatches, error::ErrorKind};
use tracing_subscriber::EnvFilter;
use volsnap::{Code, Error, model::member::printable};

use self::{
    answer::Printer,
    args::{Args, Global},
    config::Origins,
};

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if complete::answered(&words) {
        return ExitCode::SUCCESS;
    }
    let args = match parsed(&words) {
        Ok(args) => args,
        Err(error) => return complain(&words, &error),
    };
    trace(&args.global);
    let printer = Printer::new(args.global.json, args.global.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return printer.fail(&Error::new(Code::Internal, format!("no runtime: {error}")), &[]),
    };
    runtime.block_on(commands::run(args, &printer))
}

/// The arguments, and which of them the environment gave.
fn parsed(words: &[OsString]) -> Result<Args, clap::Error> {
    let matches = Args::here().try_get_matches_from(words)?;
    let mut args = Args::from_arg_matches(&matches).map_err(|error| error.format(&mut Args::here()))?;
    args.global.origins = Origins::of(&matches);
    Ok(args)
}

/// Usage errors are errors like others, also for scripts; help and version are answers, and the version is a document for
/// them.
fn complain(words: &[OsString], error: &clap::Error) -> ExitCode {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let status = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    if json && error.kind() == ErrorKind::DisplayVersion {
        return Printer::new(true, true).finish(commands::version(), &[]);
    }
    if asked_for {
        let printer = Printer::new(json, false);
        return answer::written(error.print()).map_or_else(|lost| printer.fail(&lost, &[]), |()| status);
    }
    let is_named = error.kind() == ErrorKind::InvalidUtf8 && words.iter().any(|word| word.to_str().is_none());
    let text = if is_named { not_text(words) } else { error.render().to_string() };
    if !json {
        answer::say("error", "31", text.trim_start_matches("error: ").trim_end());
        return status;
    }
    Printer::new(true, true)
        .fail(&Error::new(Code::Usage, complaint(&text)).hint("`volsnap help` shows the commands"), &[])
}

/// Arguments that are not UTF-8, which clap does not name. Paths may be among them that need not be.
fn not_text(words: &[OsString]) -> String {
    let odd = words.iter().filter(|word| word.to_str().is_none());
    let odd: Vec<String> = odd.map(|word| format!("`{}`", printable(word.as_bytes()))).collect();
    format!("of the arguments one must be UTF-8 that is not: {}", odd.join(", "))
}

/// The first paragraph of what clap has to say, on one line: it names the arguments that are missing below the first.
fn complaint(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    lines.join(" ").trim_start_matches("error: ").to_string()
}

fn trace(global: &Global) {
    let default = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let wanted = std::env::var("VOLSNAP_LOG").ok().filter(|filter| !filter.is_empty());
    let (filter, problem) = match wanted.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(default), Some(error)),
        None => (EnvFilter::new(default), None),
    };
    let ansi = answer::is_coloured(&io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| answer::StandardError).with_ansi(ansi).init();
    if let Some(error) = problem {
        tracing::warn!(%error, "VOLSNAP_LOG is no filter");
    }
}
