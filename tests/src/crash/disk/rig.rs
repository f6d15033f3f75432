//! Real filesystems on recorded disks: server, loop devices, mkfs and mount points, all gone when it is dropped.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use fuser::BackgroundSession;
use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
};

use super::{
    guard::guarded,
    platter::{BLOCK, Platters},
    server::{Shared, forget, serve},
};

/// A type of filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// With a journal of one ordered log.
    Ext4,
    /// With a journal, and with inodes and their log in parts of the disk.
    Xfs,
    /// Copy on write, with a log for each fsync that orders nothing between directories.
    Btrfs,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Ext4, Kind::Xfs, Kind::Btrfs];

    /// As mount(8) and mkfs call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
        }
    }

    /// Blocks of a disk: small, so that there is little to read at each mount.
    fn blocks(self) -> usize {
        let megabytes = match self {
            Kind::Ext4 => 24,
            Kind::Xfs => 32,
            Kind::Btrfs => 128,
        };
        (megabytes << 20) / BLOCK
    }

    /// What is not written now is not written later by the kernel in the background, and nothing is discarded.
    fn mkfs(self, device: &Path) -> Command {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        match self {
            Kind::Ext4 => command
                .args(["-q", "-F", "-b", "4096", "-J", "size=4", "-N", "512", "-m", "0"])
                .args(["-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"]),
            // These three say that it is a test: else xfs makes nothing below 300 MB.
            Kind::Xfs => {
                command.args(["-q", "-f", "-K"]).envs(["TEST_DIR", "TEST_DEV", "QA_CHECK_FS"].map(|name| (name, "1")))
            }
            Kind::Btrfs => command.args(["-q", "-f", "-K", "-d", "single", "-m", "single"]),
        };
        command.arg(device);
        command
    }

    fn options(self) -> &'static std::ffi::CStr {
        match self {
            Kind::Ext4 => c"nodiscard,noinit_itable",
            Kind::Xfs => c"nodiscard",
            Kind::Btrfs => c"nodiscard",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some disks of one type, each with its mount point.
pub struct Rig {
    kind: Kind,
    disks: Shared,
    devices: Vec<PathBuf>,
    mounted: usize,
    /// The order of the last two matters: the server goes before the directory that it is mounted on.
    session: Option<BackgroundSession>,
    dir: tempfile::TempDir,
}

impl Rig {
    /// Makes so many disks, with a filesystem on each and nothing mounted.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub fn new(kind: Kind, disks: usize) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("it needs root".into());
        }
        let guarded = guarded().ok_or("no guard stands by")?;
        let dir = tempfile::Builder::new().prefix("rig-").tempdir_in(guarded).map_err(|e| e.to_string())?;
        let shared = Shared::new(Platters::new(&vec![kind.blocks(); disks]));
        for name in ["disks"].into_iter().map(String::from).chain((0..disks).map(|disk| format!("mnt{disk}"))) {
            std::fs::create_dir(dir.path().join(name)).map_err(|e| e.to_string())?;
        }
        let session = serve(&shared, &dir.path().join("disks")).map_err(|e| format!("FUSE: {e}"))?;
        let mut rig = Rig { kind, disks: shared, devices: Vec::new(), mounted: 0, session: Some(session), dir };
        rig.attach(disks)?;
        for device in &rig.devices {
            run(&mut kind.mkfs(device))?;
        }
        Ok(rig)
    }

    /// The disks below the filesystems.
    #[must_use]
    pub fn disks(&self) -> &Shared {
        &self.disks
    }

    /// How many disks there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.devices.len()
    }

    /// Where a disk is mounted.
    #[must_use]
    pub fn mount_point(&self, disk: usize) -> PathBuf {
        self.dir.path().join(format!("mnt{disk}"))
    }

    /// The devices that the disks are at the moment.
    #[must_use]
    pub fn devices(&self) -> &[PathBuf] {
        &self.devices
    }

    fn attach(&mut self, disks: usize) -> Result<(), String> {
        for disk in 0..disks {
            let file = self.dir.path().join("disks").join(disk.to_string());
            let sector = format!("--sector-size={BLOCK}");
            let mut command = Command::new("losetup");
            command.args(["--find", "--show", &sector]).arg(file);
            self.devices.push(PathBuf::from(run(&mut command)?.trim()));
        }
        Ok(())
    }

    /// Gives every disk another device, as a reboot may.
    ///
    /// # Errors
    /// If there is no free loop device.
    pub fn change_devices(&mut self) -> Result<(), String> {
        let before = std::mem::take(&mut self.devices);
        let attached = self.attach(before.len());
        before.iter().for_each(|device| detach(self.kind, device));
        attached
    }

    /// Mounts every disk.
    ///
    /// # Errors
    /// If the filesystem refuses.
    pub fn mount(&mut self) -> Result<(), String> {
        let stale = self.disks.lock().take_stale();
        let notifier = self.session.as_ref().map(BackgroundSession::notifier).ok_or("the server is gone")?;
        for (disk, blocks) in stale.into_iter().enumerate() {
            let blocks: Vec<u32> = blocks.into_iter().collect();
            forget(&notifier, disk, &blocks).map_err(|e| format!("FUSE: {e}"))?;
            forget_device(&self.devices[disk]).map_err(|e| format!("{}: {e}", self.devices[disk].display()))?;
        }
        while self.mounted < self.devices.len() {
            let (device, point) = (&self.devices[self.mounted], self.mount_point(self.mounted));
            mount(device, &point, self.kind.name(), MountFlags::NOATIME, Some(self.kind.options()))
                .map_err(|errno| format!("disk {} does not mount: {errno}", self.mounted))?;
            self.mounted += 1;
        }
        Ok(())
    }

    /// Unmounts every disk.
    ///
    /// # Errors
    /// If one stays busy.
    pub fn unmount(&mut self) -> Result<(), String> {
        while let Some(disk) = self.mounted.checked_sub(1) {
            let point = self.mount_point(disk);
            let mut tries_left = 200;
            loop {
                match unmount(&point, UnmountFlags::empty()) {
                    Ok(()) => break,
                    Err(Errno::BUSY) if tries_left > 0 => std::thread::sleep(std::time::Duration::from_millis(5)),
                    Err(errno) => return Err(format!("disk {disk} does not unmount: {errno}")),
                }
                tries_left -= 1;
            }
            self.mounted = disk;
        }
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for disk in (0..self.mounted).rev() {
            // Also with files open: what keeps them open is at its end, too.
            let _ = unmount(self.mount_point(disk), UnmountFlags::DETACH);
        }
        self.devices.iter().for_each(|device| detach(self.kind, device));
        if let Some(session) = self.session.take()
            && let Err(error) = session.umount_and_join()
        {
            eprintln!("the server of {} is not unmounted: {error}", self.dir.path().display());
        }
    }
}

/// Makes a subvolume on a mounted btrfs, and the directories above it.
///
/// # Errors
/// What did not work.
pub fn subvolume(at: PathBuf) -> Result<PathBuf, String> {
    at.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(|e| e.to_string())?;
    run(Command::new("btrfs").args(["subvolume", "create"]).arg(&at)).map(|_| at)
}

/// Drops what the kernel keeps of a device that is not mounted. It does so by itself when nobody has the device open any
/// more, but others may have: whoever looks for filesystems on all devices of the machine (blkid, udev, mkfs) opens this
/// one, too. ext4 would then find the journal of an earlier image, clean, and replay nothing.
fn forget_device(device: &Path) -> std::io::Result<()> {
    let device = std::fs::File::open(device)?;
    rustix::fs::fadvise(&device, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

fn detach(kind: Kind, device: &Path) {
    if kind == Kind::Btrfs {
        // btrfs remembers devices that it has seen, and takes an older state of the same filesystem for an impostor.
        let _ = Command::new("btrfs").args(["device", "scan", "--forget"]).arg(device).output();
    }
    if let Err(error) = run(Command::new("losetup").arg("-d").arg(device)) {
        eprintln!("{error}");
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
