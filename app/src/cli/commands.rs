//! The commands: each turns its arguments into one answer.

mod archives;
mod changes;
mod config;
mod copies;
mod diff;
mod doctor;
mod documents;
mod drill;
mod hook;
mod inside;
mod kept;
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

pub use documents::version;
use volsnap::Result;

use super::{
    answer::{Answer, Printer},
    args::{
        AnyCommand, ApartCommand, Args, Command, ConfigCommand, Global, HookCommand, KeptCommand, Prune,
        WorkloadCommand,
    },
    config::{Configuration, Settings},
    progress::Reporter,
    render,
    session::Session,
    words,
};

/// Does one command and prints what it came to.
pub async fn run(args: Args, printer: &Printer) -> ExitCode {
    match args.command {
        AnyCommand::Apart(command) => printer.finish(answer_apart(&args.global, command, printer), &[]),
        AnyCommand::Working(command) => match in_force(&args.global, &command) {
            Ok(settings) => run_with(settings, &args.global, command, printer).await,
            Err(error) => printer.fail(&error, &[]),
        },
    }
}

/// The settings for a command. What is wrong with the configuration ends every command but those that a crash has
/// somebody wait for.
fn in_force(global: &Global, command: &Command) -> Result<Settings> {
    let configuration = Configuration::load(global.config.as_deref())?;
    match matches!(command, Command::Recover { .. } | Command::Status { .. }) {
        true => configuration.check_for_recovery()?,
        false => configuration.check()?,
    }
    Ok(Settings::new(configuration, global))
}

fn answer_apart(global: &Global, command: ApartCommand, printer: &Printer) -> Result<Answer> {
    match command {
        ApartCommand::Completions(args) => documents::completions(&args, printer.json),
        ApartCommand::Man(args) => documents::man(&args).map(|answer| Answer { of_deeds: true, ..answer }),
        ApartCommand::Schema(args) => documents::schema(&args),
        ApartCommand::Config(ConfigCommand::Show { workload }) => {
            let configuration = Configuration::load(global.config.as_deref())?;
            config::show(&Settings::new(configuration, global), workload)
        }
        ApartCommand::Config(ConfigCommand::Check { file }) => {
            config::check(&Configuration::load(file.as_deref().or(global.config.as_deref()))?)
        }
    }
}

async fn run_with(settings: Settings, global: &Global, command: Command, printer: &Printer) -> ExitCode {
    // What is written to a terminal as it comes does not go together with a bar.
    let streams = matches!(command, Command::Ls { .. } | Command::Dump { .. } | Command::Diff(_));
    let quiet = global.quiet || (streams && io::stdout().is_terminal());
    let reporter = Arc::new(Reporter::start(settings.general.progress.value, quiet));
    let rebuild = matches!(command, Command::Rebuild(_));
    let result = match Session::open(settings, *printer, reporter.clone(), rebuild).await {
        Ok(session) => {
            let changes = changes(&command);
            let answered = answer(&session, command).await;
            // Known once it has answered for the first time.
            let engine = session.volsnap.engine().ports().containers.as_ref().map_or("docker", |c| c.command());
            match answered {
                Ok(answer) => Ok(words::of_answer(Answer { of_deeds: changes, ..answer }, engine)),
                Err(error) => Err(words::of_error(&error, engine)),
            }
        }
        Err(error) => Err(error),
    };
    let recovered = reporter.finish();
    for item in &recovered {
        printer.note(&render::recovered_line(item));
    }
    printer.finish(result, &recovered)
}

/// Whether what a command has to tell is something that it did. Also a proof is kept.
fn changes(command: &Command) -> bool {
    match command {
        Command::Workload(WorkloadCommand::Add(args)) => !args.dry_run,
        Command::Workload(WorkloadCommand::Hook(command)) => !matches!(command, HookCommand::List { .. }),
        Command::Workload(WorkloadCommand::Remove { .. })
        | Command::Create(_)
        | Command::Extract(_)
        | Command::Clone(_)
        | Command::Drill(_)
        | Command::Verify(_)
        | Command::Restore(_)
        | Command::Undo { .. }
        | Command::Recover { dry_run: false, .. }
        | Command::Kept(KeptCommand::Archive { .. } | KeptCommand::Restore(_) | KeptCommand::Discard { .. })
        | Command::Pin(_)
        | Command::Unpin { .. }
        | Command::Delete(_)
        | Command::Prune(Prune { dry_run: false, .. })
        | Command::Export(_)
        | Command::Import(_)
        | Command::Rebuild(_)
        | Command::Doctor { fix: true } => true,
        Command::Workload(WorkloadCommand::List | WorkloadCommand::Discover | WorkloadCommand::Show { .. })
        | Command::List { .. }
        | Command::Show { .. }
        | Command::Ls { .. }
        | Command::Dump { .. }
        | Command::Diff(_)
        | Command::Plan(_)
        | Command::Recover { dry_run: true, .. }
        | Command::Status { .. }
        | Command::Kept(KeptCommand::List { .. })
        | Command::Prune(Prune { dry_run: true, .. })
        | Command::Doctor { fix: false }
        | Command::Events { .. } => false,
    }
}

async fn answer(session: &Session, command: Command) -> Result<Answer> {
    match command {
        Command::Workload(command) => workload::answer(session, command).await,
        Command::Create(args) => snapshot::create(session, args).await,
        Command::List { workload } => snapshot::list(session, workload.as_deref()).await,
        Command::Show { snapshot } => snapshot::show(session, &snapshot).await,
        Command::Ls { snapshot, path } => inside::ls(session, &snapshot, path).await,
        Command::Dump { snapshot, target, path } => inside::dump(session, &snapshot, &target, path).await,
        Command::Extract(args) => copies::extract(session, args).await,
        Command::Clone(args) => copies::clone(session, args).await,
        Command::Diff(args) => diff::diff(session, args).await,
        Command::Drill(args) => drill::drill(session, args).await,
        Command::Verify(args) => snapshot::verify(session, args).await,
        Command::Plan(args) => restore::plan(session, args).await,
        Command::Restore(args) => restore::restore(session, args).await,
        Command::Undo { workload, options, yes } => restore::undo(session, &workload, &options, yes).await,
        Command::Recover { workload, dry_run: false, no_hooks, take, without_missing } => {
            recovery::recover(session, workload.as_deref(), no_hooks, take, without_missing).await
        }
        Command::Recover { workload, dry_run: true, no_hooks: _, take: _, without_missing: _ }
        | Command::Status { workload } => recovery::status(session, workload.as_deref()).await,
        Command::Kept(command) => kept::answer(session, command).await,
        Command::Pin(args) => retention::pin(session, args).await,
        Command::Unpin { snapshot } => retention::unpin(session, &snapshot).await,
        Command::Delete(args) => retention::delete(session, args).await,
        Command::Prune(args) => retention::prune(session, args).await,
        Command::Export(args) => archives::export(session, args).await,
        Command::Import(args) => archives::import(session, args).await,
        Command::Rebuild(args) => archives::rebuild(session, args).await,
        Command::Doctor { fix } => doctor::doctor(session, fix).await,
        Command::Events { workload, limit } => trail::events(session, workload.as_deref(), limit).await,
    }
}
