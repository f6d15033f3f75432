//! What this process may do, and who may look into the state directory.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use super::{Finding, Severity};

/// What bringing back any tree takes, by the kernel's number.
const NEEDED: [(u32, &str, &str); 7] = [
    (0, "CAP_CHOWN", "owners of files"),
    (1, "CAP_DAC_OVERRIDE", "files of other users"),
    (3, "CAP_FOWNER", "modes and times of other users' files"),
    (4, "CAP_FSETID", "set-group-id bits"),
    (21, "CAP_SYS_ADMIN", "trusted attributes"),
    (27, "CAP_MKNOD", "device nodes"),
    (31, "CAP_SETFCAP", "capabilities of programs"),
];

pub(super) fn look() -> Vec<Finding> {
    let find = |severity, message: String| Finding::new("rights", severity, "this process", message);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let effective = field("CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let user = field("Uid:").and_then(|ids| ids.split_whitespace().nth(1));
    let (Some(effective), Some(user)) = (effective, user) else {
        return vec![find(Severity::Note, "/proc/self/status does not say what it may do".into())];
    };
    vec![judge(effective, user)]
}

fn judge(effective: u64, user: &str) -> Finding {
    let find = |severity, message: String| Finding::new("rights", severity, "this process", message);
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(number, ..)| effective & (1 << number) == 0)
        .map(|(_, name, what)| format!("{name} ({what})"))
        .collect();
    match (missing.is_empty(), user) {
        (true, _) => find(Severity::Ok, format!("runs as user {user} with every right that a restore may need")),
        (false, "0") => find(Severity::Warning, format!("runs as root, but without {}", missing.join(", ")))
            .remedy("give it these capabilities, or restore only trees that do without"),
        (false, _) => find(
            Severity::Warning,
            format!("runs as user {user}: it restores only what this user may make, and none of other owners"),
        )
        .remedy("run it as root, such as with sudo"),
    }
}

/// Archives hold whatever the volumes hold, for anybody who can read them.
pub(super) fn state_dir(dir: &Path, fix: bool) -> Vec<Finding> {
    let find = |severity, message: String| Finding::new("state", severity, dir.display().to_string(), message);
    let seen = match fs::metadata(dir) {
        Ok(seen) => seen,
        Err(error) => return vec![find(Severity::Problem, error.to_string())],
    };
    let mode = seen.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return vec![find(Severity::Ok, format!("only its owner, user {}, may look into it", seen.uid()))];
    }
    let open = find(Severity::Problem, format!("others may look into it: its mode is {mode:04o}"))
        .remedy(format!("chmod 0700 {}", dir.display()));
    vec![match fix {
        true => open.mended(fs::set_permissions(dir, fs::Permissions::from_mode(0o700))),
        false => open,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(judge(u64::MAX, "0").severity, Severity::Ok);
        let without = judge(!(1 << 27), "0");
        assert_eq!(without.severity, Severity::Warning);
        assert!(without.message.ends_with("without CAP_MKNOD (device nodes)"), "{}", without.message);
        assert!(judge(0, "1000").message.contains("user 1000"));
    }
}
