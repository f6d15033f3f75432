//! `drill`.

use jiff::SignedDuration;
use volsnap::{BOOT_TIMEOUT, DrillRequest, Result, view::DrillView};

use crate::cli::{answer::Answer, args::Drill, render, session::Session, signals::Aim};

pub async fn drill(session: &Session, args: Drill) -> Result<Answer> {
    let workload = session.volsnap.workload(&args.workload).await?;
    let within = (args.snapshot == "latest").then_some(workload.id);
    let snapshot = session.volsnap.snapshot(within, &args.snapshot).await?;
    let timeout = args.boot_timeout.map_or(BOOT_TIMEOUT, SignedDuration::unsigned_abs);
    let boot = args.boot.then_some(timeout);
    let request = DrillRequest { workload, snapshot: snapshot.clone(), scratch: args.scratch, boot };
    let drilled = session.finish_with(Aim::Trial, session.volsnap.drill(request)).await?;
    let view = DrillView::of(&snapshot, &drilled);
    Ok(Answer::new(&view, render::drilled(&view))?.code(drilled.error().map(|error| error.code)))
}
