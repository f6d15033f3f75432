//! What differs, a line for each.

use volsnap::model::{Change, VolumeDifference, member::printable};

use super::{
    member::place,
    table::{bytes, number},
};

/// `A`, `D` or `M`, the path, and what has changed. No name makes more than one line of it, or disturbs a terminal.
pub fn change(target: &str, change: &Change) -> String {
    match change {
        Change::Added(member) => format!("A {}", place(target, &member.path)),
        Change::Removed(member) => format!("D {}", place(target, &member.path)),
        Change::Changed { after, what, .. } => {
            let what: Vec<&str> = what.iter().map(|aspect| aspect.word()).collect();
            format!("M {} ({})", place(target, &after.path), what.join(", "))
        }
    }
}

/// `/data: 1 added (5 B), 2 removed (10 B), 1 changed (8 B)`.
pub fn difference(volume: &VolumeDifference) -> String {
    let part = |count: u64, word: &str, size: u64| match count {
        0 => None,
        _ => Some(format!("{} {word} ({})", number(count), bytes(size))),
    };
    let parts = [
        part(volume.added, "added", volume.bytes_added),
        part(volume.removed, "removed", volume.bytes_removed),
        part(volume.changed, "changed", volume.bytes_changed),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let target = printable(volume.target.as_bytes());
    match parts.is_empty() {
        true => format!("{target}: the same"),
        false => format!("{target}: {}", parts.join(", ")),
    }
}
