//! The schema's versions: what this code knows, and how an older file is brought up to it.

use std::borrow::Cow;

use sqlx::{
    Connection, SqlSafeStr, SqliteConnection,
    migrate::{AppliedMigration, Migrate, Migration, MigrationType},
};

use crate::fault::Fault;

/// `PRAGMA application_id` of a catalog: "volS".
const APPLICATION_ID: i64 = 0x766f_6c53;

/// Where sqlx notes what was applied.
const NOTES: &str = "_sqlx_migrations";

/// All migrations, oldest first. Each is frozen once released: its checksum stands in every catalog.
fn known() -> Vec<Migration> {
    let first = include_str!("../migrations/0001_catalog.sql").into_sql_str();
    let hooks = include_str!("../migrations/0002_hooks.sql").into_sql_str();
    let order = include_str!("../migrations/0003_order.sql").into_sql_str();
    let known_volumes = include_str!("../migrations/0004_known_volumes.sql").into_sql_str();
    vec![
        Migration::new(1, Cow::Borrowed("catalog"), MigrationType::Simple, first, false),
        Migration::new(2, Cow::Borrowed("hooks"), MigrationType::Simple, hooks, false),
        Migration::new(3, Cow::Borrowed("order"), MigrationType::Simple, order, false),
        Migration::new(4, Cow::Borrowed("known volumes"), MigrationType::Simple, known_volumes, false),
    ]
}

/// Brings the schema up to date. The whole of it is one transaction: a crash leaves the old version or the new.
///
/// Not sqlx's own `Migrator`: on SQLite it takes no lock, so of two processes that start together one would fail.
pub(crate) async fn migrate(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    tx.ensure_migrations_table(NOTES).await?;
    let applied = tx.list_applied_migrations(NOTES).await?;
    for migration in missing(&applied)? {
        tx.apply(NOTES, &migration).await?;
    }
    Ok(tx.commit().await?)
}

/// Whether the schema is up to date, without a write lock; a file that is no catalog, or a later one, is a failure.
pub(crate) async fn is_current(connection: &mut SqliteConnection) -> Result<bool, Fault> {
    let id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    if id != APPLICATION_ID {
        return Err(Fault::Damaged(format!("application id {id:#x} is not a catalog's ({APPLICATION_ID:#x})")));
    }
    let applied = connection.list_applied_migrations(NOTES).await?;
    Ok(missing(&applied)?.is_empty())
}

/// The migrations that have yet to be applied; those that were must be ours, and from the oldest on without a gap.
fn missing(applied: &[AppliedMigration]) -> Result<Vec<Migration>, Fault> {
    let mut known = known();
    let newest_known = known.last().map_or(0, |migration| migration.version);
    if let Some(newest) = applied.last().filter(|newest| newest.version > newest_known) {
        let version = newest.version;
        return Err(Fault::Newer(format!(
            "schema version {version} is newer than {newest_known}, the last known here"
        )));
    }
    for (ours, theirs) in known.iter().zip(applied) {
        if ours.version != theirs.version || ours.checksum != theirs.checksum {
            return Err(Fault::Damaged(format!("schema version {} is not ours", theirs.version)));
        }
    }
    Ok(known.split_off(applied.len().min(known.len())))
}
