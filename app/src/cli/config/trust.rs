//! Whether a configuration file is to be believed: it decides what is deleted, and for whom volsnap runs as root.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::OFlags;
use volsnap::{Code, Error, Result, model::hook::quoted};

/// More is no configuration.
const BYTES_MAX: u64 = 1 << 20;

/// The file's text; `None` if there is no such file. Any other reason why it cannot be read is an error: a file that is
/// there and is not heeded would be worse than none.
///
/// The checks are made on the file that was opened, not on its name.
pub fn read(path: &Path) -> Result<Option<String>> {
    // A FIFO without a writer must not keep anybody waiting.
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = match OpenOptions::new().read(true).custom_flags(nonblock).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    check(path, &file)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(refused(path, "is longer than 1 MiB", "name a configuration file"));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Error::new(Code::Usage, format!("{}:{}: is not UTF-8", path.display(), line + 1))
            .hint("write the file in UTF-8, as TOML has it")
    })
}

fn check(path: &Path, file: &File) -> Result<()> {
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    let (caller, owner, mode) = (rustix::process::geteuid().as_raw(), metadata.uid(), metadata.mode());
    if !metadata.is_file() {
        return Err(refused(path, "is not a file", "name a configuration file"));
    }
    if owner != 0 && owner != caller {
        let why = format!("belongs to user {owner}, who is neither root nor the caller (user {caller})");
        return Err(refused(path, &why, &format!("look at what it says, then `chown {caller} {}`", shown(path))));
    }
    if mode & 0o002 != 0 {
        let hint = format!("look at what it says, then `chmod o-w {}`", shown(path));
        return Err(refused(path, &format!("can be written by everybody (mode {:04o})", mode & 0o7777), &hint));
    }
    // A user's own group is often nobody else; what root heeds is for root to write.
    if caller == 0 && mode & 0o020 != 0 && metadata.gid() != 0 {
        let why = format!("can be written by the group {} (mode {:04o})", metadata.gid(), mode & 0o7777);
        let hint = format!("look at what it says, then `chmod g-w {}`", shown(path));
        return Err(refused(path, &why, &hint));
    }
    Ok(())
}

/// A path as a shell takes it.
fn shown(path: &Path) -> String {
    quoted([path.to_string_lossy().as_ref()])
}

fn refused(path: &Path, why: &str, hint: &str) -> Error {
    Error::new(Code::Refused, format!("the configuration file {} {why}, so it is not trusted", path.display()))
        .hint(hint)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::Io, format!("the configuration file {} cannot be read: {error}", path.display()))
        .hint("make it readable, or name another with --config or VOLSNAP_CONFIG")
}
