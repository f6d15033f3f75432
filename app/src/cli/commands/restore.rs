//! `plan`, `restore` and `undo`.

use std::io::{self, IsTerminal};

use volsnap::{
    Code, Error, RestoreRequest, Result,
    model::Redeploy,
    restore::{Options, Report, plan::OnUnhealthy},
    view::{PlanView, ReportView},
};

use crate::cli::{
    answer::{Answer, tell},
    args::{self, RedeployArg, RestoreOptions, Unhealthy, What},
    config::Timeout,
    render,
    session::Session,
};

/// A plan with refusals is an answer too: it shows all of them.
pub async fn plan(session: &Session, args: args::Plan) -> Result<Answer> {
    let request = request(session, args.what, &args.options).await?;
    let plan = session.with_hooks(!args.options.no_hooks).plan(&request).await?;
    let view = PlanView::of(&plan);
    let refused = (!view.refusals.is_empty()).then_some(Code::Refused);
    Ok(Answer::new(&view, render::plan(&view))?.code(refused))
}

pub async fn restore(session: &Session, args: args::Restore) -> Result<Answer> {
    let asks = !args.yes;
    if asks && !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Error::new(Code::Usage, "there is no terminal to ask whether the restore should begin")
            .hint("look at `volsnap plan`, then give --yes"));
    }
    let volsnap = session.with_hooks(!args.options.no_hooks);
    let workload = volsnap.workload(&args.what.workload).await?;
    // Looked up before anything is recovered: it may be the very restore that a crash interrupted. Then the plan has been
    // shown and agreed to.
    let resumes = match request(session, args.what.clone(), &args.options).await {
        Ok(request) => volsnap.resumes(&request).await?,
        Err(_) => false,
    };
    if !resumes {
        session.finish(volsnap.settle(workload.clone())).await?;
    }
    let mut request = request(session, args.what, &args.options).await?;
    if asks && !resumes {
        let plan = volsnap.plan(&request).await?;
        tell(&render::plan(&PlanView::of(&plan)));
        plan.check()?;
        ask(&workload.name).await?;
        request.shown = Some(plan);
    }
    let report = session.finish(volsnap.restore(request)).await?;
    answer(&report)
}

pub async fn undo(session: &Session, workload: &str, options: &RestoreOptions) -> Result<Answer> {
    let workload = session.volsnap.workload(workload).await?;
    let no_hooks = options.no_hooks;
    let options = chosen(session, &workload.name, options)?;
    let report = session.finish(session.with_hooks(!no_hooks).undo(workload, options)).await?;
    answer(&report)
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
fn chosen(session: &Session, workload: &str, options: &RestoreOptions) -> Result<Options> {
    let usual = &session.settings.section_of(workload).restore;
    let too_long = |error| Error::new(Code::Usage, format!("--health-timeout: {error}"));
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
    })
}

/// Asks on the terminal, off the runtime's threads; anything but yes is no.
async fn ask(workload: &str) -> Result<()> {
    let question = format!("Restore {workload} as shown?");
    let asked = tokio::task::spawn_blocking(move || {
        dialoguer::Confirm::new().with_prompt(question).default(false).interact_opt()
    });
    let answer = asked.await.map_err(|error| Error::new(Code::Internal, format!("the question: {error}")))?;
    match answer {
        Ok(Some(true)) => Ok(()),
        Ok(Some(false) | None) => Err(Error::new(Code::Refused, "not restored: the answer was no")
            .hint("nothing was touched; give --yes to restore without a question")),
        Err(error) => Err(Error::new(Code::Usage, format!("the question could not be asked: {error}"))
            .hint("look at `volsnap plan`, then give --yes")),
    }
}

/// A bad archive and a late refusal are errors, as they are when they are found before the restore begins.
fn answer(report: &Report) -> Result<Answer> {
    let code = report.code();
    if let (Some(code @ (Code::Corrupt | Code::Hostile | Code::Refused)), Some(cause)) = (code, &report.cause) {
        let message =
            format!("{}; {} runs on its original data, nothing of it was touched", cause.message, report.workload);
        let hint = cause.hint.clone().or_else(|| usual_hint(code).map(Into::into));
        return Err(Error { code, message, hint });
    }
    let view = ReportView::of(report);
    Ok(Answer::new(&view, render::report(&view))?.code(code))
}

/// The journal keeps a cause without its hint.
fn usual_hint(code: Code) -> Option<&'static str> {
    match code {
        Code::Corrupt => Some("choose another snapshot; `volsnap verify --all` shows which are good"),
        Code::Hostile => Some("do not trust this archive; find out where it came from"),
        Code::Refused => Some("`volsnap plan` shows what stands in the way"),
        Code::Internal
        | Code::Io
        | Code::Engine
        | Code::Usage
        | Code::Aborted
        | Code::Warnings
        | Code::NeedsAttention
        | Code::Busy
        | Code::NotFound => None,
    }
}
