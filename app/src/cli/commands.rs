//! The commands: each turns its arguments into one answer.

mod doctor;
mod hook;
mod inside;
mod recovery;
mod restore;
mod retention;
mod snapshot;
mod trail;
mod workload;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
};

use volsnap::Result;

use super::{
    answer::{Answer, Printer},
    args::{Args, Command},
    progress::Reporter,
    render,
    session::Session,
};

/// Does one command and prints what it came to.
pub async fn run(args: Args, printer: &Printer) -> ExitCode {
    // What is written to a terminal as it comes does not go together with a bar.
    let streams = matches!(args.command, Command::Ls { .. } | Command::Dump { .. }) && io::stdout().is_terminal();
    let reporter = Arc::new(Reporter::start(args.global.progress, args.global.quiet || streams));
    let result = match Session::open(&args.global, *printer, reporter.clone()).await {
        Ok(session) => answer(&session, args.command).await,
        Err(error) => Err(error),
    };
    let recovered = reporter.finish();
    for item in &recovered {
        printer.note(&render::recovered_line(item));
    }
    printer.finish(result, &recovered)
}

async fn answer(session: &Session, command: Command) -> Result<Answer> {
    match command {
        Command::Workload(command) => workload::answer(session, command).await,
        Command::Create(args) => snapshot::create(session, args).await,
        Command::List { workload } => snapshot::list(session, workload.as_deref()).await,
        Command::Show { snapshot } => snapshot::show(session, &snapshot).await,
        Command::Ls { snapshot, path } => inside::ls(session, &snapshot, path).await,
        Command::Dump { snapshot, target, path } => inside::dump(session, &snapshot, &target, path).await,
        Command::Verify(args) => snapshot::verify(session, args).await,
        Command::Plan(args) => restore::plan(session, args).await,
        Command::Restore(args) => restore::restore(session, args).await,
        Command::Undo { workload, options, yes: _ } => restore::undo(session, &workload, &options).await,
        Command::Recover { workload, dry_run: false, no_hooks } => {
            recovery::recover(session, workload.as_deref(), no_hooks).await
        }
        Command::Recover { workload, dry_run: true, no_hooks: _ } | Command::Status { workload } => {
            recovery::status(session, workload.as_deref()).await
        }
        Command::Delete { snapshot } => retention::delete(session, &snapshot).await,
        Command::Prune(args) => retention::prune(session, args).await,
        Command::Doctor { fix } => doctor::doctor(session, fix).await,
        Command::Events { workload, limit } => trail::events(session, workload.as_deref(), limit).await,
    }
}
