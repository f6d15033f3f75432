//! Extended attributes of any kind of entry, read and written.

use std::{
    ffi::CStr,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
};

use rustix::{fs::XattrFlags, io::Errno};

use super::member::Xattrs;

/// An entry whose attributes are meant.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// One that is open.
    Open(BorrowedFd<'a>),
    /// A name in a directory, a link not followed: for what cannot or must not be opened (links, FIFOs, devices).
    Name(BorrowedFd<'a>, &'a CStr),
}

/// All attributes that can be read, sorted by name. A filesystem without attributes has none.
pub(crate) fn read(place: Place<'_>) -> Result<Xattrs, Errno> {
    let names = match grow(|buffer| list(place, buffer)) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        names => names?,
    };
    let mut xattrs = Vec::new();
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        match grow(|buffer| get(place, name, buffer)) {
            Ok(value) => xattrs.push((name.to_vec(), value)),
            // Gone since it was listed, or listed for show only.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// Sets one attribute.
pub(crate) fn write(place: Place<'_>, name: &[u8], value: &[u8]) -> Result<(), Errno> {
    match place {
        Place::Open(fd) => rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()),
        Place::Name(dir, file) => rustix::fs::lsetxattr(by_path(dir, file), name, value, XattrFlags::empty()),
    }
}

/// Labels that the host's own policy gives and may refuse to be given (SELinux, AppArmor, IMA, EVM); capabilities
/// belong to the file.
pub(crate) fn is_of_the_host(name: &[u8]) -> bool {
    name.starts_with(b"security.") && name != b"security.capability"
}

/// Removes one attribute; it is no error if there is none.
pub(crate) fn remove(fd: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::fremovexattr(fd, name) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        removed => removed,
    }
}

fn list(place: Place<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    match place {
        Place::Open(fd) => rustix::fs::flistxattr(fd, buffer),
        Place::Name(dir, file) => rustix::fs::llistxattr(by_path(dir, file), buffer),
    }
}

fn get(place: Place<'_>, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
    match place {
        Place::Open(fd) => rustix::fs::fgetxattr(fd, name, buffer),
        Place::Name(dir, file) => rustix::fs::lgetxattr(by_path(dir, file), name, buffer),
    }
}

/// There is no call that takes a directory and a name (before Linux 6.13); the descriptor's own name in `/proc` stands
/// for the directory, wherever it has been moved to.
fn by_path(dir: BorrowedFd<'_>, file: &CStr) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    path.push(std::ffi::OsStr::from_bytes(file.to_bytes()));
    path
}

/// Calls with a buffer that is large enough; most lists are empty and most values short.
fn grow(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 256];
    match call(&mut small) {
        Err(Errno::RANGE) => {}
        got => return got.map(|length| small[..length].to_vec()),
    }
    // 64 KiB is the kernel's limit for lists and for values.
    let mut large = vec![0; 64 * 1024];
    let length = call(&mut large)?;
    large.truncate(length);
    Ok(large)
}
