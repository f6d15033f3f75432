//! What a container mounts: which mounts are directories that a snapshot can hold.

use std::{
    collections::BTreeMap,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use bollard::models::{ContainerInspectResponse, MountPoint, Volume};
use volsnap_core::model::Mount;

use crate::touch::Sources;

/// The engine's named volumes, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes(BTreeMap<String, Volume>);

impl Volumes {
    pub(crate) fn new(volumes: Vec<Volume>) -> Self {
        Volumes(volumes.into_iter().map(|volume| (volume.name.clone(), volume)).collect())
    }

    /// Adds what the mount shows of the host.
    pub(crate) fn add_sources(&self, mount: &MountPoint, sources: &mut Sources) {
        let volume = mount.name.as_ref().and_then(|name| self.0.get(name));
        // The list of containers leaves the source of a volume out where the container never ran.
        let at = mount.source.clone().filter(|s| !s.is_empty()).or_else(|| volume.map(|v| v.mountpoint.clone()));
        let device = volume.and_then(|v| v.options.get("device")).map(PathBuf::from).filter(|path| path.is_absolute());
        sources.paths.extend(at.map(PathBuf::from).filter(|path| path.is_absolute()));
        sources.paths.extend(device.clone());
        sources.devices.extend(device);
    }

    /// The directory that holds the data of a volume, and whether its options let containers write to it; or why no
    /// directory of the host does.
    fn directory(&self, mount: &MountPoint) -> Result<(PathBuf, bool), String> {
        let name = mount.name.as_deref().unwrap_or_default();
        let volume = self.0.get(name);
        let driver = mount.driver.as_deref().or(volume.map(|v| v.driver.as_str())).unwrap_or("local");
        if driver != "local" && !driver.is_empty() {
            return Err(format!("volume {name} of the driver {driver}"));
        }
        let option = |key: &str| volume.and_then(|v| v.options.get(key)).map_or("", String::as_str);
        let (kind, device) = (option("type"), option("device"));
        let flags: Vec<&str> = option("o").split(',').collect();
        let is_bind = kind == "bind" || flags.iter().any(|flag| ["bind", "rbind"].contains(flag));
        if is_bind && Path::new(device).is_absolute() {
            // The volume's own place shows it only while a container runs: the data are in the directory behind it.
            let device = PathBuf::from(device);
            return match not_a_directory(&device) {
                None => Ok((device, !flags.contains(&"ro"))),
                Some(what) => Err(format!("volume {name} shows {}: {what}", device.display())),
            };
        }
        match (kind, device) {
            ("" | "none", "") => Ok((PathBuf::from(mount.source.clone().unwrap_or_default()), true)),
            ("tmpfs", _) => Err(format!("volume {name} is held in memory")),
            (kind, device) => Err(format!(
                "volume {name} is {} at {device}, which the engine mounts only while a container runs; mount it on the host \
                 and declare that directory with --volume",
                match kind {
                    "" | "none" => "a filesystem".to_string(),
                    kind => format!("a filesystem of type {kind}"),
                }
            )),
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
    let mut source = PathBuf::from(mount.source.clone().unwrap_or_default());
    let mut writable = mount.rw.unwrap_or(true);
    let name = mount.name.clone().filter(|name| !name.is_empty());
    let (volume, unsupported) = match mount.typ.as_deref().unwrap_or_default() {
        "bind" => (None, not_a_directory(&source)),
        "volume" => {
            let unsupported = match volumes.directory(mount) {
                Ok((directory, may_write)) => {
                    source = directory;
                    writable &= may_write;
                    None
                }
                Err(why) => Some(why),
            };
            (name, unsupported)
        }
        "tmpfs" => (None, Some("held in memory".into())),
        "npipe" => (None, Some("a named pipe".into())),
        "image" => (name, Some("part of an image".into())),
        "cluster" => (name, Some("a volume of the cluster".into())),
        kind => (name, Some(format!("a mount of an unknown kind ({kind})"))),
    };
    Mount { target: mount.destination.clone().unwrap_or_default(), source, volume, writable, unsupported }
}

/// Why a bind source is no directory.
///
/// A source that is missing counts as a directory (the engine will make one), and so does one that cannot be looked
/// at: whoever restores it must hear of that, and not of a mount that was left out.
fn not_a_directory(source: &Path) -> Option<String> {
    match std::fs::metadata(source) {
        Ok(found) if found.is_dir() => None,
        Ok(found) if found.is_file() => Some("a single file; only a mount of its directory can be a volume".into()),
        Ok(found) if found.file_type().is_socket() => Some("a socket".into()),
        Ok(_) => Some("a device or a pipe".into()),
        Err(_) if source.ends_with("docker.sock") => Some("a socket".into()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

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
        assert!(objection(&bind("/proc/version"), &none).unwrap().starts_with("a single file"));
        assert_eq!(objection(&bind("/dev/null"), &none).unwrap(), "a device or a pipe");
        assert_eq!(objection(&bind("/nowhere/docker.sock"), &none).unwrap(), "a socket");
        assert!(objection(&named("media", "rclone"), &none).unwrap().contains("driver rclone"));
        assert_eq!(objection(&named(&"0a".repeat(32), "local"), &none), None, "an anonymous volume is one like others");
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

    fn with_options(options: &[(&str, &str)]) -> Volumes {
        let options = options.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect();
        Volumes::new(vec![Volume { name: "share".into(), driver: "local".into(), options, ..Default::default() }])
    }

    #[test]
    fn a_volume_that_is_a_bind_mount_is_the_directory_behind_it() {
        let volumes = with_options(&[("type", "none"), ("device", "/srv/share"), ("o", "bind")]);
        let mount = named("share", "local");
        let described = describe_one(&mount, &volumes);
        assert_eq!((described.unsupported, described.source), (None, PathBuf::from("/srv/share")));
        assert_eq!((described.volume.as_deref(), described.writable), (Some("share"), true));
        // Whoever mounts that directory, or the volume's own place, is seen.
        let own = PathBuf::from("/var/lib/docker/volumes/share/_data");
        let mut sources = Sources::default();
        volumes.add_sources(&mount, &mut sources);
        assert_eq!(sources.paths, [own, PathBuf::from("/srv/share")]);

        let read_only = with_options(&[("type", "none"), ("device", "/srv/share"), ("o", "ro,bind")]);
        assert!(!describe_one(&mount, &read_only).writable);
        let file = with_options(&[("device", "/proc/version"), ("o", "bind")]);
        assert!(objection(&mount, &file).unwrap().starts_with("volume share shows /proc/version: a single file"));
    }

    #[test]
    fn a_volume_that_is_a_filesystem_of_its_own_is_left_out_by_name() {
        let mount = named("share", "local");
        let nfs = with_options(&[("type", "nfs"), ("device", ":/exports/share"), ("o", "addr=10.0.0.1,rw")]);
        let why = objection(&mount, &nfs).unwrap();
        assert!(why.starts_with("volume share is a filesystem of type nfs at :/exports/share"), "{why}");
        let memory = with_options(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=100m")]);
        assert_eq!(objection(&mount, &memory).unwrap(), "volume share is held in memory");
        assert_eq!(objection(&mount, &with_options(&[("size", "10G")])), None, "a quota changes nothing");
    }
}
