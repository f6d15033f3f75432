//! How a catalog comes into being: built beside, made durable, then named, so that it is whole or not there.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep};

use crate::{fault::Fault, open, schema};

/// Names that SQLite uses beside a database.
pub(crate) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Makes a catalog at `path` if nothing has that name. Whatever has it, a damaged catalog too, stays untouched.
pub(crate) async fn ensure_exists(path: &Path, patience: Duration) -> Result<(), Fault> {
    if is_there(path)? {
        return Ok(());
    }
    let path = path.to_path_buf();
    // A task of its own: it runs to its end when the caller is cancelled, and never leaves a half-built draft behind
    // that is still being written to.
    let birth = tokio::spawn(async move {
        let _turn = take_turn(directory_of(&path), patience).await?;
        match is_there(&path)? {
            true => Ok(()), // another process was faster
            false => make(&path, patience).await,
        }
    });
    birth.await.map_err(|e| Fault::Disk("making it".into(), io::Error::other(e)))?
}

/// Only "not found" is absence. A link that leads nowhere is there: what it leads to may not be mounted yet.
pub(crate) fn is_there(path: &Path) -> Result<bool, Fault> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Fault::Disk("looking at it".into(), error)),
    }
}

/// One process at a time makes a catalog in a directory: the directory's advisory lock, given back when the handle
/// goes, also by a crash.
pub(crate) async fn take_turn(directory: &Path, patience: Duration) -> Result<File, Fault> {
    let disk = |error| Fault::Disk(format!("locking the directory {}", directory.display()), error);
    let handle = File::open(directory).map_err(disk)?;
    let deadline = Instant::now() + patience;
    loop {
        match handle.try_lock() {
            Ok(()) => return Ok(handle),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(Duration::from_millis(10)).await,
            Err(TryLockError::WouldBlock) => {
                return Err(Fault::Busy(format!("the directory {} stays locked", directory.display())));
            }
            Err(TryLockError::Error(error)) => return Err(disk(error)),
        }
    }
}

async fn make(path: &Path, patience: Duration) -> Result<(), Fault> {
    let draft = with_suffix(path, ".new");
    clear(&draft).map_err(|e| Fault::Disk("clearing an unfinished draft".into(), e))?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600) // SQLite gives its companions the mode of the database
        .open(&draft)
        .map_err(|e| Fault::Disk(format!("making {}", draft.display()), e))?;
    // With a rollback journal every commit is in the file itself; the switch to WAL comes last and leaves no log.
    let mut connection = open::options(&draft, patience).connect().await?;
    schema::migrate(&mut connection).await?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await?;
    connection.close().await?;
    let path = path.to_path_buf();
    let named = tokio::task::spawn_blocking(move || publish(&draft, &path));
    named.await.map_err(io::Error::other).flatten().map_err(|e| Fault::Disk("naming it".into(), e))
}

/// Gives the finished draft its name.
fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    File::open(draft)?.sync_all()?;
    set_orphans_aside(path)?;
    // A crash before the rename leaves a draft that the next birth clears; after it, a whole catalog or none. Nothing
    // is replaced: the name was free when the directory was locked.
    fs::rename(draft, path)?;
    File::open(directory_of(path))?.sync_all()
}

/// A log whose database was moved away would be replayed into the new one. It may hold the moved one's last commits,
/// so it is renamed and not removed.
fn set_orphans_aside(path: &Path) -> io::Result<()> {
    for companion in COMPANIONS {
        let orphan = with_suffix(path, companion);
        ignore_absent(fs::rename(&orphan, with_suffix(&orphan, ".orphaned")))?;
    }
    Ok(())
}

fn clear(draft: &Path) -> io::Result<()> {
    for companion in COMPANIONS {
        ignore_absent(fs::remove_file(with_suffix(draft, companion)))?;
    }
    ignore_absent(fs::remove_file(draft))
}

pub(crate) fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
