//! Settings: a text under a key.

use sqlx::{SqliteConnection, SqlitePool};

use crate::fault::Fault;

pub(crate) async fn get(readers: &SqlitePool, key: &str) -> Result<Option<String>, Fault> {
    let value = sqlx::query_scalar("SELECT value FROM settings WHERE key = $1").bind(key);
    Ok(value.fetch_optional(readers).await?)
}

pub(crate) async fn set(tx: &mut SqliteConnection, key: &str, value: &str) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(tx)
    .await?;
    Ok(())
}
