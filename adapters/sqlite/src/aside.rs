//! Moves a damaged catalog aside, so that a new one can take its place. Nothing of it is deleted.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use volsnap_core::ports::{StoreError, StoreErrorKind};

use crate::{
    birth::{COMPANIONS, directory_of, ignore_absent, is_there, take_turn, with_suffix},
    fault::{At, Fault},
    open::{self, PATIENCE},
};

/// Names that are tried for one that is free.
const NAMES_MAX: u32 = 10_000;

/// Moves the catalog at `path` aside if it is damaged, and gives its new name; `None` if there is none, or a sound one.
pub(crate) async fn set_aside(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    // One process at a time: what another one has made in its place meanwhile is looked at once more, and is sound.
    let turn = take_turn(directory_of(path), PATIENCE).await.at("moving the catalog aside", path)?;
    if !is_there(path).at("moving the catalog aside", path)? {
        return Ok(None);
    }
    // Whoever closes what it cannot read may remove the log, which is a part of what is kept.
    hold_companions(path).at("moving the catalog aside", path)?;
    let moved = match open::open(path, PATIENCE).await {
        Ok(store) => {
            store.close().await;
            release_companions(path).map(|()| None).at("moving the catalog aside", path)
        }
        Err(error) if error.kind == StoreErrorKind::Corrupt => {
            let moved = rename(path).map_err(|e| Fault::Disk("renaming it".into(), e));
            moved.map(Some).at("moving the catalog aside", path)
        }
        Err(error) => {
            release_companions(path).at("moving the catalog aside", path)?;
            Err(error)
        }
    };
    drop(turn);
    moved
}

/// A second name of each companion, under which it stays.
fn held(path: &Path, companion: &str) -> PathBuf {
    with_suffix(path, &format!("{companion}.held"))
}

/// What a crash left held stays so if it is the only one by now.
fn hold_companions(path: &Path) -> Result<(), Fault> {
    let hold = |companion: &&str| {
        let own = with_suffix(path, companion);
        match is_there(&own)? {
            true => ignore_absent(fs::remove_file(held(path, companion)))
                .and_then(|()| fs::hard_link(own, held(path, companion)))
                .map_err(|e| Fault::Disk("keeping its log".into(), e)),
            false => Ok(()),
        }
    };
    COMPANIONS.iter().try_for_each(hold)
}

fn release_companions(path: &Path) -> Result<(), Fault> {
    let release = |companion: &&str| ignore_absent(fs::remove_file(held(path, companion)));
    COMPANIONS.iter().try_for_each(release).map_err(|e| Fault::Disk("releasing its log".into(), e))
}

/// The companions go first: a log that stays behind would be replayed into whatever comes to stand there. A crash in
/// between leaves the damaged database without its log, which is the same as with it to whoever comes next.
fn rename(path: &Path) -> io::Result<PathBuf> {
    let aside = free_name(path)?;
    for companion in COMPANIONS {
        // Of two names of one file a rename would leave both.
        ignore_absent(fs::remove_file(with_suffix(path, companion)))?;
        ignore_absent(fs::rename(held(path, companion), with_suffix(&aside, companion)))?;
    }
    fs::rename(path, &aside)?;
    File::open(directory_of(path))?.sync_all()?;
    Ok(aside)
}

fn free_name(path: &Path) -> io::Result<PathBuf> {
    for number in 1..NAMES_MAX {
        let name = with_suffix(path, &format!(".damaged-{number}"));
        if let Err(error) = fs::symlink_metadata(&name) {
            return if error.kind() == ErrorKind::NotFound { Ok(name) } else { Err(error) };
        }
    }
    Err(io::Error::other(format!("{NAMES_MAX} damaged catalogs stand there; remove some")))
}

#[cfg(test)]
mod tests {
    use volsnap_core::ports::Store;

    use crate::SqliteStore;

    #[tokio::test]
    async fn only_a_damaged_catalog_is_moved_and_it_is_kept_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        assert_eq!(SqliteStore::set_aside(&path).await.unwrap(), None);
        let store = SqliteStore::open(&path).await.unwrap();
        store.set_setting("key", "value").await.unwrap();
        store.close().await;
        assert_eq!(SqliteStore::set_aside(&path).await.unwrap(), None);
        for number in 1..3 {
            std::fs::write(&path, format!("nonsense {number}")).unwrap();
            std::fs::write(dir.path().join("catalog.db-wal"), "log").unwrap();
            let aside = SqliteStore::set_aside(&path).await.unwrap().unwrap();
            assert_eq!(aside, dir.path().join(format!("catalog.db.damaged-{number}")));
            assert_eq!(std::fs::read_to_string(&aside).unwrap(), format!("nonsense {number}"));
            assert!(dir.path().join(format!("catalog.db.damaged-{number}-wal")).exists());
            assert!(!path.exists() && !dir.path().join("catalog.db-wal").exists());
            let store = SqliteStore::open(&path).await.unwrap();
            assert_eq!(store.setting("key").await.unwrap(), None);
            store.close().await;
        }
    }
}
