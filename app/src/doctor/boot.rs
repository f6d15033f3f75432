//! Whether what a crash of the machine leaves is ended at the next boot. Asks systemd nothing: it looks at its files.

use std::{fs, path::Path};

use super::{Finding, Severity};

const UNITS: [&str; 2] = ["volsnap-recover.service", "volsnap-recover-containers.service"];
/// Where units are installed, the administrator's place first.
const PLACES: [&str; 4] = ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

pub(super) fn look(root: &Path) -> Vec<Finding> {
    // Made by systemd when it is the one that booted the machine (sd_booted(3)).
    let is_booted = root.join("run/systemd/system").is_dir();
    UNITS.iter().map(|unit| judge(root, unit, is_booted)).collect()
}

fn judge(root: &Path, unit: &str, is_booted: bool) -> Finding {
    let find = |severity, message: &str| Finding::new("boot", severity, unit, message);
    // A unit that is not there does no harm where nothing would start it.
    let missing = if is_booted { Severity::Warning } else { Severity::Note };
    let installed = PLACES.iter().any(|place| root.join(place).join(unit).exists());
    let enabled = PLACES.iter().take(2).any(|place| is_wanted(&root.join(place), unit));
    match (installed, enabled, is_booted) {
        (true, true, _) => find(Severity::Ok, "installed and enabled: crashes of the machine are ended at boot"),
        (true, false, _) => find(missing, "installed, but not enabled: nothing runs it at boot")
            .remedy(format!("systemctl enable {unit}")),
        (false, _, true) => {
            find(missing, "not installed: what a crash of the machine leaves waits for the next command")
                .remedy(format!("install -m 0644 app/systemd/{unit} /etc/systemd/system/ && systemctl enable {unit}"))
        }
        (false, _, false) => find(
            missing,
            "not installed, and systemd does not run here; let something else run `volsnap recover` at boot",
        ),
    }
}

/// Whether a link in one of the `.wants` and `.requires` directories names it.
fn is_wanted(place: &Path, unit: &str) -> bool {
    let Ok(entries) = fs::read_dir(place) else { return false };
    let pulls = |name: &str| name.ends_with(".wants") || name.ends_with(".requires");
    let dirs = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(pulls));
    dirs.map(|dir| dir.path().join(unit)).any(|link| fs::symlink_metadata(link).is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn units_are_judged_by_their_files_and_matter_where_systemd_runs() {
        let root = tempfile::tempdir().unwrap();
        let severities = || look(root.path()).iter().map(|f| f.severity).collect::<Vec<_>>();
        assert_eq!(severities(), [Severity::Note, Severity::Note]);
        fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        assert_eq!(severities(), [Severity::Warning, Severity::Warning]);
        let etc = root.path().join("etc/systemd/system");
        fs::create_dir_all(etc.join("multi-user.target.wants")).unwrap();
        fs::write(etc.join(UNITS[0]), "").unwrap();
        let first = &look(root.path())[0];
        assert_eq!(
            (first.severity, first.remedy.as_deref()),
            (Severity::Warning, Some("systemctl enable volsnap-recover.service"))
        );
        symlink("/etc/systemd/system/volsnap-recover.service", etc.join("multi-user.target.wants").join(UNITS[0]))
            .unwrap();
        assert_eq!(severities(), [Severity::Ok, Severity::Warning]);
    }
}
