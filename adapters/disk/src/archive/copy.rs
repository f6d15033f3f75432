//! Copies volumes, or parts of them, to another place than their live directories: into a private directory, checked,
//! durable, and only then named, as they are staged for a restore.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{fs::Mode, io::Errno};
use volsnap_core::{
    model::TreeSize,
    ports::{CopyJob, CopyMade, CopyTree, FsError, FsErrorKind, FsOp, Phase, Watch},
};

use super::{
    earlier::Earlier,
    extract::Extractor,
    find,
    open::Archive,
    owned::Owned,
    part::extract_parts,
    progress::Meter,
    stage::{PARTIAL, Private},
    verify::extract_volume,
};
use crate::{
    budget::Jobs,
    flags::Giving,
    tree::{Trouble, open_dir},
};

/// Makes a copy; the contract is that of [`Filesystem::copy_out`](volsnap_core::ports::Filesystem::copy_out).
///
/// # Errors
/// As for [`stage`](super::stage()); `NotFound` if a part is not in the archive, `Exists` if the private directory stands
/// already, `Unsupported` if one of the trees would lie in another.
pub fn copy_out(archive_path: &Path, job: &CopyJob, jobs: impl Into<Jobs>, watch: &Watch) -> Result<CopyMade, FsError> {
    let trouble = Trouble::new(FsOp::Stage, &job.private);
    check_places(&job.trees, &trouble)?;
    let archive = find::open(archive_path, &job.archive, jobs)?;
    let private = Private::open(&job.private, &trouble)?;
    let made = fill(&archive, job, &private, watch, &trouble);
    let named = made.and_then(|made| private.sync_names(&trouble).map(|()| made));
    named.inspect_err(|_| private.clean_up())
}

/// Each name must be one, and no tree may come to lie in another: what the other put there is not to be trusted.
fn check_places(trees: &[CopyTree], trouble: &Trouble) -> Result<(), FsError> {
    let is_name =
        |name: &String| !matches!(name.as_str(), "" | "." | "..") && name.len() <= 255 && !name.contains(['/', '\0']);
    for (at, tree) in trees.iter().enumerate() {
        if !tree.at.iter().all(is_name) {
            let message =
                format!("volume {} has a name that cannot be a directory's", Trouble::show(tree.target.as_bytes()));
            return Err(trouble.of(FsErrorKind::Hostile, message));
        }
        let meets = |other: &&CopyTree| tree.at.starts_with(&other.at) || other.at.starts_with(&tree.at);
        if let Some(other) = trees[..at].iter().find(meets) {
            let message = format!("volumes {} and {} would lie in one another", other.target, tree.target);
            return Err(trouble.of(FsErrorKind::Unsupported, message));
        }
    }
    Ok(())
}

fn fill(
    archive: &Archive,
    job: &CopyJob,
    private: &Private,
    watch: &Watch,
    trouble: &Trouble,
) -> Result<CopyMade, FsError> {
    make_dir(&private.dir, PARTIAL).map_err(|e| trouble.errno("make a directory in", e))?;
    // Opened before the first write: a sync through it reports every write that fails from here on.
    let top = private.open_tree(PARTIAL, trouble)?;
    let mut meter = Meter::new(watch, trouble, Phase::Stage);
    let mut made = CopyMade::default();
    for tree in &job.trees {
        let root = descend(&top, tree, trouble)?;
        let size = match tree.index {
            Some(at) => fill_tree(archive, at, tree, job, root, &mut meter, &mut made, trouble)?,
            None => TreeSize { entries: 1, ..TreeSize::default() },
        };
        made.trees.push(size);
    }
    private.name_tree(&top, trouble)?;
    Ok(made)
}

/// With the mode that the process's mask leaves: within the private directory nobody else reaches it.
fn make_dir(dir: impl AsFd, name: &str) -> Result<(), Errno> {
    rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o777))
}

/// Makes a tree's root with the directories above it. Those were all made here, by this tree or by one beside it.
fn descend(top: &OwnedFd, tree: &CopyTree, trouble: &Trouble) -> Result<OwnedFd, FsError> {
    let mut dir = open_dir(top.as_fd(), c".").map_err(|e| trouble.errno("open the tree in", e))?;
    for name in &tree.at {
        let made = match make_dir(&dir, name) {
            Err(Errno::EXIST) => Ok(()),
            made => made,
        };
        let opened = made.and_then(|()| open_dir(dir.as_fd(), name.as_str()));
        dir = opened.map_err(|e| trouble.entry(name.as_bytes(), "make", e))?;
    }
    Ok(dir)
}

#[expect(clippy::too_many_arguments, reason = "what one tree of a copy is made of")]
fn fill_tree(
    archive: &Archive,
    at: usize,
    tree: &CopyTree,
    job: &CopyJob,
    root: OwnedFd,
    meter: &mut Meter<'_>,
    made: &mut CopyMade,
    trouble: &Trouble,
) -> Result<TreeSize, FsError> {
    let volume = archive.index.volumes.get(at).filter(|volume| volume.frame_count > 0);
    let Some(volume) = volume else {
        return Err(archive.trouble.corrupt(format!("it has no contents for volume {at}")));
    };
    let totals = &volume.totals;
    meter.volume(&tree.target, tree.limits.bytes_max.min(totals.bytes))?;
    // What the place gives to all that is made in it stays.
    let giving = Giving::new(totals.flags_known, Giving::now(&root));
    let extractor = Extractor::new(root, Earlier::default(), &archive.jobs, giving, false, trouble)?;
    let mut sink = Owned::new(extractor, &job.owners);
    let size = match tree.paths.as_slice() {
        [] => {
            if totals.bytes > tree.limits.bytes_max || totals.entries > tree.limits.entries_max {
                let message =
                    format!("volume {at} goes beyond the limits: {} bytes, {} entries", totals.bytes, totals.entries);
                return Err(archive.trouble.of(FsErrorKind::Hostile, message));
            }
            extract_volume(archive, at, tree.limits, &mut sink, meter)?;
            totals.clone()
        }
        paths => extract_parts(archive, at, paths, tree.limits, &mut sink, meter)?,
    };
    meter.tell()?;
    made.owners_left += sink.owners_left;
    made.attributes_left += sink.attributes_left;
    made.flags_left.join(sink.flags_left());
    Ok(TreeSize {
        bytes: size.bytes,
        bytes_allocated: size.bytes_allocated,
        entries: size.entries,
        immutable: 0,
        frozen: 0,
    })
}
