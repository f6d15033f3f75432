//! The control groups that an engine leaves behind when it is killed.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// The group under which the engine of that directory makes its containers' groups: killed ones leave theirs behind.
pub(super) fn cgroup_parent(dir: &Path) -> String {
    format!("/{}", dir.file_name().unwrap_or_default().to_string_lossy())
}

/// The groups that the engine of that directory may leave behind. Podman's lie beside those of other Podmans: ours are
/// known by the containers that it keeps.
pub(super) fn cgroup_parents(dir: &Path) -> Vec<String> {
    let kept = fs::read_dir(dir.join("data/overlay-containers")).into_iter().flatten().flatten();
    let podman = kept.flat_map(|entry| {
        let id = entry.file_name().to_string_lossy().into_owned();
        [
            format!("/libpod_parent/libpod-{id}"),
            format!("/libpod_parent/libpod-conmon-{id}"),
            format!("/conmon/libpod-{id}"),
        ]
    });
    podman.chain([cgroup_parent(dir)]).collect()
}

/// Does something to that group in each hierarchy.
pub(super) fn for_each_cgroup(parent: &str, what: fn(&Path)) {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in controllers.chain([root.to_path_buf()]) {
        what(&hierarchy.join(parent.trim_start_matches('/')));
    }
}

/// Removes a group with those below it, as far as nobody is in them.
pub(super) fn remove_cgroup(group: &Path) {
    for child in groups_in(group) {
        remove_cgroup(&child);
    }
    let _ = fs::remove_dir(group);
}

/// Thaws a group with those just below it.
pub(super) fn thaw(group: &Path) {
    for child in groups_in(group).into_iter().chain([group.to_path_buf()]) {
        for (file, thawed) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            // Never made: each kind of hierarchy has one of them.
            let file = fs::File::options().write(true).open(child.join(file));
            let _ = file.and_then(|mut file| file.write_all(thawed.as_bytes()));
        }
    }
}

fn groups_in(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}
