//! Stages a volume: extracted into a private directory, checked, durable, and only then named.

use std::{
    ffi::OsStr,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxFlags},
    io::Errno,
};
use volsnap_core::{
    model::{
        FlagsLeft, TreeSize, VolumeTotals,
        hook::quoted,
        place::{leaving_in, original_root_in, restored_root_in, staged_in},
    },
    ports::{FsError, FsErrorKind, FsOp, Phase, StageJob, Staged, Standing, Watch},
};

use super::{acl, earlier::Earlier, extract::Extractor, open::Archive, progress::Meter, verify::extract_volume, xattr};
use crate::{
    budget::Jobs,
    entries::{keeping_time, lay_out},
    flags::{self, Flags, Giving},
    handles::{identity, try_open_dir},
    names::{rename, settle},
    tree::{self, Trouble, device, open_dir, stat},
};

/// The tree while it is extracted, within the private directory.
pub(super) const PARTIAL: &str = "partial";
/// What earlier processes were filling, within the private directory, with a number at the end.
const EARLIER: &str = "earlier-";
/// Crashes in a row after which what was staged is given up: each leaves a tree that is kept open.
const EARLIER_MAX: u32 = 8;
/// Directories that are renamed to see what becomes of them.
const TRIED: &str = "tried";
/// One in it, and where it is moved to.
const MOVED: &str = "moved";
/// The tree when it is whole.
const STAGED: &str = "staged";
/// Births tick at up to 10 ms, and an inode may be used again within a tick: two directories that are older than this
/// cannot be taken for each other.
const BIRTH_TICK: Duration = Duration::from_millis(20);

/// Extracts a volume of an archive; the contract is that of
/// [`Filesystem::stage`](volsnap_core::ports::Filesystem::stage). When it fails, what this call made is removed.
///
/// # Errors
/// `Corrupt` if the archive is damaged or not the one that was planned with, `Hostile` if a member breaks a rule,
/// `SyncFailed` if the tree could not be made durable, otherwise what the disk gave.
pub fn stage(archive_path: &Path, job: &StageJob, jobs: impl Into<Jobs>, watch: &Watch) -> Result<Staged, FsError> {
    let trouble = Trouble::new(FsOp::Stage, &job.private);
    let private = match &job.entries_of {
        Some(live) => keeping_time(live, || Private::open(&job.private, &trouble)),
        None => Private::open(&job.private, &trouble),
    }?;
    let staged = match stat(&private.dir, c"staged") {
        Ok(found) => standing(job, &found, &trouble),
        Err(Errno::NOENT) => stage_new(archive_path, job, &private, jobs.into(), watch, &trouble),
        Err(error) => Err(trouble.errno("look for the staged tree in", error)),
    };
    // Whether it was just made or stands from before: a killed process may have left names that are not durable yet.
    let named = staged.and_then(|staged| private.sync_names(&trouble).map(|()| staged));
    named.inspect_err(|_| match &job.entries_of {
        Some(live) => keeping_time(live, || private.clean_up()),
        None => private.clean_up(),
    })
}

/// A tree that an earlier call named: it was whole and durable before it got its name.
fn standing(job: &StageJob, found: &Statx, trouble: &Trouble) -> Result<Staged, FsError> {
    wait_for_birth(found);
    let size = tree::measure(&staged_in(&job.private))?;
    match tree::file_type(found) == FileType::Directory {
        true => Ok(Staged { identity: identity(found), size, flags_left: FlagsLeft::default() }),
        false => Err(trouble.of(FsErrorKind::Exists, "`staged` is no directory")),
    }
}

fn stage_new(
    archive_path: &Path,
    job: &StageJob,
    private: &Private,
    jobs: Jobs,
    watch: &Watch,
    trouble: &Trouble,
) -> Result<Staged, FsError> {
    let archive = match job.standing {
        Some(_) => None,
        None => Some(planned(archive_path, job, jobs)?),
    };
    if job.entries_of.is_none() {
        private.try_renames(job.like.as_deref(), trouble)?;
    }
    if let Some(Standing::Tree(tree)) = &job.standing {
        return take_over(tree, job, private, trouble);
    }
    let earlier = match job.resume {
        true => private.set_aside(trouble)?,
        false => private.remove(PARTIAL).map(|()| Vec::new())?,
    };
    rustix::fs::mkdirat(&private.dir, PARTIAL, Mode::RWXU).map_err(|e| trouble.errno("make a directory in", e))?;
    // Opened before the first write: a sync through it reports every write that fails from here on.
    let root = private.open_tree(PARTIAL, trouble)?;
    if let Some(like) = &job.like {
        flags::inherit(like, &root, trouble)?;
    }
    let (size, flags_left) = fill(archive.as_ref(), job, &root, Earlier::new(earlier), watch, trouble)?;
    if job.resume {
        private.remove_earlier()?;
    }
    if let Some(live) = &job.entries_of {
        lay_out(&private.dir, &job.private, live, &root)?;
    }
    let found = private.name_tree(&root, trouble)?;
    wait_for_birth(&found);
    Ok(Staged { identity: identity(&found), size, flags_left })
}

/// The archive that was planned with.
fn planned(archive_path: &Path, job: &StageJob, jobs: Jobs) -> Result<Archive, FsError> {
    let archive = Archive::open(archive_path, jobs)?;
    let manifest = &archive.manifest;
    if archive.digest.hex() != job.archive_digest {
        return Err(archive.trouble.corrupt("this is another archive than the one that was planned with"));
    }
    if (manifest.workload, manifest.snapshot) != (job.workload, job.snapshot) {
        return Err(archive.trouble.corrupt("its manifest is of another workload or snapshot"));
    }
    Ok(archive)
}

/// Moves a tree here that stands already. All else is durable before: a crash leaves it at one of the two names.
fn take_over(tree: &Path, job: &StageJob, private: &Private, trouble: &Trouble) -> Result<Staged, FsError> {
    let root = try_open_dir(tree).map_err(|e| Trouble::new(FsOp::Stage, tree).errno("open", e))?;
    if let Some(live) = &job.entries_of {
        lay_out(&private.dir, &job.private, live, &root)?;
    }
    private.sync_names(trouble)?;
    let found = stat(&root, c"").map_err(|e| Trouble::new(FsOp::Stage, tree).errno("look at", e))?;
    rename(tree, &staged_in(&job.private))?;
    settle(&Vec::from_iter(tree.parent().map(Path::to_path_buf)))?;
    Ok(Staged { identity: identity(&found), size: TreeSize::default(), flags_left: FlagsLeft::default() })
}

/// Fills the root of the tree with the volume, or leaves it empty if there was none.
fn fill(
    archive: Option<&Archive>,
    job: &StageJob,
    root: &OwnedFd,
    earlier: Earlier,
    watch: &Watch,
    trouble: &Trouble,
) -> Result<(TreeSize, FlagsLeft), FsError> {
    let (Some(archive), Some(at)) = (archive, job.index) else {
        let mode = Mode::from_raw_mode(0o755);
        rustix::fs::fchmod(root, mode).map_err(|e| trouble.errno("set the mode of the tree in", e))?;
        return Ok((TreeSize { entries: 1, ..TreeSize::default() }, FlagsLeft::default()));
    };
    let volume = archive.index.volumes.get(at).filter(|volume| volume.frame_count > 0);
    let Some(volume) = volume else {
        return Err(archive.trouble.corrupt(format!("it has no contents for volume {at}")));
    };
    let totals = &volume.totals;
    if totals.bytes > job.limits.bytes_max || totals.entries > job.limits.entries_max {
        let message = format!("volume {at} goes beyond the limits: {} bytes, {} entries", totals.bytes, totals.entries);
        return Err(archive.trouble.of(FsErrorKind::Hostile, message));
    }
    let mut meter = Meter::new(watch, trouble, Phase::Stage);
    meter.volume(&job.target, totals.bytes)?;
    let root = root.as_fd().try_clone_to_owned();
    let root = root.map_err(|e| super::compress::io_error(trouble, "open the tree in", &e))?;
    // In an archive of an earlier version, what has no flags may have had some.
    let giving = Giving::new(totals.flags_known, Flags::NONE);
    let mut extractor = Extractor::new(root, earlier, &archive.jobs, giving, job.like.is_some(), trouble)?;
    extract_volume(archive, at, job.limits, &mut extractor, &mut meter)?;
    meter.tell()?;
    if job.resume {
        tracing::info!(volume = job.target, files = extractor.adopted(), "staged before and used again");
    }
    let VolumeTotals { bytes, bytes_allocated, entries, .. } = *totals;
    Ok((TreeSize { bytes, bytes_allocated, entries, immutable: 0, frozen: 0 }, extractor.flags_left()))
}

/// The name of what is set aside under that number.
fn earlier(number: u32) -> String {
    format!("{EARLIER}{number}")
}

/// Returns when the directory is older than a tick of its filesystem's births.
fn wait_for_birth(found: &Statx) {
    let Some(birth_ns) = identity(found).birth_ns.and_then(|birth| u64::try_from(birth).ok()) else { return };
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_nanos(birth_ns));
    // A clock that was set back gives no age: then a whole tick is waited.
    if let Some(rest) = BIRTH_TICK.checked_sub(age.unwrap_or_default()) {
        std::thread::sleep(rest);
    }
}

/// The private directory, held open, and what this call made of it. Everything in it is reached by the descriptor: where
/// it lies within a volume, an app may give its name to something else.
pub(super) struct Private {
    path: PathBuf,
    parent: OwnedFd,
    pub(super) dir: OwnedFd,
    made_dir: bool,
    made_staged: std::cell::Cell<bool>,
}

impl Private {
    pub(super) fn open(path: &Path, trouble: &Trouble) -> Result<Self, FsError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(trouble.of(FsErrorKind::Unsupported, "this is no name within a directory"));
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(parent, flags, Mode::empty());
        let parent = parent.map_err(|e| trouble.errno("open the parent directory", e))?;
        let made_dir = match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(trouble.errno("make", error)),
        };
        let dir = rustix::fs::openat(&parent, name, flags | OFlags::NOFOLLOW, Mode::empty());
        let dir = dir.map_err(|e| trouble.errno("open", e))?;
        let private = Private { path: path.to_path_buf(), parent, dir, made_dir, made_staged: false.into() };
        private.close_to_others(trouble).inspect_err(|_| private.clean_up())?;
        Ok(private)
    }

    /// Opens a tree in it.
    pub(super) fn open_tree(&self, name: &str, trouble: &Trouble) -> Result<OwnedFd, FsError> {
        open_dir(self.dir.as_fd(), name).map_err(|e| trouble.errno(&format!("open `{name}` in"), e))
    }

    /// Makes the tree that was filled durable, and then gives it its name.
    ///
    /// A crash before the sync is over leaves `partial`, which is thrown away or set aside. A failure is final: the pages
    /// that could not be written are marked clean by now, and a second sync would say that all is well.
    pub(super) fn name_tree(&self, root: &OwnedFd, trouble: &Trouble) -> Result<Statx, FsError> {
        rustix::fs::syncfs(root).map_err(|e| trouble.sync("the staged tree", e))?;
        rustix::fs::renameat(&self.dir, PARTIAL, &self.dir, STAGED)
            .map_err(|e| trouble.errno("name the tree in", e))?;
        // A crash here leaves `partial` or a `staged` that is whole.
        self.made_staged.set(true);
        let found = stat(root, c"").map_err(|e| trouble.errno("look at the staged tree in", e))?;
        let named = stat(&self.dir, c"staged").map_err(|e| trouble.errno("look at the staged tree in", e))?;
        match (device(&named), named.stx_ino) == (device(&found), found.stx_ino) {
            true => Ok(found),
            false => {
                Err(trouble.of(FsErrorKind::Io, "somebody put something else in place of the tree that was staged"))
            }
        }
    }

    /// Finds out, while nothing is touched, whether the switch will know its two directories again after it has renamed
    /// them. A filesystem whose inode numbers follow from the path, as unions in FUSE have it, would leave the live
    /// directory aside and not recognised; an overlay does not rename a directory of a lower layer.
    fn try_renames(&self, live: Option<&Path>, trouble: &Trouble) -> Result<(), FsError> {
        let look = |name: &str| {
            // FUSE remembers what it said before the rename.
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC;
            rustix::fs::statx(&self.dir, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)
                .map(|found| identity(&found))
                .map_err(|e| trouble.errno("look at a directory that was renamed in", e))
        };
        let make = |name: &str| {
            rustix::fs::mkdirat(&self.dir, name, Mode::RWXU).map_err(|e| trouble.errno("make a directory in", e))
        };
        self.remove(TRIED)?;
        self.remove(MOVED)?;
        make(TRIED)?;
        let within = format!("{TRIED}/{MOVED}");
        make(&within)?;
        let before = look(&within)?;
        if let Some(live) = live {
            self.try_overlay(live, trouble)?;
        }
        rustix::fs::renameat(&self.dir, &within, &self.dir, MOVED).map_err(|e| trouble.errno("rename within", e))?;
        let after = look(MOVED)?;
        self.remove(TRIED)?;
        self.remove(MOVED)?;
        match before == after {
            true => Ok(()),
            false => Err(trouble.of(
                FsErrorKind::Unsupported,
                "directories of this filesystem get other inode numbers when they are renamed, so the switch would not know \
                 them again; let the volume be a mount point of that filesystem, or move it to another one",
            )),
        }
    }

    /// A rename onto a directory that is not empty never succeeds, and an overlay that cannot move the directory at all
    /// says that first.
    fn try_overlay(&self, live: &Path, trouble: &Trouble) -> Result<(), FsError> {
        let found = rustix::fs::fstatfs(&self.dir).map_err(|e| trouble.errno("look at the filesystem of", e))?;
        if found.f_type != crate::upper::OVERLAY {
            return Ok(());
        }
        match rustix::fs::renameat(rustix::fs::CWD, live, &self.dir, TRIED) {
            Err(Errno::XDEV) => Err(trouble.of(
                FsErrorKind::Unsupported,
                format!(
                    "{live} is a directory of the overlay's lower layer, which cannot be renamed; stop the app and make it \
                     one of the upper layer: `cp -a {shown} {new} && rm -r {shown} && mv {new} {shown}`",
                    live = live.display(),
                    shown = quoted([live.to_string_lossy().as_ref()]),
                    new = quoted([format!("{}.new", live.display()).as_str()]),
                ),
            )),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Makes the names of the staged tree and of the private directory durable.
    pub(super) fn sync_names(&self, trouble: &Trouble) -> Result<(), FsError> {
        rustix::fs::fsync(&self.dir).map_err(|e| trouble.sync("the staged tree's name", e))?;
        rustix::fs::fsync(&self.parent).map_err(|e| trouble.sync("the private directory's name", e))
    }

    /// Removes a tree in it. Absent is success.
    pub(super) fn remove(&self, name: impl AsRef<OsStr>) -> Result<(), FsError> {
        let trouble = Trouble::new(FsOp::Remove, &self.path.join(name.as_ref()));
        tree::remove_in(self.dir.as_fd(), name.as_ref(), &trouble, None)
    }

    /// Removes what is set aside in it.
    fn remove_earlier(&self) -> Result<(), FsError> {
        (1..=EARLIER_MAX).try_for_each(|number| self.remove(earlier(number)))
    }

    /// Lets nobody else in: neither the parent's default ACL, nor whoever may have made the name before us.
    fn close_to_others(&self, trouble: &Trouble) -> Result<(), FsError> {
        for name in [acl::DEFAULT, acl::ACCESS] {
            let removed = xattr::remove(self.dir.as_fd(), name);
            removed.map_err(|e| trouble.errno("remove the inherited ACL of", e))?;
        }
        rustix::fs::fchmod(&self.dir, Mode::RWXU).map_err(|e| trouble.errno("set the mode of", e))?;
        let found = stat(&self.dir, c"").map_err(|e| trouble.errno("look at", e))?;
        match found.stx_uid == rustix::process::geteuid().as_raw() {
            true => Ok(()),
            false => Err(trouble.of(FsErrorKind::Denied, format!("it belongs to user {}", found.stx_uid))),
        }
    }

    /// Sets aside what an earlier process was filling, and gives all that stands aside, the newest first.
    fn set_aside(&self, trouble: &Trouble) -> Result<Vec<OwnedFd>, FsError> {
        let stands = |name: &str| match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(trouble.errno("look for what was staged before in", error)),
        };
        let mut numbers = Vec::new();
        for number in 1..=EARLIER_MAX {
            if stands(&earlier(number))? {
                numbers.push(number);
            }
        }
        if stands(PARTIAL)? {
            let mut number = numbers.last().map_or(1, |last| last + 1);
            if number > EARLIER_MAX {
                self.remove_earlier()?;
                numbers.clear();
                number = 1;
            }
            rustix::fs::renameat(&self.dir, PARTIAL, &self.dir, earlier(number))
                .map_err(|e| trouble.errno("set aside what was staged before in", e))?;
            numbers.push(number);
        }
        if !numbers.is_empty() {
            // What a killed process wrote is in memory and clean after this, or it is known that it was lost.
            rustix::fs::syncfs(&self.dir).map_err(|e| trouble.sync("what was staged before", e))?;
        }
        numbers.iter().rev().map(|number| self.open_tree(&earlier(*number), trouble)).collect()
    }

    /// Removes what this call made, as far as that goes; what stays is found again by its name.
    pub(super) fn clean_up(&self) {
        let path = &self.path;
        let mut removed = self.remove(PARTIAL).and(self.remove_earlier());
        removed = removed.and(self.remove(TRIED)).and(self.remove(MOVED));
        if self.made_dir {
            for laid_out in [leaving_in(path), original_root_in(path), restored_root_in(path)] {
                removed = removed.and(self.remove(laid_out.file_name().unwrap_or_default()));
            }
        }
        if self.made_staged.get() {
            removed = removed.and(self.remove(STAGED));
        }
        if self.made_dir
            && let (Ok(()), Some(name)) = (&removed, path.file_name())
        {
            // Not empty means that something else stands in it: then it stays.
            let _ = rustix::fs::unlinkat(&self.parent, name, AtFlags::REMOVEDIR);
        }
        if let Err(error) = removed {
            tracing::warn!(%error, "what a failed staging left stays until the restore is discarded");
        }
    }
}
