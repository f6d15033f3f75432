//! What an engine leaves behind: mounts and processes.

use super::*;

pub(super) fn unmount_below(dir: &Path) {
    let below = format!("{}/", dir.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut places: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    places.sort_unstable();
    for place in places.iter().rev().filter(|place| place.starts_with(&below)) {
        let _ = unmount(*place, UnmountFlags::DETACH);
    }
}

/// The processes that name our directory on their command line, and all their children: the containers' own processes
/// know nothing of it.
pub(super) fn processes_of(mark: &str) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // "pid (name) state parent …": the name may hold anything, also brackets.
        let Some(mut rest) = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()) else { continue };
        if rest.next() == Some("Z") {
            continue;
        }
        let parent = rest.next().and_then(|parent| parent.parse().ok()).unwrap_or_default();
        children.entry(parent).or_default().push(pid);
        let program = command.split(|b| *b == 0).next().unwrap_or_default();
        let program = String::from_utf8_lossy(program).into_owned();
        if PROGRAMS.iter().any(|ours| program.contains(ours)) && String::from_utf8_lossy(&command).contains(mark) {
            found.push(pid);
        }
    }
    let mut all = BTreeSet::new();
    while let Some(pid) = found.pop() {
        if all.insert(pid) {
            found.extend(children.get(&pid).into_iter().flatten());
        }
    }
    all
}
