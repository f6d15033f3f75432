//! The promises of the ports for disks, kept by the simulator: what crash tests rely on is what a disk does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use volsnap_core::{model::WorkloadId, ports::Filesystem as _};
use volsnap_sim::{DiskSpec, Machine, WorldBuilder, disk::Special};
use volsnap_tests::{
    archives_contract,
    contracts::disks::{Disks, Harness, Subvolumes, Tree},
    filesystem_contract, journals_contract,
};

filesystem_contract!(Simulated::new());
archives_contract!(Simulated::new());
journals_contract!(Simulated::new());

mod with_subvolumes {
    use super::Simulated;

    volsnap_tests::filesystem_contract!(Simulated::with_subvolumes());
    volsnap_tests::archives_contract!(Simulated::with_subvolumes());
    volsnap_tests::subvolume_contract!(Some(Simulated::with_subvolumes()));
}

struct Simulated {
    machine: Machine,
}

impl Simulated {
    fn new() -> Self {
        Simulated::on(DiskSpec::at("/data"))
    }

    fn with_subvolumes() -> Self {
        Simulated::on(DiskSpec { ordered: false, subvolumes: true, ..DiskSpec::at("/data") })
    }

    fn on(data: DiskSpec) -> Self {
        let world = WorldBuilder::new(DiskSpec::at("/"), "/state").disk(data).build();
        Simulated { machine: Machine::start(world) }
    }
}

impl Subvolumes for Simulated {
    fn put_subvolume(&self, dir: &Path) {
        self.machine.world().put_subvolume(dir);
    }

    fn put_snapshot(&self, of: &Path, to: &Path) {
        self.machine.world().put_snapshot(of, to);
    }

    fn freeze(&self, dir: &Path) {
        self.machine.world().mark(dir, Special::Frozen);
    }
}

impl Harness for Simulated {
    fn disks(&self) -> Arc<dyn Disks> {
        Arc::new(self.machine.disks())
    }

    fn second_process(&self) -> Arc<dyn Disks> {
        Arc::new(self.machine.disks())
    }

    fn data(&self) -> PathBuf {
        "/data".into()
    }

    fn put(&self, dir: &Path, tree: &Tree) {
        let mut world = self.machine.world();
        world.put_dir(dir);
        for (name, bytes) in tree {
            let path = dir.join(name);
            world.put_dir(path.parent().unwrap());
            world.put_file(&path, bytes);
        }
    }

    fn put_file(&self, path: &Path, bytes: &[u8]) {
        self.machine.world().put_file(path, bytes);
    }

    fn overwrite_file(&self, path: &Path, bytes: &[u8]) {
        self.machine.world().overwrite_file(path, bytes);
    }

    fn remove_file(&self, path: &Path) {
        self.machine.world().remove_file(path);
    }

    fn age(&self) {}

    fn remove_dir(&self, dir: &Path) {
        let removed = self.machine.run(self.machine.disks().remove_empty(dir));
        removed.done().unwrap().unwrap();
    }

    fn get(&self, dir: &Path) -> Option<Tree> {
        let tree = self.machine.world().tree(dir)?;
        Some(tree.into_iter().filter(|(name, _)| !name.ends_with('/')).collect())
    }

    fn drafts(&self, workload: WorkloadId) -> usize {
        let dir = Path::new("/state/snapshots").join(workload.to_string());
        self.machine.world().names(&dir).iter().filter(|name| name.ends_with(".draft")).count()
    }
}
