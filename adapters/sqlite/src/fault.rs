//! What went wrong inside the adapter, and which of the port's failures it is.

use std::{io, path::Path};

use sqlx::{error::DatabaseError, migrate::MigrateError};
use volsnap_core::ports::{StoreError, StoreErrorKind};

use crate::birth::directory_of;

/// A failure before it is put into the port's words.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite or sqlx.
    Sql(sqlx::Error),
    /// The file is not a whole catalog.
    Damaged(String),
    /// The schema is of a later version than this code knows.
    Newer(String),
    /// A name or an id is taken.
    Taken(String),
    /// Somebody else held it for too long.
    Busy(String),
    /// A file or directory beside the database.
    Disk(String, io::Error),
}

impl Fault {
    /// Whether it was for want of space. SQLite says so of what it cannot write, and not of what it cannot make: there the
    /// filesystem of the catalog is asked.
    pub(crate) fn is_full(&self, catalog: &Path) -> bool {
        let code = match self {
            Fault::Sql(error) => error.as_database_error().map_or(0, extended_code),
            Fault::Disk(_, error) => return error.kind() == io::ErrorKind::StorageFull,
            Fault::Damaged(_) | Fault::Newer(_) | Fault::Taken(_) | Fault::Busy(_) => return false,
        };
        match (code, code & 0xff) {
            (libsqlite3_sys::SQLITE_IOERR_SHMSIZE, _) | (_, libsqlite3_sys::SQLITE_FULL) => true,
            (_, libsqlite3_sys::SQLITE_IOERR | libsqlite3_sys::SQLITE_CANTOPEN) => is_used_up(directory_of(catalog)),
            _ => false,
        }
    }
}

/// Some filesystems count no inodes.
fn is_used_up(directory: &Path) -> bool {
    rustix::fs::statvfs(directory).is_ok_and(|fs| fs.f_bavail == 0 || fs.f_files > 0 && fs.f_favail == 0)
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Fault::Sql(error)
    }
}

impl From<MigrateError> for Fault {
    fn from(error: MigrateError) -> Self {
        if let MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) = error {
            return Fault::Sql(inner);
        }
        // What is left are contradictions between the file's list of migrations and ours.
        Fault::Damaged(error.to_string())
    }
}

/// Puts a failure into the port's words, with what was being done and to which file.
pub(crate) trait At<T> {
    /// `doing` reads as in "listing workloads".
    fn at(self, doing: &str, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for Result<T, Fault> {
    fn at(self, doing: &str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|fault| {
            let is_full = fault.is_full(path);
            let (kind, what) = match fault {
                Fault::Sql(error) => (kind_of(&error), error.to_string()),
                Fault::Damaged(what) => (StoreErrorKind::Corrupt, what),
                Fault::Newer(what) => (StoreErrorKind::Newer, what),
                Fault::Taken(what) => return StoreError::new(StoreErrorKind::Exists, what),
                Fault::Busy(what) => (StoreErrorKind::Busy, what),
                Fault::Disk(what, error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    (StoreErrorKind::Denied, format!("{what}: {error}"))
                }
                Fault::Disk(what, error) => (StoreErrorKind::Io, format!("{what}: {error}")),
            };
            let kind = if is_full { StoreErrorKind::NoSpace } else { kind };
            StoreError::new(kind, format!("{doing} in {}: {what}", path.display()))
        })
    }
}

fn kind_of(error: &sqlx::Error) -> StoreErrorKind {
    if let Some(database) = error.as_database_error() {
        return kind_of_code(database);
    }
    // Only our own code writes rows, so a value of another type or a text that does not parse is damage.
    let unreadable = matches!(
        error,
        sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::RowNotFound
    );
    if unreadable {
        StoreErrorKind::Corrupt
    } else if matches!(error, sqlx::Error::PoolTimedOut) {
        StoreErrorKind::Busy
    } else {
        StoreErrorKind::Io
    }
}

/// By SQLite's primary result code, the low byte of the extended one (<https://www.sqlite.org/rescode.html>).
fn kind_of_code(error: &dyn DatabaseError) -> StoreErrorKind {
    match extended_code(error) & 0xff {
        libsqlite3_sys::SQLITE_PERM => StoreErrorKind::Denied,
        libsqlite3_sys::SQLITE_CORRUPT | libsqlite3_sys::SQLITE_NOTADB | libsqlite3_sys::SQLITE_FORMAT => {
            StoreErrorKind::Corrupt
        }
        // Our statements are fixed and tested against the schema: a table or column that is missing is damage.
        libsqlite3_sys::SQLITE_ERROR | libsqlite3_sys::SQLITE_MISMATCH => StoreErrorKind::Corrupt,
        libsqlite3_sys::SQLITE_BUSY | libsqlite3_sys::SQLITE_LOCKED => StoreErrorKind::Busy,
        libsqlite3_sys::SQLITE_CONSTRAINT if error.is_unique_violation() => StoreErrorKind::Exists,
        _ => StoreErrorKind::Io,
    }
}

fn extended_code(error: &dyn DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or(0)
}
