//! The end of a process and of a machine, and how the next one finds it.

use std::path::PathBuf;

use crate::{chooser::Chooser, fault::Trouble, world::World};

/// How the machine comes up.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    /// Mount points of the filesystems that are not mounted yet.
    pub unmounted: Vec<PathBuf>,
    /// Mount points of the filesystems that are read-only at first.
    pub read_only: Vec<PathBuf>,
    /// Whether the container engine is down at first.
    pub engine_down: bool,
}

impl World {
    /// The process is gone; the machine runs on. What it held is free, what it did is there, synced or not.
    pub fn restart_process(&mut self) {
        self.note(format_args!("--- the process is gone; a new one starts"));
        self.begin_process();
    }

    /// The power goes, and comes back: what was not synced is lost as the chooser says, each disk for itself; then
    /// the filesystems are mounted and the container engine starts containers by their policies.
    pub fn reboot(&mut self, chooser: &mut Chooser, boot: &Boot) {
        self.cut_power(chooser);
        self.boot_up(boot);
    }

    /// Only the first half of a reboot: nothing runs, nothing is mounted but the platters can be read.
    pub fn cut_power(&mut self, chooser: &mut Chooser) {
        self.note(format_args!("--- the power goes"));
        for disk in &mut self.disks {
            // A settled disk has nothing to lose, and stays shared with the world before.
            if !disk.is_settled() {
                disk.get_mut().lose(chooser);
            }
        }
        self.engine_mut().lose(chooser);
        let choices = chooser.script();
        self.note(format_args!("--- lost by choices {choices:?}"));
    }

    /// Only the second half of a reboot.
    pub fn boot_up(&mut self, boot: &Boot) {
        self.boot += 1;
        for disk in &mut self.disks {
            let named = |mounts: &[PathBuf]| mounts.iter().any(|mount| **mount == *disk.mount);
            let (mounted, read_only) = (!named(&boot.unmounted), named(&boot.read_only));
            if (mounted, read_only) != (disk.mounted, disk.read_only) {
                let disk = disk.get_mut();
                (disk.mounted, disk.read_only) = (mounted, read_only);
            }
        }
        self.begin_process();
        self.engine_mut().up = !boot.engine_down;
        if !boot.engine_down {
            self.start_by_policy();
        }
    }

    /// The filesystem of that mount point appears, writable.
    pub fn mount(&mut self, mount: &std::path::Path) {
        self.note(format_args!("--- {} is mounted", mount.display()));
        for disk in self.disks.iter_mut().filter(|disk| *disk.mount == *mount) {
            let disk = disk.get_mut();
            disk.mounted = true;
            disk.read_only = false;
        }
    }

    /// Whether the container engine cannot be reached.
    #[must_use]
    pub fn engine_is_down(&self) -> bool {
        !self.engine.up
    }

    /// The container engine comes up late, and starts containers by their policies.
    pub fn start_engine(&mut self) {
        self.note(format_args!("--- the container engine is up"));
        self.engine_mut().up = true;
        self.start_by_policy();
    }

    fn begin_process(&mut self) {
        self.dead = false;
        self.ops = 0;
        self.locks.clear();
        self.deploy_locks.clear();
        self.claims.clear();
        self.copy_leases.clear();
        self.trouble = Trouble::default();
        self.points = None;
        if self.history.is_some() {
            self.history = Some(Vec::new());
        }
        self.clock.next_process();
    }
}
