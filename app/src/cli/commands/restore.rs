//! `plan`, `restore` and `undo`.

use std::{
    fmt::Display,
    fs::File,
    io::{self, Read},
    path::Path,
};

use volsnap::{
    Code, Error, RestoreRequest, Result, SavedPlan, Volsnap,
    model::{ImageChoice, Redeploy, Workload},
    restore::{Options, Outcome, Plan, Report, plan::OnUnhealthy},
    view::{PlanView, ReportView},
};

use super::changes;
use crate::cli::{
    answer::{Answer, tell},
    args::{self, ImageArg, RedeployArg, RestoreOptions, Unhealthy, What},
    ask,
    config::Timeout,
    plain, render,
    session::Session,
    width::Width,
};

/// A plan with refusals is an answer too: it shows all of them.
pub async fn plan(session: &Session, args: args::Plan) -> Result<Answer> {
    let request = request(session, args.what, &args.options).await?;
    let plan = session.with_hooks(!args.options.no_hooks).plan(&request).await?;
    let mut view = view(session, &request, &plan).await?;
    view.saved = Some(session.volsnap.save_plan(&request, plan)?);
    let refused = (!view.refusals.is_empty()).then_some(Code::Refused);
    Ok(Answer::new(&view, render::plan(&view, Width::of(&io::stdout())))?.code(refused))
}

pub async fn restore(session: &Session, args: args::Restore) -> Result<Answer> {
    let asks = !args.yes;
    if asks && !ask::is_possible() {
        return Err(Error::new(Code::Usage, "there is no terminal to ask whether the restore should begin")
            .hint("look at `volsnap plan WORKLOAD SNAPSHOT`, then give --yes"));
    }
    let volsnap = session.with_hooks(!args.options.no_hooks);
    let wish = Wish::of(session, args).await?;
    let workload = wish.workload(session).await?;
    // Looked up before anything is recovered: it may be the very restore that a crash interrupted. Then the plan has been
    // shown and agreed to.
    let resumes = match wish.request(session).await {
        Ok(request) => volsnap.resumes(&request).await?,
        Err(_) => false,
    };
    if !resumes {
        settle(session, &volsnap, workload).await?;
    }
    let mut request = wish.request(session).await?;
    if asks && !resumes {
        agree(session, &volsnap, &mut request).await?;
    }
    let report = session.finish(volsnap.restore(request)).await?;
    answer(session, &report)
}

/// Asks only where there is somebody to ask, so that scripts may go back as they always could.
pub async fn undo(session: &Session, workload: &str, options: &RestoreOptions, yes: bool) -> Result<Answer> {
    let workload = session.volsnap.workload(workload).await?;
    let volsnap = session.with_hooks(!options.no_hooks);
    let options = chosen(session, &workload.name, options)?;
    if yes || !ask::is_possible() {
        let report = session.finish(volsnap.undo(workload, options)).await?;
        return answer(session, &report);
    }
    let resumes = match session.volsnap.undo_request(&workload, options).await {
        Ok(request) => session.volsnap.resumes(&request).await?,
        Err(_) => false,
    };
    if !resumes {
        settle(session, &volsnap, workload.clone()).await?;
    }
    let mut request = session.volsnap.undo_request(&workload, options).await?;
    if !resumes {
        agree(session, &volsnap, &mut request).await?;
    }
    let report = session.finish(volsnap.restore(request)).await?;
    answer(session, &report)
}

/// What is to be restored: as it was typed, or as a plan in a file says.
enum Wish {
    Typed(What, RestoreOptions),
    Planned(Box<SavedPlan>),
}

impl Wish {
    async fn of(session: &Session, args: args::Restore) -> Result<Wish> {
        let args::Restore { workload, snapshot, volumes, plan, options, yes: _ } = args;
        match (plan, workload, snapshot) {
            (Some(file), workload, snapshot) => {
                let about = |error: Error| error.context(format_args!("plan {}", file.display()));
                let saved = SavedPlan::read(&read(&file)?).map_err(about)?;
                agrees(session, &saved.plan, workload.as_deref(), snapshot.as_deref()).await?;
                Ok(Wish::Planned(Box::new(saved)))
            }
            (None, Some(workload), Some(snapshot)) => Ok(Wish::Typed(What { workload, snapshot, volumes }, options)),
            (None, _, _) => Err(Error::new(Code::Usage, "neither a plan nor a workload with a snapshot was given")
                .hint("`volsnap restore WORKLOAD SNAPSHOT`, or `volsnap restore --plan FILE`")),
        }
    }

    /// As it is registered, or as the plan knows it: then the plan says what has become of it.
    async fn workload(&self, session: &Session) -> Result<Workload> {
        match self {
            Wish::Typed(what, _) => session.volsnap.workload(&what.workload).await,
            Wish::Planned(saved) => {
                session.volsnap.planned(saved).await?;
                Ok(saved.plan.workload.clone())
            }
        }
    }

    async fn request(&self, session: &Session) -> Result<RestoreRequest> {
        match self {
            Wish::Typed(what, options) => request(session, what.clone(), options).await,
            Wish::Planned(saved) => session.volsnap.planned(saved).await,
        }
    }
}

/// More is no plan: those are kilobytes.
const PLAN_BYTES_MAX: u64 = 16 << 20;

/// The text of a plan, of which no more is read than a plan may have: a device never ends.
fn read(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => io::stdin().lock().take(PLAN_BYTES_MAX + 1).read_to_end(&mut bytes),
        false => File::open(file).and_then(|file| file.take(PLAN_BYTES_MAX + 1).read_to_end(&mut bytes)),
    };
    let no_plan = |code, what: &dyn Display| {
        Error::new(code, format!("plan {}: {what}", file.display()))
            .hint("`volsnap plan WORKLOAD SNAPSHOT --json > FILE` writes one")
    };
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_plan(Code::NotFound, &error)),
        Err(error) => return Err(no_plan(Code::Io, &error)),
        Ok(_) if bytes.len() as u64 > PLAN_BYTES_MAX => {
            return Err(no_plan(Code::Usage, &"it is longer than 16 MiB, and so is no plan"));
        }
        Ok(_) => {}
    }
    String::from_utf8(bytes).map_err(|_| no_plan(Code::Usage, &"it is not UTF-8, and so is no plan"))
}

/// What is typed beside a plan must be what the plan is of.
async fn agrees(session: &Session, plan: &Plan, workload: Option<&str>, snapshot: Option<&str>) -> Result<()> {
    let disagree = |what: &str, plans: &str, typed: &str| {
        Error::new(Code::Usage, format!("the plan is of {what} {plans}, and not of {typed}"))
            .hint("leave WORKLOAD and SNAPSHOT away to apply the plan, or make another one")
    };
    if let Some(typed) = workload
        && typed != plan.workload.name
        && typed != plan.workload.id.to_string()
    {
        return Err(disagree("workload", &plan.workload.name, typed));
    }
    let Some(typed) = snapshot else { return Ok(()) };
    if typed == plan.snapshot.to_string() {
        return Ok(());
    }
    let within = (typed == "latest").then_some(plan.workload.id);
    match session.volsnap.snapshot(within, typed).await?.id() == plan.snapshot {
        true => Ok(()),
        false => Err(disagree("snapshot", &plan.snapshot.to_string(), typed)),
    }
}

/// Ends what a crash left. The question comes next: from then on a signal ends the process again.
async fn settle(session: &Session, volsnap: &Volsnap, workload: Workload) -> Result<()> {
    let settled = session.finish(volsnap.settle(workload)).await;
    let interrupted = session.was_interrupted();
    session.heed();
    settled?;
    match interrupted {
        true => Err(Error::new(Code::Aborted, "interrupted before the restore began")
            .hint("what an earlier crash left was ended; run the command again when you are ready")),
        false => Ok(()),
    }
}

/// Shows the plan and asks. What is agreed to is what is done, or nothing is.
pub async fn agree(session: &Session, volsnap: &Volsnap, request: &mut RestoreRequest) -> Result<()> {
    let plan = volsnap.plan(request).await?;
    let view = view(session, request, &plan).await?;
    let width = Width::of(&io::stderr());
    tell(&width.wrapped(&plain::text(&render::plan(&view, width)), 2));
    plan.check()?;
    if let Some(difference) = request.shown.as_ref().and_then(|shown| plan.differs_from(shown)) {
        return Err(Error::new(
            Code::Refused,
            format!("the world has changed since the plan was made: {difference}"),
        )
        .hint("nothing was touched; what is shown above is the plan as it would be made now: write it to a file again"));
    }
    ask::ask(&render::question(&view)).await?;
    request.shown = Some(plan);
    Ok(())
}

/// A plan that would be refused is never carried out, so nothing is counted and nothing foretold of it.
async fn view(session: &Session, request: &RestoreRequest, plan: &Plan) -> Result<PlanView> {
    let view = PlanView::of(plan);
    match plan.refusals.is_empty() {
        true => {
            // What is kept is in no archive, and not compared.
            let view = match request.kept {
                Some(_) => view,
                None => changes::counted(session, &request.snapshot, view).await,
            };
            Ok(view.with_forecast(plan, &session.volsnap.forecast(plan).await?))
        }
        false => Ok(view),
    }
}

async fn request(session: &Session, what: What, options: &RestoreOptions) -> Result<RestoreRequest> {
    let workload = session.volsnap.workload(&what.workload).await?;
    // By a whole id or a prefix, another workload's snapshot is found too: the plan then says that it is not this one's.
    let within = (what.snapshot == "latest").then_some(workload.id);
    let snapshot = session.volsnap.snapshot(within, &what.snapshot).await?;
    let options = chosen(session, &workload.name, options)?;
    Ok(RestoreRequest { targets: what.volumes, options, ..RestoreRequest::of(workload, snapshot) })
}

/// What was asked for, over what is usual for the workload.
pub fn chosen(session: &Session, workload: &str, options: &RestoreOptions) -> Result<Options> {
    let usual = &session.settings.section_of(workload).restore;
    let too_long =
        |error| Error::new(Code::Usage, format!("--health-timeout: {error}")).hint("give a shorter one, such as `2m`");
    let Timeout(timeout) = options.health_timeout.unwrap_or(usual.health_timeout.value);
    Ok(Options {
        health_timeout: timeout.map(|d| d.try_into().map_err(too_long)).transpose()?,
        on_unhealthy: match options.on_unhealthy.unwrap_or(usual.on_unhealthy.value) {
            Unhealthy::Revert => OnUnhealthy::Revert,
            Unhealthy::Keep => OnUnhealthy::Keep,
        },
        safety_snapshot: options.no_safety_snapshot.map_or(usual.safety_snapshot.value, |no| !no),
        redeploy: match options.redeploy.unwrap_or(usual.redeploy.value) {
            RedeployArg::Recreate => Redeploy::Recreate,
            RedeployArg::Restart => Redeploy::Restart,
        },
        devices: options.allow_devices.unwrap_or(usual.allow_devices.value),
        resume: options.resume.unwrap_or(usual.resume.value),
        image: match options.image {
            None | Some(ImageArg::Current) => ImageChoice::Current,
            Some(ImageArg::Snapshot) => ImageChoice::Snapshot,
        },
        stop_one_offs: options.stop_one_offs,
    })
}

/// A bad archive and a late refusal are errors, as they are when they are found before the restore begins.
pub fn answer(session: &Session, report: &Report) -> Result<Answer> {
    let code = report.code();
    let view = ReportView::of(report);
    if let (Some(code @ (Code::Corrupt | Code::Hostile | Code::Refused)), Some(cause)) = (code, &view.cause) {
        let message =
            format!("{}; {} runs on its original data, nothing of it was touched", cause.message, report.workload);
        return Err(Error { code, message, hint: cause.hint.clone() });
    }
    if session.was_interrupted() && report.outcome == Outcome::Restored {
        session.printer.note("the interruption came after the switch had begun, so the restore was finished");
    }
    Ok(Answer::new(&view, render::report(&view))?.code(code))
}
