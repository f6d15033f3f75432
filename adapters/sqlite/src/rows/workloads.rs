//! Workloads with their hooks and declared volumes.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use sqlx::{SqliteConnection, SqlitePool, types::Json};
use volsnap_core::model::{DeclaredVolume, Hook, KnownVolume, Selector, Source, Workload, WorkloadId};

use super::{columns_of, id, instant};
use crate::fault::Fault;

type Row = (
    String,
    String,
    Json<Source>,
    Json<Selector>,
    i64,
    i32,
    Json<Vec<Hook>>,
    Json<Vec<KnownVolume>>,
    Option<String>,
    Option<Vec<u8>>,
);

/// All workloads by name. One statement: two could see two states of the catalog.
pub(crate) async fn all(readers: &SqlitePool) -> Result<Vec<Workload>, Fault> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT w.id, w.name, w.source, w.selector, w.created_s, w.created_ns, w.hooks, w.known_volumes, v.target, v.path
         FROM workloads w LEFT JOIN workload_volumes v ON v.workload = w.id
         ORDER BY w.name, v.position",
    )
    .fetch_all(readers)
    .await?;
    let mut workloads: Vec<Workload> = Vec::new();
    for (text, name, source, selector, created_s, created_ns, hooks, known, target, path) in rows {
        let id = id(&text)?;
        if workloads.last().is_none_or(|last| last.id != id) {
            workloads.push(Workload {
                id,
                name,
                source: source.0,
                selector: selector.0,
                volumes: Vec::new(),
                created_at: instant(created_s, created_ns)?,
                hooks: hooks.0,
                known: known.0,
            });
        }
        if let (Some(workload), Some(target), Some(path)) = (workloads.last_mut(), target, path) {
            workload.volumes.push(DeclaredVolume { target, path: OsString::from_vec(path).into() });
        }
    }
    Ok(workloads)
}

/// Adds a workload, or says which of its id and name is taken. Needs the write lock from its first statement on.
pub(crate) async fn add(tx: &mut SqliteConnection, workload: &Workload) -> Result<(), Fault> {
    refuse_taken(tx, workload).await?;
    let (created_s, created_ns) = columns_of(workload.created_at);
    sqlx::query(
        "INSERT INTO workloads (id, name, source, selector, created_s, created_ns, hooks, known_volumes)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(workload.id.to_string())
    .bind(&workload.name)
    .bind(Json(&workload.source))
    .bind(Json(&workload.selector))
    .bind(created_s)
    .bind(created_ns)
    .bind(Json(&workload.hooks))
    .bind(Json(&workload.known))
    .execute(&mut *tx)
    .await?;
    add_volumes(tx, workload).await
}

async fn add_volumes(tx: &mut SqliteConnection, workload: &Workload) -> Result<(), Fault> {
    for (position, volume) in (0_i64..).zip(&workload.volumes) {
        sqlx::query("INSERT INTO workload_volumes (workload, position, target, path) VALUES ($1, $2, $3, $4)")
            .bind(workload.id.to_string())
            .bind(position)
            .bind(&volume.target)
            .bind(volume.path.as_os_str().as_bytes())
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

async fn refuse_taken(tx: &mut SqliteConnection, workload: &Workload) -> Result<(), Fault> {
    let taken: Option<(String, String)> =
        sqlx::query_as("SELECT id, name FROM workloads WHERE id = $1 OR name = $2 LIMIT 1")
            .bind(workload.id.to_string())
            .bind(&workload.name)
            .fetch_optional(tx)
            .await?;
    match taken {
        None => Ok(()),
        Some((id, name)) if name == workload.name => {
            Err(Fault::Taken(format!("the name {name:?} is taken by workload {id}")))
        }
        Some((id, name)) => Err(Fault::Taken(format!("the id {id} is taken by workload {name:?}"))),
    }
}

/// Replaces what a workload is made of.
pub(crate) async fn set_registration(tx: &mut SqliteConnection, workload: &Workload) -> Result<(), Fault> {
    let id = workload.id.to_string();
    let changed = sqlx::query("UPDATE workloads SET source = $2, selector = $3, known_volumes = $4 WHERE id = $1")
        .bind(&id)
        .bind(Json(&workload.source))
        .bind(Json(&workload.selector))
        .bind(Json(&workload.known))
        .execute(&mut *tx)
        .await?;
    if changed.rows_affected() == 0 {
        return Ok(());
    }
    sqlx::query("DELETE FROM workload_volumes WHERE workload = $1").bind(&id).execute(&mut *tx).await?;
    add_volumes(tx, workload).await
}

/// Replaces the hooks of a workload.
pub(crate) async fn set_hooks(tx: &mut SqliteConnection, id: WorkloadId, hooks: &[Hook]) -> Result<(), Fault> {
    let update = sqlx::query("UPDATE workloads SET hooks = $2 WHERE id = $1");
    update.bind(id.to_string()).bind(Json(hooks)).execute(tx).await?;
    Ok(())
}

/// Replaces what is known of a workload's volumes.
pub(crate) async fn set_known(tx: &mut SqliteConnection, id: WorkloadId, known: &[KnownVolume]) -> Result<(), Fault> {
    let update = sqlx::query("UPDATE workloads SET known_volumes = $2 WHERE id = $1");
    update.bind(id.to_string()).bind(Json(known)).execute(tx).await?;
    Ok(())
}

/// Removes a workload; its volumes go with it.
pub(crate) async fn remove(tx: &mut SqliteConnection, id: WorkloadId) -> Result<(), Fault> {
    sqlx::query("DELETE FROM workloads WHERE id = $1").bind(id.to_string()).execute(tx).await?;
    Ok(())
}
