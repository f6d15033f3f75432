//! `workload hook add`, `list` and `remove`.

use volsnap::{
    Code, Error, Result,
    model::{HOOK_TIMEOUT, Hook, Workload},
    view::HooksView,
};

use crate::cli::{
    answer::Answer,
    args::{HookAdd, HookCommand},
    render,
    session::Session,
};

pub async fn answer(session: &Session, command: HookCommand) -> Result<Answer> {
    match command {
        HookCommand::Add(args) => add(session, args).await,
        HookCommand::List { workload } => shown(session, &session.volsnap.workload(&workload).await?),
        HookCommand::Remove { workload, number } => {
            let workload = session.volsnap.workload(&workload).await?;
            shown(session, &session.finish(session.volsnap.remove_hook(workload, number)).await?)
        }
    }
}

async fn add(session: &Session, args: HookAdd) -> Result<Answer> {
    let too_long = |error| Error::new(Code::Usage, format!("--timeout: {error}"));
    let timeout = args.timeout.map(|d| d.try_into().map_err(too_long)).transpose()?.unwrap_or(HOOK_TIMEOUT);
    let hook = Hook { at: args.at.into(), container: args.container, command: args.command, timeout };
    let workload = session.volsnap.workload(&args.workload).await?;
    shown(session, &session.finish(session.volsnap.add_hook(workload, hook)).await?)
}

/// The hooks as they are now: also the answer to a change of them.
fn shown(session: &Session, workload: &Workload) -> Result<Answer> {
    let view = HooksView::of(workload, session.volsnap.host_hooks(workload));
    Answer::new(&view, render::hooks(&view))
}
