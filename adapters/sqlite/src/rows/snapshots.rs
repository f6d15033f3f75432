//! Snapshots: the whole as JSON, and beside it the columns that are searched and sorted by.

use sqlx::{SqliteConnection, SqlitePool, types::Json};
use volsnap_core::model::{Mark, Snapshot, SnapshotId, WorkloadId};

use super::columns_of;
use crate::fault::Fault;

pub(crate) async fn newest_first(readers: &SqlitePool, workload: Option<WorkloadId>) -> Result<Vec<Snapshot>, Fault> {
    let query = match workload {
        Some(id) => sqlx::query_scalar(
            "SELECT body FROM snapshots WHERE workload = $1
             ORDER BY sequence DESC, created_s DESC, created_ns DESC, id DESC",
        )
        .bind(id.to_string()),
        None => sqlx::query_scalar(
            "SELECT body FROM snapshots ORDER BY sequence DESC, created_s DESC, created_ns DESC, id DESC",
        ),
    };
    let bodies: Vec<Json<Snapshot>> = query.fetch_all(readers).await?;
    Ok(bodies.into_iter().map(|Json(snapshot)| snapshot).collect())
}

pub(crate) async fn put(tx: &mut SqliteConnection, snapshot: &Snapshot) -> Result<(), Fault> {
    let (created_s, created_ns) = columns_of(snapshot.created_at());
    let sequence = column_of(snapshot.order().0);
    sqlx::query("UPDATE sequence SET last = max(last, $1)").bind(sequence).execute(&mut *tx).await?;
    sqlx::query(
        "INSERT INTO snapshots (id, workload, created_s, created_ns, body, sequence) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET workload = excluded.workload, created_s = excluded.created_s,
             created_ns = excluded.created_ns, body = excluded.body, sequence = excluded.sequence",
    )
    .bind(snapshot.id().to_string())
    .bind(snapshot.workload().to_string())
    .bind(created_s)
    .bind(created_ns)
    .bind(Json(snapshot))
    .bind(sequence)
    .execute(tx)
    .await?;
    Ok(())
}

/// The greatest sequence that was given out.
pub(crate) async fn sequence(readers: &SqlitePool) -> Result<u64, Fault> {
    let last: i64 = sqlx::query_scalar("SELECT last FROM sequence").fetch_one(readers).await?;
    Ok(last.try_into().unwrap_or(0))
}

/// Gives out the next one.
pub(crate) async fn advance(tx: &mut SqliteConnection, above: u64) -> Result<u64, Fault> {
    let next: i64 = sqlx::query_scalar("UPDATE sequence SET last = max(last, $1) + 1 RETURNING last")
        .bind(column_of(above))
        .fetch_one(tx)
        .await?;
    Ok(next.try_into().unwrap_or(0))
}

/// No catalog comes near the end of the range; an archive that somebody forged may say so, and must leave room above it.
fn column_of(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX).min(i64::MAX / 2)
}

/// Within one immediate transaction, so nobody else writes between the look and the change.
pub(crate) async fn mark(tx: &mut SqliteConnection, id: SnapshotId, mark: &Mark) -> Result<bool, Fault> {
    let body: Option<Json<Snapshot>> = sqlx::query_scalar("SELECT body FROM snapshots WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(Json(mut snapshot)) = body else { return Ok(false) };
    snapshot.mark(mark);
    put(tx, &snapshot).await?;
    Ok(true)
}

pub(crate) async fn remove(tx: &mut SqliteConnection, id: SnapshotId) -> Result<(), Fault> {
    sqlx::query("DELETE FROM snapshots WHERE id = $1").bind(id.to_string()).execute(tx).await?;
    Ok(())
}

pub(crate) async fn remove_all_of(tx: &mut SqliteConnection, workload: WorkloadId) -> Result<(), Fault> {
    sqlx::query("DELETE FROM snapshots WHERE workload = $1").bind(workload.to_string()).execute(tx).await?;
    Ok(())
}
