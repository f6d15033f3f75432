//! What this machine is recognised by, and what this process may do.

use std::fs;

use rustix::{
    process::{getegid, geteuid, getgroups},
    thread::{CapabilitySet, capabilities},
};
use volsnap_core::model::Rights;

/// What the kernel lets this process make. Where it does not say what that is, root may do everything.
pub(crate) fn rights() -> Rights {
    let effective = match capabilities(None) {
        Ok(sets) => sets.effective,
        Err(_) if geteuid().is_root() => CapabilitySet::all(),
        Err(_) => CapabilitySet::empty(),
    };
    let others = getgroups().unwrap_or_default();
    Rights {
        uid: geteuid().as_raw(),
        gids: [getegid()].into_iter().chain(others).map(rustix::process::Gid::as_raw).collect(),
        owners: effective.contains(CapabilitySet::CHOWN),
        devices: effective.contains(CapabilitySet::MKNOD),
        trusted: effective.contains(CapabilitySet::SYS_ADMIN),
        capabilities: effective.contains(CapabilitySet::SETFCAP),
    }
}

/// The machine's id, which stays over reboots; empty where there is none.
///
/// An unreadable file gives the same answer as a missing one: the id only warns of a state directory that was copied
/// to another machine, and images of containers and appliances often come without it.
pub(crate) fn machine_id() -> String {
    match fs::read_to_string("/etc/machine-id") {
        Ok(text) => valid(&text),
        Err(error) => {
            tracing::debug!(%error, "no machine id");
            String::new()
        }
    }
}

/// `machine-id(5)`: 32 hexadecimal digits. During the first boot it may say `uninitialized`, on every such machine.
fn valid(text: &str) -> String {
    let id = text.trim();
    if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) { id.to_ascii_lowercase() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::valid;

    #[test]
    fn only_a_real_machine_id_counts() {
        assert_eq!(valid("0123456789abcdef0123456789ABCDEF\n"), "0123456789abcdef0123456789abcdef");
        assert_eq!(valid("uninitialized\n"), "");
        assert_eq!(valid(""), "");
    }
}
