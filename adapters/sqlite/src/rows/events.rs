//! The audit trail: rows are added and never changed.

use sqlx::{SqliteConnection, SqlitePool, types::Json};
use volsnap_core::{
    model::WorkloadId,
    ports::{Event, EventKind},
};

use super::{columns_of, id, instant};
use crate::fault::Fault;

type Row = (String, i64, i32, String, String, Json<EventKind>, String, Json<serde_json::Value>);

pub(crate) async fn newest_first(
    readers: &SqlitePool,
    workload: Option<WorkloadId>,
    count_max: u32,
) -> Result<Vec<Event>, Fault> {
    let query = match workload {
        Some(id) => sqlx::query_as(
            "SELECT id, at_s, at_ns, workload, workload_name, kind, outcome, detail FROM events
             WHERE workload = $2 ORDER BY sequence DESC LIMIT $1",
        )
        .bind(count_max)
        .bind(id.to_string()),
        None => sqlx::query_as(
            "SELECT id, at_s, at_ns, workload, workload_name, kind, outcome, detail FROM events
             ORDER BY sequence DESC LIMIT $1",
        )
        .bind(count_max),
    };
    let rows: Vec<Row> = query.fetch_all(readers).await?;
    rows.into_iter().map(event).collect()
}

fn event((event_id, at_s, at_ns, workload, workload_name, kind, outcome, detail): Row) -> Result<Event, Fault> {
    Ok(Event {
        id: id(&event_id)?,
        at: instant(at_s, at_ns)?,
        workload: id(&workload)?,
        workload_name,
        kind: kind.0,
        outcome,
        detail: detail.0,
    })
}

/// An event whose id stands already is left as it stands: a crash may have it recorded twice.
pub(crate) async fn add(tx: &mut SqliteConnection, event: &Event) -> Result<(), Fault> {
    let (at_s, at_ns) = columns_of(event.at);
    sqlx::query(
        "INSERT INTO events (id, at_s, at_ns, workload, workload_name, kind, outcome, detail, sequence)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, (SELECT coalesce(max(sequence), 0) + 1 FROM events))
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(event.id.to_string())
    .bind(at_s)
    .bind(at_ns)
    .bind(event.workload.to_string())
    .bind(&event.workload_name)
    .bind(Json(event.kind))
    .bind(&event.outcome)
    .bind(Json(&event.detail))
    .execute(tx)
    .await?;
    Ok(())
}
