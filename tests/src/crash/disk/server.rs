//! Serves [`Platters`] as files `0`, `1`, … of a FUSE filesystem, for loop devices to lie on.
//!
//! Every write arrives here at once and in order. A flush arrives as `fsync`, and so does a write that must be durable by
//! itself (the loop device makes a flush of it); a discard arrives as `fallocate`. Only what is read is kept by the
//! kernel, which has to be told when it changes by other means: see [`forget`].

use std::{
    ffi::OsStr,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, Notifier, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite,
    Request, WriteFlags,
};

use super::platter::{BLOCK, Platters};

/// Attributes never change.
const FOR_EVER: Duration = Duration::from_secs(1 << 20);

/// The largest write in one request.
const WRITE_MAX: u32 = 1 << 20;

/// The disks, shared between their server and those who look at them.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Platters>>);

impl Shared {
    /// Shares disks.
    #[must_use]
    pub fn new(platters: Platters) -> Self {
        Shared(Arc::new(Mutex::new(platters)))
    }

    /// The disks, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Platters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the disks at an empty directory until it is dropped.
///
/// # Errors
/// Without `/dev/fuse` or the right to mount.
pub fn serve(disks: &Shared, at: &Path) -> io::Result<BackgroundSession> {
    fuser::spawn_mount(Server(disks.clone()), at, &Config::default())
}

/// Tells the kernel that these blocks of a disk, in rising order, are not what they were.
///
/// # Errors
/// If the server is gone.
pub fn forget(notifier: &Notifier, disk: usize, blocks: &[u32]) -> io::Result<()> {
    for run in blocks.chunk_by(|a, b| a + 1 == *b) {
        let (offset, len) = (i64::from(run[0]) * BLOCK as i64, (run.len() * BLOCK) as i64);
        match notifier.inval_inode(INodeNo(disk as u64 + 2), offset, len) {
            // The kernel has never heard of the file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            told => told?,
        }
    }
    Ok(())
}

struct Server(Shared);

impl Server {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let root = inode == INodeNo::ROOT;
        let size = match root {
            true => 0,
            false => self.0.lock().size(disk(inode)?)?,
        };
        let epoch = SystemTime::UNIX_EPOCH;
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: epoch,
            mtime: epoch,
            ctime: epoch,
            crtime: epoch,
            kind: if root { FileType::Directory } else { FileType::RegularFile },
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK as u32,
            flags: 0,
        })
    }
}

/// The root is inode 1, the first disk inode 2.
fn disk(inode: INodeNo) -> Option<usize> {
    usize::try_from(inode.0).ok()?.checked_sub(2)
}

impl fuser::Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // A kernel that does not know one of these does with less.
        let _ = config.set_max_write(WRITE_MAX);
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_READ);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
        match number.and_then(|number| self.attributes(INodeNo(number.checked_add(2)?))) {
            Some(found) => reply.entry(&FOR_EVER, &found, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(found) => reply.attr(&FOR_EVER, &found),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(disk) = disk(inode) else { return reply.error(Errno::EINVAL) };
        let bytes = self.0.lock().read(disk, offset, size as usize);
        reply.data(&bytes);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let Some(disk) = disk(inode) else { return reply.error(Errno::EINVAL) };
        let mut platters = self.0.lock();
        if platters.size(disk).is_none_or(|size| offset + data.len() as u64 > size) {
            return reply.error(Errno::EFBIG);
        }
        platters.write(disk, offset, data);
        drop(platters);
        reply.written(data.len() as u32);
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let Some(disk) = disk(inode) else { return reply.error(Errno::EINVAL) };
        self.0.lock().flush(disk);
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        // Punched or zeroed: a loop device asks for nothing else, and both read as zeros afterwards.
        let Some(disk) = disk(inode) else { return reply.error(Errno::EINVAL) };
        self.0.lock().zero(disk, offset, length);
        reply.ok();
    }
}
