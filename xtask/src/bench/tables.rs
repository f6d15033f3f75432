//! The figures as Markdown.

use std::{fs, path::Path};

use super::{
    ROUNDS,
    figures::{DOWNTIME_MAX_US, FACTOR_MAX_PERCENT, Figures, Measured, PEAK_MAX_BYTES, median, percent},
    world::WORLDS,
};

/// Both tables, and what they were measured on.
pub fn markdown(figures: &Figures) -> String {
    let mut lines =
        vec![format!("Medians of {ROUNDS} restores in one run, {}.", machine(Path::new("/var/tmp"))), String::new()];
    lines.extend(downtime(figures));
    lines.push(String::new());
    lines.extend(memory(figures));
    lines.join("\n")
}

fn downtime(figures: &Figures) -> Vec<String> {
    let mut head = vec!["downtime".to_string(), WORLDS[0].title.to_string()];
    head.extend(WORLDS[1..].iter().flat_map(|world| [world.title.to_string(), "factor".to_string()]));
    head.push("target".to_string());
    let target = format!("< {} ms, factor ≤ {}", DOWNTIME_MAX_US / 1000, hundredths(FACTOR_MAX_PERCENT));
    let mut rows = vec![compared("plain directories", &figures.directories, |m| &m.own_us, &target)];
    match &figures.containers {
        Ok(containers) => {
            rows.push(compared("a container, without the engine's calls", containers, |m| &m.own_us, &target));
            rows.push(compared("the engine's calls (stop, start)", containers, |m| &m.engine_us, "–"));
        }
        Err(why) => rows.push(vec![format!("a container: not measured, {why}")]),
    }
    table(&head, &rows)
}

fn compared(name: &str, worlds: &[Measured], values: impl Fn(&Measured) -> &Vec<u64>, target: &str) -> Vec<String> {
    let medians: Vec<u64> = worlds.iter().map(|world| median(values(world))).collect();
    let base = medians.first().copied().unwrap_or(0);
    let mut row = vec![name.to_string(), millis(base)];
    row.extend(medians.iter().skip(1).flat_map(|value| [millis(*value), hundredths(percent(*value, base))]));
    row.push(target.to_string());
    row
}

fn memory(figures: &Figures) -> Vec<String> {
    let mut head = vec!["peak of resident memory".to_string()];
    head.extend(WORLDS.iter().map(|world| world.title.to_string()));
    head.push("target".to_string());
    let row = |name: &str, peak: fn(&Measured) -> u64| {
        let worlds = (0..WORLDS.len()).map(|world| {
            let sets = [Some(&figures.directories), figures.containers.as_ref().ok()];
            let peaks = sets.into_iter().flatten().filter_map(|set| set.get(world).map(peak));
            mebi(peaks.max().unwrap_or(0))
        });
        let target = format!("< {}", mebi(PEAK_MAX_BYTES));
        std::iter::once(name.to_string()).chain(worlds).chain([target]).collect::<Vec<_>>()
    };
    table(&head, &[row("`create`", |m| m.create_peak_bytes), row("`restore`", |m| m.restore_peak_bytes)])
}

/// A table of Markdown, numbers to the right.
pub fn table(head: &[String], rows: &[Vec<String>]) -> Vec<String> {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let rule = format!("|---{}|", "|--:".repeat(head.len() - 1));
    [line(head), rule].into_iter().chain(rows.iter().map(|row| line(row))).collect()
}

fn millis(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

/// A number of hundredths.
pub fn hundredths(percent: u64) -> String {
    format!("{}.{:02}", percent / 100, percent % 100)
}

/// Rounded up: a figure that is printed as below the target is below it.
pub fn mebi(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// What a reader needs to judge the figures, of what is measured in the directory.
pub fn machine(dir: &Path) -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: String = kernel.trim().split(['-', '+']).next().unwrap_or_default().to_string();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    format!("Linux {kernel}, {cores} cores, {}", filesystem(&mounts, dir))
}

/// The type of the filesystem that holds `path`: the longest mount point above it, the last of equals.
pub fn filesystem(mounts: &str, path: &Path) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let (place, source) = line.split_once(" - ")?;
        Some((place.split(' ').nth(4)?, source.split(' ').next()?))
    });
    let above = mounts.filter(|(place, _)| path.starts_with(place));
    above.max_by_key(|(place, _)| place.len()).map_or("?", |(_, kind)| kind).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_hold_the_medians_and_their_factors() {
        let world = |us: u64| Measured {
            own_us: vec![us, us, 9 * us],
            engine_us: vec![200_000; 3],
            create_peak_bytes: 20 << 20,
            restore_peak_bytes: (20 << 20) + 1,
        };
        let worlds = || vec![world(4000), world(4400), world(5_040)];
        let printed = markdown(&Figures { directories: worlds(), containers: Ok(worlds()) });
        let lines: Vec<&str> = printed.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| downtime | 10 MB in 20 files | 2 GB in 20 files | factor | 10 MB in 100,000 files | factor | target |",
                "|---|--:|--:|--:|--:|--:|--:|",
                "| plain directories | 4.0 ms | 4.4 ms | 1.10 | 5.0 ms | 1.26 | < 100 ms, factor ≤ 1.50 |",
                "| a container, without the engine's calls | 4.0 ms | 4.4 ms | 1.10 | 5.0 ms | 1.26 | < 100 ms, factor ≤ 1.50 |",
                "| the engine's calls (stop, start) | 200.0 ms | 200.0 ms | 1.00 | 200.0 ms | 1.00 | – |",
                "",
                "| peak of resident memory | 10 MB in 20 files | 2 GB in 20 files | 10 MB in 100,000 files | target |",
                "|---|--:|--:|--:|--:|",
                "| `create` | 20 MiB | 20 MiB | 20 MiB | < 128 MiB |",
                "| `restore` | 21 MiB | 21 MiB | 21 MiB | < 128 MiB |",
            ]
        );
    }

    #[test]
    fn the_innermost_mount_names_the_filesystem() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /var rw shared:1 - xfs /dev/b rw\n3 1 0:5 / /run rw - tmpfs t rw\n";
        assert_eq!(filesystem(mounts, Path::new("/var/tmp")), "xfs");
    }
}
