//! A place for one test: an archive directory, a volume, a place to stage, and a look at trees that shares no code
//! with the archive.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::SeekFrom;
use uuid::Uuid;
use volsnap_core::{
    model::{
        ArchiveSummary, Manifest, ManifestVolume, Mode, Origin, RestoreId, SnapshotId, Source, WorkloadId,
        place::private_dir,
    },
    ports::{
        ArchiveSource, DraftArchive, FsError, Limits, Observer, Progress, Quiet, StageJob, Staged, Verified, Watch,
    },
};

/// No limits but on devices.
pub(super) const OPEN: Limits = Limits { bytes_max: u64::MAX, entries_max: u64::MAX, devices: true };

/// Threads: enough to come in each other's way.
pub(super) const JOBS: usize = 3;

pub(super) fn quiet() -> Watch {
    Arc::new(Quiet)
}

/// [`archive::verify`](crate::archive::verify) with [`JOBS`].
pub(super) fn verify(path: &Path, watch: &Watch) -> Result<Verified, FsError> {
    crate::archive::verify(path, JOBS, watch)
}

/// Asks for the end after so many questions.
pub(super) struct Impatient(pub(super) AtomicU64);

impl Observer for Impatient {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

pub(super) struct Scene {
    pub(super) dir: tempfile::TempDir,
    pub(super) manifest: Manifest,
}

impl Scene {
    /// A scene with so many volumes, all of them present.
    pub(super) fn new(volumes: usize) -> Self {
        Self::new_in(&std::env::temp_dir(), volumes)
    }

    /// The same, with all its directories below that one.
    pub(super) fn new_in(base: &Path, volumes: usize) -> Self {
        let volume = |i| ManifestVolume { target: format!("/data{i}"), absent: false, ..ManifestVolume::default() };
        let manifest = Manifest {
            format: 1,
            snapshot: SnapshotId(Uuid::from_u128(0x51)),
            workload: WorkloadId(Uuid::from_u128(0x52)),
            workload_name: "app".into(),
            source: Source::Directories,
            created_at: "2026-05-01T12:00:00Z".parse().unwrap(),
            mode: Mode::Stop,
            origin: Origin::Manual,
            note: None,
            images: Vec::new(),
            volumes: (0..volumes).map(volume).collect(),
            registration: None,
            imported: None,
            sequence: None,
        };
        let scene = Scene { dir: tempfile::tempdir_in(base).unwrap(), manifest };
        for i in 0..volumes {
            std::fs::create_dir(scene.volume(i)).unwrap();
        }
        scene
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn volume(&self, i: usize) -> PathBuf {
        self.path().join(format!("live{i}"))
    }

    pub(super) fn archives(&self) -> PathBuf {
        self.path().join("snapshots/workload")
    }

    pub(super) fn archive(&self) -> PathBuf {
        self.archives().join(format!("{}.tar.zst", self.manifest.snapshot))
    }

    pub(super) fn sources(&self) -> Vec<ArchiveSource> {
        let source = |(i, volume): (usize, &ManifestVolume)| ArchiveSource {
            target: volume.target.clone(),
            root: (!volume.absent).then(|| self.volume(i)),
        };
        self.manifest.volumes.iter().enumerate().map(source).collect()
    }

    /// Archives all volumes.
    pub(super) fn pack(&self) -> ArchiveSummary {
        seal(crate::archive::draft(&self.archives(), &self.manifest, &self.sources(), JOBS, &quiet()).unwrap()).unwrap()
    }

    pub(super) fn job(&self, digest: &str, index: Option<usize>) -> StageJob {
        let live = self.volume(index.unwrap_or(0));
        StageJob {
            workload: self.manifest.workload,
            snapshot: self.manifest.snapshot,
            archive_digest: digest.into(),
            index,
            target: "/data".into(),
            private: private_dir(&live, RestoreId(Uuid::from_u128(0x53)), index.unwrap_or(0)),
            like: None,
            entries_of: None,
            standing: None,
            limits: OPEN,
            resume: false,
        }
    }

    /// Archives and stages volume 0; gives where it stands.
    pub(super) fn pack_and_stage(&self) -> PathBuf {
        let summary = self.pack();
        self.stage(&self.job(&summary.digest, Some(0))).unwrap();
        self.job("", Some(0)).private.join("staged")
    }

    pub(super) fn stage(&self, job: &StageJob) -> Result<Staged, FsError> {
        crate::archive::stage(&self.archive(), job, JOBS, &quiet())
    }
}

pub(super) fn seal(draft: Box<dyn DraftArchive>) -> Result<ArchiveSummary, FsError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(draft.seal(7))
}

/// Everything about an entry that a restore must give back.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct Look {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) mtime: (i64, i64),
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) contents: Vec<u8>,
    pub(super) link: PathBuf,
    pub(super) device: u64,
    pub(super) holes: Vec<(u64, u64)>,
    /// The first path that is the same file.
    pub(super) same_as: PathBuf,
}

/// What a tree is, entry by entry, with the root under the empty path.
pub(super) fn look_at(root: &Path) -> BTreeMap<PathBuf, Look> {
    let (mut looks, mut first) = (BTreeMap::new(), BTreeMap::new());
    look_below(root, Path::new(""), &mut looks, &mut first);
    looks
}

/// Looks at an entry that can be reached by a short path, and at what is in it: its own path may be too long for a call.
fn look_below(reach: &Path, path: &Path, looks: &mut BTreeMap<PathBuf, Look>, first: &mut BTreeMap<u64, PathBuf>) {
    let meta = std::fs::symlink_metadata(reach).unwrap();
    let kind = meta.file_type();
    let same_as =
        if kind.is_dir() { path.to_path_buf() } else { first.entry(meta.ino()).or_insert(path.to_path_buf()).clone() };
    let look = Look {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        xattrs: xattrs(reach),
        contents: if kind.is_file() { std::fs::read(reach).unwrap() } else { Vec::new() },
        link: if kind.is_symlink() { std::fs::read_link(reach).unwrap() } else { PathBuf::new() },
        device: meta.rdev(),
        holes: if kind.is_file() { holes(reach) } else { Vec::new() },
        same_as,
    };
    looks.insert(path.to_path_buf(), look);
    if kind.is_dir() {
        let dir = std::fs::File::open(reach).unwrap();
        let reach = by_descriptor(&dir);
        let mut names: Vec<_> = std::fs::read_dir(&reach).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            look_below(&reach.join(&name), &path.join(&name), looks, first);
        }
    }
}

/// A short path to an open directory, however deep it lies.
pub(super) fn by_descriptor(dir: &std::fs::File) -> PathBuf {
    format!("/proc/self/fd/{}", dir.as_raw_fd()).into()
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap();
    let names = names[..length].split(|&b| b == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice()).unwrap();
        value[..length].to_vec()
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

fn holes(path: &Path) -> Vec<(u64, u64)> {
    let file = std::fs::File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let mut holes = Vec::new();
    let mut at = 0;
    while at < size {
        let data = rustix::fs::seek(&file, SeekFrom::Data(at)).unwrap_or(size);
        if data > at {
            holes.push((at, data));
        }
        at = if data < size { rustix::fs::seek(&file, SeekFrom::Hole(data)).unwrap() } else { size };
    }
    holes
}
