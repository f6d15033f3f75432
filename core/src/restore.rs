//! Pure decisions about a restore.
