//! What a container mounts: which mounts are directories that a snapshot can hold, and which paths touch each other.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use bollard::models::{ContainerInspectResponse, MountPoint, Volume};
use volsnap_core::model::Mount;

/// The engine's named volumes, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes(BTreeMap<String, Volume>);

impl Volumes {
    pub(crate) fn new(volumes: Vec<Volume>) -> Self {
        Volumes(volumes.into_iter().map(|volume| (volume.name.clone(), volume)).collect())
    }

    /// Every directory of the host that the mount shows: its source and, for a volume that is itself a bind mount
    /// (local driver with a `device`), the directory behind it.
    pub(crate) fn sources(&self, mount: &MountPoint) -> Vec<PathBuf> {
        let volume = mount.name.as_ref().and_then(|name| self.0.get(name));
        // The list of containers leaves the source of a volume out where the container never ran.
        let at = mount.source.clone().filter(|s| !s.is_empty()).or_else(|| volume.map(|v| v.mountpoint.clone()));
        let device = volume.and_then(|v| v.options.get("device").cloned());
        at.into_iter().chain(device).map(PathBuf::from).filter(|path| path.is_absolute()).collect()
    }

    /// Why the volume cannot be part of a snapshot.
    fn objection(&self, name: &str, driver: Option<&str>) -> Option<String> {
        let volume = self.0.get(name);
        let driver = driver.or(volume.map(|v| v.driver.as_str())).unwrap_or("local");
        let labelled = volume.is_some_and(|v| v.labels.contains_key("com.docker.volume.anonymous"));
        if driver != "local" && !driver.is_empty() {
            Some(format!("volume {name} of the driver {driver}"))
        } else if labelled || is_anonymous(name) {
            Some("an anonymous volume".into())
        } else if volume.is_some_and(|v| ["type", "device", "o"].iter().any(|key| v.options.contains_key(*key))) {
            // Its directory is mounted only while a container uses it: a rename would work on the empty place below.
            Some(format!("volume {name} is a filesystem that the engine mounts when it is used"))
        } else {
            None
        }
    }
}

/// Whether the engine made up the name of the volume.
pub(crate) fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What a container mounts. The engine's own list lacks what was asked for by `--tmpfs`.
pub(crate) fn of(seen: &ContainerInspectResponse) -> Vec<MountPoint> {
    let mut mounts = seen.mounts.clone().unwrap_or_default();
    let in_memory = seen.host_config.as_ref().and_then(|host| host.tmpfs.clone()).unwrap_or_default();
    for target in in_memory.into_keys() {
        if !mounts.iter().any(|mount| mount.destination.as_ref() == Some(&target)) {
            mounts.push(MountPoint { typ: Some("tmpfs".into()), destination: Some(target), ..Default::default() });
        }
    }
    mounts
}

/// The port's view of a container's mounts, by their place in the container: the engine's own order is random.
///
/// Looks at the host's disk, so it must not run on a thread of the runtime.
pub(crate) fn describe(mounts: &[MountPoint], volumes: &Volumes) -> Vec<Mount> {
    let mut described: Vec<Mount> = mounts.iter().map(|mount| describe_one(mount, volumes)).collect();
    described.sort_by(|a, b| a.target.cmp(&b.target));
    described
}

fn describe_one(mount: &MountPoint, volumes: &Volumes) -> Mount {
    let source = PathBuf::from(mount.source.clone().unwrap_or_default());
    let name = mount.name.clone().filter(|name| !name.is_empty());
    let (volume, unsupported) = match mount.typ.as_deref().unwrap_or_default() {
        "bind" => (None, not_a_directory(&source)),
        "volume" => {
            let objection = volumes.objection(name.as_deref().unwrap_or_default(), mount.driver.as_deref());
            (name, objection)
        }
        "tmpfs" => (None, Some("held in memory".into())),
        "npipe" => (None, Some("a named pipe".into())),
        "image" => (name, Some("part of an image".into())),
        "cluster" => (name, Some("a volume of the cluster".into())),
        kind => (name, Some(format!("a mount of an unknown kind ({kind})"))),
    };
    Mount {
        target: mount.destination.clone().unwrap_or_default(),
        source,
        volume,
        writable: mount.rw.unwrap_or(true),
        unsupported,
    }
}

/// Why a bind source is no directory.
///
/// A source that is missing counts as a directory (the engine will make one), and so does one that cannot be looked
/// at: whoever restores it must hear of that, and not of a mount that was left out.
fn not_a_directory(source: &Path) -> Option<String> {
    match std::fs::metadata(source) {
        Ok(found) if found.is_dir() => None,
        Ok(found) if found.is_file() => Some("a single file".into()),
        Ok(found) if found.file_type().is_socket() => Some("a socket".into()),
        Ok(_) => Some("a device or a pipe".into()),
        Err(_) if source.ends_with("docker.sock") => Some("a socket".into()),
        Err(_) => None,
    }
}

/// The path with its links resolved; what does not exist yet is kept as it stands below what does.
pub(crate) fn canonical(path: &Path) -> PathBuf {
    match std::fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => canonical(parent).join(name),
            _ => path.to_path_buf(),
        },
        Err(_) => path.to_path_buf(),
    }
}

/// Whether one of the paths is the other or lies above it, component by component.
pub(crate) fn touch(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// Which of the mounts' directories touch one of the paths. Looks at the host's disk.
pub(crate) fn touching(sources: &HashMap<String, Vec<PathBuf>>, paths: &[PathBuf]) -> Vec<String> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| canonical(path)).collect();
    let mut ids: Vec<String> = sources
        .iter()
        .filter(|(_, sources)| {
            sources.iter().map(|s| canonical(s)).any(|source| paths.iter().any(|path| touch(path, &source)))
        })
        .map(|(id, _)| id.clone())
        .collect();
    ids.sort();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(source: &str) -> MountPoint {
        MountPoint {
            typ: Some("bind".into()),
            source: Some(source.into()),
            destination: Some("/data".into()),
            rw: Some(true),
            ..Default::default()
        }
    }

    fn named(name: &str, driver: &str) -> MountPoint {
        MountPoint {
            typ: Some("volume".into()),
            name: Some(name.into()),
            driver: Some(driver.into()),
            source: Some(format!("/var/lib/docker/volumes/{name}/_data")),
            destination: Some("/data".into()),
            rw: Some(true),
            ..Default::default()
        }
    }

    fn objection(mount: &MountPoint, volumes: &Volumes) -> Option<String> {
        describe_one(mount, volumes).unsupported
    }

    #[test]
    fn directories_and_plain_named_volumes_are_supported() {
        let none = Volumes::default();
        assert_eq!(objection(&bind("/tmp"), &none), None);
        assert_eq!(objection(&bind("/nowhere/yet"), &none), None, "the engine would make it");
        assert_eq!(objection(&named("pgdata", "local"), &none), None);
        assert_eq!(describe_one(&named("pgdata", "local"), &none).volume.as_deref(), Some("pgdata"));
    }

    #[test]
    fn what_is_no_directory_of_the_host_is_left_out_with_a_reason() {
        let none = Volumes::default();
        assert_eq!(objection(&bind("/proc/version"), &none).unwrap(), "a single file");
        assert_eq!(objection(&bind("/dev/null"), &none).unwrap(), "a device or a pipe");
        assert_eq!(objection(&bind("/nowhere/docker.sock"), &none).unwrap(), "a socket");
        assert!(objection(&named("media", "rclone"), &none).unwrap().contains("driver rclone"));
        assert_eq!(objection(&named(&"0a".repeat(32), "local"), &none).unwrap(), "an anonymous volume");
        let tmpfs = MountPoint { typ: Some("tmpfs".into()), ..bind("") };
        assert_eq!(objection(&tmpfs, &none).unwrap(), "held in memory");
        let unknown = MountPoint { typ: None, ..bind("/tmp") };
        assert!(objection(&unknown, &none).is_some());
    }

    #[test]
    fn a_tmpfs_is_seen_however_it_was_asked_for() {
        use bollard::models::HostConfig;
        let tmpfs = HashMap::from([("/scratch".into(), String::new()), ("/data".into(), String::new())]);
        let seen = ContainerInspectResponse {
            mounts: Some(vec![bind("/srv")]),
            host_config: Some(HostConfig { tmpfs: Some(tmpfs), ..Default::default() }),
            ..Default::default()
        };
        let described = describe(&of(&seen), &Volumes::default());
        let targets: Vec<(&str, bool)> = described.iter().map(|m| (&*m.target, m.unsupported.is_some())).collect();
        assert_eq!(targets, [("/data", false), ("/scratch", true)]);
    }

    #[test]
    fn a_volume_that_is_mounted_on_use_is_left_out_but_its_device_is_seen() {
        let volume = Volume {
            name: "share".into(),
            driver: "local".into(),
            options: HashMap::from([("device".into(), "/srv/share".into()), ("o".into(), "bind".into())]),
            ..Default::default()
        };
        let volumes = Volumes::new(vec![volume]);
        let mount = named("share", "local");
        assert!(objection(&mount, &volumes).unwrap().contains("mounts when it is used"));
        assert!(volumes.sources(&mount).contains(&PathBuf::from("/srv/share")));
    }

    #[test]
    fn paths_touch_on_whole_components_only() {
        assert!(touch(Path::new("/srv/app"), Path::new("/srv/app")));
        assert!(touch(Path::new("/srv/app/db"), Path::new("/srv/app")));
        assert!(touch(Path::new("/srv"), Path::new("/srv/app")));
        assert!(!touch(Path::new("/srv/app2"), Path::new("/srv/app")));
    }

    #[test]
    fn what_does_not_exist_is_resolved_up_to_where_it_would_be() {
        assert_eq!(canonical(Path::new("/proc/self/../nowhere/deep")), Path::new("/proc/nowhere/deep"));
    }
}
