//! Notes of copies that are under way: which private directories they make, for whoever finds them after a crash.
//!
//! `<state>/copies/<id>.json`, locked for as long as its process lives. The lock is taken before the note has its name, so
//! that nobody ever sees a note without its lock.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FlockOperation, OFlags, flock, unlinkat},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use volsnap_core::{
    model::RestoreId,
    ports::{CopyNote, FsError, FsErrorKind, FsOp, Lease},
};

use crate::{
    errno::{fs_error, io_error},
    handles::{open_dir, sync},
};

/// The version of the notes that this code writes.
const FORMAT: u32 = 1;
/// Bytes of a note at the most.
const NOTE_MAX: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Noted {
    format: u32,
    #[serde(flatten)]
    note: CopyNote,
}

/// The lock of a note; it ends with the process.
struct NoteLease {
    _file: File,
}

impl Lease for NoteLease {}

/// Writes a note down.
///
/// A crash in the middle leaves nothing, or a draft of a note of which no directory has been made yet.
pub(crate) fn begin(dir: &Path, note: &CopyNote) -> Result<Box<dyn Lease>, FsError> {
    let (draft, path) = (dir.join(format!(".{}.draft", note.id)), path_of(dir, note.id));
    let fail = |error: &std::io::Error| io_error(FsOp::Journal, &path, error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(|e| fail(&e))?;
    let written = lock(&file).map_err(|errno| fs_error(FsOp::Lock, &path, errno)).and_then(|()| {
        let text = serde_json::to_vec_pretty(&Noted { format: FORMAT, note: note.clone() });
        let text = text.map_err(|error| FsError::new(FsErrorKind::Io, FsOp::Journal, &path, error.to_string()))?;
        file.write_all(&text).map_err(|e| fail(&e))?;
        sync(FsOp::Journal, &path, &file)?;
        fs::rename(&draft, &path).map_err(|e| fail(&e))?;
        sync(FsOp::Journal, &path, open_dir(FsOp::Journal, dir)?)
    });
    match written {
        Ok(()) => Ok(Box::new(NoteLease { _file: file })),
        Err(error) => {
            // Nothing was made yet, so nothing is lost with it.
            let _ = fs::remove_file(&draft).or_else(|_| fs::remove_file(&path));
            Err(error)
        }
    }
}

/// The notes whose process is gone.
pub(crate) fn abandoned(dir: &Path) -> Result<Vec<CopyNote>, FsError> {
    let mut notes = Vec::new();
    let names = match fs::read_dir(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(notes),
        Err(error) => return Err(io_error(FsOp::Journal, dir, &error)),
    };
    for name in names {
        let path = name.map_err(|error| io_error(FsOp::Journal, dir, &error))?.path();
        match id_of(&path) {
            Some(Kept::Note(id)) => notes.extend(read_abandoned(&path, id)?),
            Some(Kept::Draft) => remove_abandoned_draft(&path),
            None => {}
        }
    }
    notes.sort_by_key(|note| note.id);
    Ok(notes)
}

/// Removes a note.
pub(crate) fn end(dir: &Path, id: RestoreId) -> Result<(), FsError> {
    let path = path_of(dir, id);
    let fd = match open_dir(FsOp::Journal, dir) {
        Err(error) if error.kind == FsErrorKind::NotFound => return Ok(()),
        fd => fd?,
    };
    let Some(name) = path.file_name() else { return Ok(()) };
    match unlinkat(&fd, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => sync(FsOp::Journal, &path, fd),
        Err(errno) => Err(fs_error(FsOp::Journal, &path, errno)),
    }
}

/// Where a note lies in the directory of notes.
pub(crate) fn path_of(dir: &Path, id: RestoreId) -> PathBuf {
    dir.join(format!("{id}.json"))
}

/// What a file in the directory is, by its name.
enum Kept {
    Note(RestoreId),
    Draft,
}

fn id_of(path: &Path) -> Option<Kept> {
    let name = path.file_name()?.to_str()?;
    let exact = |text: &str| Uuid::parse_str(text).ok().filter(|id| id.hyphenated().to_string() == text);
    match name.strip_suffix(".json") {
        Some(id) => exact(id).map(|id| Kept::Note(RestoreId(id))),
        None => exact(name.strip_prefix('.')?.strip_suffix(".draft")?).map(|_| Kept::Draft),
    }
}

fn lock(file: &File) -> Result<(), Errno> {
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

fn open(path: &Path) -> std::io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(i32::try_from(flags).unwrap_or(0)).open(path)
}

/// The note, unless somebody is at it or it went a moment ago.
fn read_abandoned(path: &Path, id: RestoreId) -> Result<Option<CopyNote>, FsError> {
    let fail = |error: &std::io::Error| io_error(FsOp::Journal, path, error);
    let file = match open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|e| fail(&e))?,
    };
    match lock(&file) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(errno) => return Err(fs_error(FsOp::Lock, path, errno)),
    }
    let mut text = Vec::new();
    (&file).take(NOTE_MAX).read_to_end(&mut text).map_err(|e| fail(&e))?;
    let noted = noted(&text).map_err(|(kind, what)| FsError::new(kind, FsOp::Journal, path, what))?;
    match noted.id == id {
        true => Ok(Some(noted)),
        false => Err(FsError::new(FsErrorKind::Corrupt, FsOp::Journal, path, "the note is of another copy")),
    }
}

/// Reads a note, which is there as a whole or not at all: what is not known of it was written by a newer version.
fn noted(text: &[u8]) -> Result<CopyNote, (FsErrorKind, String)> {
    let corrupt = |error: serde_json::Error| (FsErrorKind::Corrupt, format!("the note cannot be read: {error}"));
    let newer = |what: String| {
        let message = format!("the note is of a newer volsnap ({what}), and is left to that one");
        (FsErrorKind::Unsupported, message)
    };
    let written: serde_json::Value = serde_json::from_slice(text).map_err(corrupt)?;
    match written["format"].as_u64() {
        None | Some(0) => return Err((FsErrorKind::Corrupt, "the note has no format".into())),
        Some(format) if format > u64::from(FORMAT) => {
            return Err(newer(format!("format {format}, known is {FORMAT}")));
        }
        Some(_) => {}
    }
    let noted: Noted = serde_json::from_value(written.clone()).map_err(|error| newer(error.to_string()))?;
    match serde_json::to_value(&noted) {
        Ok(known) if known == written => Ok(noted.note),
        Ok(_) | Err(_) => Err(newer("it has fields that this one does not know".into())),
    }
}

/// A process that was killed while it wrote a note has made nothing yet. An empty draft may be one whose process has not
/// come to lock it: it stays.
fn remove_abandoned_draft(path: &Path) {
    if let Ok(file) = open(path)
        && file.metadata().is_ok_and(|metadata| metadata.size() > 0)
        && lock(&file).is_ok()
    {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use volsnap_core::{model::Identity, ports::PrivateNote};

    use super::*;

    fn note(n: u128) -> CopyNote {
        CopyNote {
            id: RestoreId(Uuid::from_u128(n)),
            what: "clone".into(),
            workload: "app".into(),
            began_at: jiff::Timestamp::UNIX_EPOCH,
            private: vec![PrivateNote {
                path: "/srv/.volsnap-x-0".into(),
                parent: Identity { inode: 7, birth_ns: Some(9), subvolume: None },
            }],
            containers: false,
            runtime: None,
        }
    }

    #[test]
    fn a_note_is_abandoned_when_its_lease_ends_and_gone_when_its_copy_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (begin(dir.path(), &note(1)).unwrap(), begin(dir.path(), &note(2)).unwrap());
        assert_eq!(abandoned(dir.path()).unwrap(), []);
        drop(one);
        assert_eq!(abandoned(dir.path()).unwrap(), [note(1)]);
        end(dir.path(), note(1).id).unwrap();
        end(dir.path(), note(1).id).unwrap();
        assert_eq!(abandoned(dir.path()).unwrap(), []);
        drop(two);
        assert_eq!(abandoned(dir.path()).unwrap(), [note(2)]);
        assert_eq!(abandoned(&dir.path().join("none")).unwrap(), []);
    }

    #[test]
    fn drafts_of_the_dead_go_and_other_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let draft = dir.path().join(format!(".{}.draft", note(1).id));
        fs::write(&draft, "{").unwrap();
        let kept = ["note.json", ".x.draft"].map(|name| dir.path().join(name));
        kept.iter().for_each(|path| fs::write(path, "{").unwrap());
        assert_eq!(abandoned(dir.path()).unwrap(), []);
        assert!(!draft.exists() && kept.iter().all(|path| path.exists()));
    }

    #[test]
    fn a_note_that_cannot_be_read_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_of(dir.path(), note(1).id);
        for text in ["", "{}", "{\"format\":0}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(abandoned(dir.path()).unwrap_err().kind, FsErrorKind::Corrupt, "{text}");
        }
        begin(dir.path(), &note(2)).map(drop).unwrap();
        fs::rename(path_of(dir.path(), note(2).id), &path).unwrap();
        assert_eq!(abandoned(dir.path()).unwrap_err().kind, FsErrorKind::Corrupt, "of another copy");
    }

    #[test]
    fn notes_of_this_format_stay_readable_and_what_is_added_to_them_is_of_a_newer_version() {
        let dir = tempfile::tempdir().unwrap();
        let frozen = r#"{"format":1,"id":"00000000-0000-0000-0000-000000000001","what":"clone","workload":"app",
            "began_at":"1970-01-01T00:00:00Z","private":[{"path":"/srv/.volsnap-x-0","parent":{"inode":7,"birth_ns":9}}]}"#;
        let path = path_of(dir.path(), note(1).id);
        fs::write(&path, frozen).unwrap();
        assert_eq!(abandoned(dir.path()).unwrap(), [note(1)]);
        let tomorrow = [
            ("{\"format\":1", "{\"added\":true,\"format\":1"),
            ("\"inode\":7", "\"inode\":7,\"added\":[1]"),
            ("\"clone\"", "{\"clone\":1}"),
            ("\"format\":1", "\"format\":2"),
        ];
        for (today, tomorrow) in tomorrow {
            fs::write(&path, frozen.replace(today, tomorrow)).unwrap();
            let error = abandoned(dir.path()).unwrap_err();
            assert!(error.kind == FsErrorKind::Unsupported && error.message.contains("newer"), "{tomorrow}: {error}");
        }
    }
}
