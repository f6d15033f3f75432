//! `extract` and `clone`.

use std::os::unix::ffi::OsStringExt;

use volsnap::{
    CloneRequest, Code, Copied, Error, ExtractRequest, Result,
    model::{IdMap, Owners, Snapshot},
    view::CopyView,
};

use crate::cli::{
    answer::Answer,
    args::{Clone, Extract, OwnerOptions},
    render,
    session::Session,
    signals::Aim,
};

pub async fn extract(session: &Session, args: Extract) -> Result<Answer> {
    let snapshot = session.volsnap.snapshot(None, &args.snapshot).await?;
    // Only root may give files away.
    let mine = args.no_owner || !rustix::process::geteuid().is_root();
    let owners = match mine && args.owners.map_uid.is_empty() && args.owners.map_gid.is_empty() {
        true => Owners::Mine,
        false => mapped(&args.owners)?,
    };
    let request = ExtractRequest {
        snapshot: snapshot.clone(),
        dir: args.dir.clone(),
        targets: args.volumes,
        paths: args.paths.into_iter().map(OsStringExt::into_vec).collect(),
        owners,
        devices: args.owners.allow_devices,
    };
    let copied = session.finish_with(Aim::Copy, session.volsnap.extract(request)).await?;
    answer(session, &snapshot, &copied, "extracted")
}

pub async fn clone(session: &Session, args: Clone) -> Result<Answer> {
    let workload = session.volsnap.workload(&args.workload).await?;
    let within = (args.snapshot == "latest").then_some(workload.id);
    let snapshot = session.volsnap.snapshot(within, &args.snapshot).await?;
    let request = CloneRequest {
        workload,
        snapshot: snapshot.clone(),
        places: args.volumes.into_iter().map(|volume| (volume.target, volume.path)).collect(),
        owners: mapped(&args.owners)?,
        devices: args.owners.allow_devices,
    };
    let copied = session.finish_with(Aim::Copy, session.volsnap.clone_volumes(request)).await?;
    answer(session, &snapshot, &copied, "cloned")
}

fn mapped(options: &OwnerOptions) -> Result<Owners> {
    let map = |name: &str, ranges: &[_]| {
        IdMap::new(ranges.to_vec()).map_err(|error| {
            Error::new(Code::Usage, format!("{name}: {error}")).hint("give ranges FROM:TO:COUNT that do not meet")
        })
    };
    Ok(Owners::Mapped { uids: map("--map-uid", &options.map_uid)?, gids: map("--map-gid", &options.map_gid)? })
}

fn answer(session: &Session, snapshot: &Snapshot, copied: &Copied, done: &str) -> Result<Answer> {
    let view = CopyView::of(snapshot, copied);
    for warning in &view.warnings {
        session.printer.note(&format!("warning: {warning}"));
    }
    Answer::new(&view, render::copied(&view, done))
}
