//! A host that embeds volsnap: snapshot, damage, restore with progress, undo; on plain directories in a scratch place.
//!
//! Run it with `cargo run --package volsnap --example embed`.

use std::{error::Error, fs, path::Path};

use volsnap::{NewWorkload, RestoreRequest, SnapshotRequest, Volsnap, restore::Options};

/// The whole of it.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let (data, config) = (scratch.path().join("data"), scratch.path().join("config"));
    fill(&data, "as it was")?;
    fill(&config, "as it was")?;

    // Opening finishes or rolls back what an earlier crash left: start no container before it returns.
    let volsnap = Volsnap::builder().state_dir(scratch.path().join("state")).without_containers().open().await?;
    println!("opened; {} operations were recovered", volsnap.recovered().len());

    let app = volsnap.add_workload(NewWorkload::directories("app", [("/data", &data), ("/config", &config)])).await?;
    let taken = volsnap.create(SnapshotRequest::of(app.clone())).await?;
    println!("took snapshot {}", taken.snapshot.id());

    fill(&data, "damaged")?;
    fs::remove_dir_all(&config)?;

    // What the plan shows is what happens: the restore is refused if the world has changed meanwhile.
    let mut request = RestoreRequest::of(app.clone(), taken.snapshot);
    let plan = volsnap.plan(&request).await?;
    for volume in &plan.volumes {
        println!("{} at {}: {:?}, since {}", volume.target, volume.live.display(), volume.method, volume.reason);
    }
    request.shown = Some(plan);

    // The operation runs in a task of its own. Dropping it would cancel it; it would still end in the original or the
    // restored data.
    let restore = volsnap.restore(request);
    let mut progress = restore.progress();
    let shown = tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            if let Some(now) = progress.borrow_and_update().clone() {
                println!("  {:?} {} {} bytes", now.phase, now.volume.unwrap_or_default(), now.bytes);
            }
        }
    });
    let report = restore.await?;
    shown.await?;
    println!("{:?} after {} ms of downtime: {}", report.outcome, report.downtime_ms, read(&data)?);

    let report = volsnap.undo(app, Options::default()).await?;
    println!("undone ({:?}): {}", report.outcome, read(&data)?);
    Ok(())
}

fn fill(dir: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("file"), text)
}

fn read(dir: &Path) -> std::io::Result<String> {
    fs::read_to_string(dir.join("file"))
}
