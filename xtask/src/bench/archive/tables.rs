//! The figures of archives as Markdown.

use super::{
    figures::{Alone, Compared, Figures, Row, Series},
    targets::{Target, gibi, per_second, targets},
};
use crate::bench::{
    figures::median,
    tables::{hundredths, mebi, table},
};

/// All tables, and what they were measured on.
pub fn markdown(figures: &Figures) -> String {
    let mut lines = vec![preface(figures)];
    let mut part = |title: &str, rows: Vec<String>| {
        // A head and its rule are no table yet.
        if rows.len() > 2 {
            lines.extend([String::new(), title.to_string(), String::new()]);
            lines.extend(rows);
        }
    };
    let mut absent = Vec::new();
    for (title, corpus) in &figures.corpora {
        match corpus {
            Ok((compared, _)) => part(&headline(compared), contest(compared)),
            Err(why) => absent.push(format!("Not measured: {title}: {why}.")),
        }
    }
    let measured: Vec<&(Compared, Alone)> = figures.corpora.iter().filter_map(|(_, c)| c.as_ref().ok()).collect();
    part("**Checking an archive**", verify(&measured));
    part("**One file out of an archive**", one_file(&measured));
    part("**By the number of jobs**: the fastest", by_jobs(&measured));
    part("**Progress as JSON, read through a pipe**: the fastest of all rounds", with_progress(&measured));
    if !figures.growth.is_empty() {
        let title = "**By the number of files**, of 1 KiB each; one round at the largest";
        part(title, growth(figures));
    }
    part("**Targets**", promises(&targets(figures)));
    lines.splice(1..1, absent);
    lines.join("\n")
}

fn preface(figures: &Figures) -> String {
    let installed = figures.versions.iter().filter_map(|(name, version)| Some(format!("{name} {}", version.as_ref()?)));
    let installed: Vec<String> = installed.collect();
    let missing: Vec<&str> = figures.versions.iter().filter(|(_, v)| v.is_none()).map(|(name, _)| *name).collect();
    let missing = if missing.is_empty() { String::new() } else { format!(" Not installed: {}.", missing.join(", ")) };
    format!(
        "Medians of at most {} rounds in one run, in brackets the fastest and the slowest; all contenders in turn in each \
         round.\n{}.\nThe disk alone: so many bytes written in one piece and synced, at the median speed of all rounds. Data and archives are in the page cache, everything \
         is synced before each run, and what a run wrote is on the disk (`syncfs`) before its time ends.\n{}.{missing}",
        figures.rounds,
        figures.machine,
        installed.join(", "),
    )
}

fn headline(compared: &Compared) -> String {
    let Compared { title, census, load, disk_bytes_per_second: speeds, .. } = compared;
    let (files, bytes) = (grouped(census.files), mebi(census.bytes));
    let ends = [speeds.iter().min(), speeds.iter().max()].map(|end| end.copied().unwrap_or(0));
    let [speed, least, most] = [median(speeds), ends[0], ends[1]].map(|speed| speed / 1_000_000);
    format!(
        "**{title}**: {files} files, {bytes}; the disk takes {speed} MB/s ({least}–{most}); load average {load} at the start"
    )
}

fn contest(compared: &Compared) -> Vec<String> {
    let base = compared.others.first();
    let row = |row: &Row| {
        let of = |own: u64, of: fn(&Row) -> u64| base.map_or("–".to_string(), |base| share(own, of(base)));
        vec![
            row.name.clone(),
            row.create.wall_us.len().to_string(),
            spread(&row.create),
            of(row.create.median_us(), |base| base.create.median_us()),
            mebi(row.archive_bytes),
            of(row.archive_bytes, |base| base.archive_bytes),
            seconds(compared.disk_us(row.archive_bytes)),
            spread(&row.restore),
            of(row.restore.median_us(), |base| base.restore.median_us()),
            seconds(compared.disk_us(compared.census.allocated_bytes)),
            format!("{}, {}", mebi(row.create.peak_bytes), mebi(row.restore.peak_bytes)),
        ]
    };
    let dash = || "–".to_string();
    let whole = &compared.whole;
    let to_the_end = ["volsnap, to the end of the restore".to_string(), whole.wall_us.len().to_string()];
    let to_the_end = to_the_end.into_iter().chain([dash(), dash(), dash(), dash(), dash(), spread(whole)]);
    let of_tar = base.map_or_else(dash, |base| share(whole.median_us(), base.restore.median_us()));
    let to_the_end = to_the_end.chain([of_tar, dash(), dash()]).collect();
    let mut rows = vec![row(&compared.ours), to_the_end];
    rows.extend(compared.others.iter().map(|other| match &other.failed {
        Some(why) => vec![format!("{}: failed, {why}", other.name)],
        None => row(other),
    }));
    let head = "|rounds|create|of tar's|archive|of tar's|the disk alone|restore|of tar's|the disk alone|memory";
    table(&cells(head), &rows)
}

fn verify(measured: &[&(Compared, Alone)]) -> Vec<String> {
    let rows = measured.iter().flat_map(|(compared, alone)| {
        alone.verified.iter().map(|verified| {
            let (archive, contents) = (compared.ours.archive_bytes, compared.census.bytes);
            let (wall, cpu) = (verified.series.median_us(), verified.series.cpu_median_us());
            let rate = |bytes, us| format!("{}/s", gibi(per_second(bytes, us)));
            vec![
                format!("`{}`: {}", verified.command, compared.title),
                spread(&verified.series),
                rate(archive, wall),
                rate(contents, wall),
                rate(archive, cpu),
                rate(contents, cpu),
                mebi(verified.series.peak_bytes),
            ]
        })
    });
    let head = "|time|archive|contents|archive on one core|contents on one core|memory";
    table(&cells(head), &rows.collect::<Vec<_>>())
}

fn one_file(measured: &[&(Compared, Alone)]) -> Vec<String> {
    let rows = measured.iter().filter_map(|(compared, alone)| {
        let title = compared.title.clone();
        Some(match alone.one_file.as_ref()? {
            Ok(one) => {
                let archive = compared.ours.archive_bytes;
                let read = format!("{} of {}", grouped(one.read_bytes), grouped(archive));
                let part = hundredths((one.read_bytes * 10_000).div_ceil(archive.max(1)));
                vec![title, grouped(one.bytes), millis(one.series.median_us()), read, format!("{part} %")]
            }
            Err(why) => vec![format!("{title}: {why}")],
        })
    });
    table(&cells("|bytes|time|read of the archive, bytes|part of it"), &rows.collect::<Vec<_>>())
}

fn by_jobs(measured: &[&(Compared, Alone)]) -> Vec<String> {
    let mut rows = Vec::new();
    for (compared, alone) in measured {
        match &alone.by_jobs {
            None => {}
            Some(Err(why)) => rows.push(vec![format!("{}: {why}", compared.title)]),
            Some(Ok(curve)) => rows.extend(curve.iter().map(|point| {
                let name = format!("{}, `--jobs {}`", compared.title, point.jobs);
                let series = [&point.create, &point.restore, &point.verify];
                let [create, restore, verify] = series.map(|series| seconds(series.least_us()));
                vec![name, create, restore, verify]
            })),
        }
    }
    table(&cells("|create|restore|verify"), &rows)
}

fn with_progress(measured: &[&(Compared, Alone)]) -> Vec<String> {
    let rows = measured.iter().filter_map(|(compared, alone)| Some((compared, alone.with_progress.as_ref()?)));
    let rows = rows.flat_map(|(compared, with)| {
        [("create", &with.create), ("restore", &with.restore)].map(|(name, [none, json])| {
            vec![
                format!("`{name}`: {}", compared.title),
                seconds(none.least_us()),
                seconds(json.least_us()),
                share(json.least_us(), none.least_us()),
                share(json.cpu_median_us(), none.cpu_median_us()),
            ]
        })
    });
    table(&cells("|without|with|factor|factor of processor time"), &rows.collect::<Vec<_>>())
}

fn growth(figures: &Figures) -> Vec<String> {
    let mut rows = Vec::new();
    for (compared, alone) in &figures.growth {
        let files = compared.census.files;
        let timed = |series: &Series| {
            let us = series.median_us();
            format!("{}, {} µs", seconds(us), tenths(us * 10 / files.max(1)))
        };
        let verified = alone.verified.first().map_or("–".to_string(), |verified| timed(&verified.series));
        for row in std::iter::once(&compared.ours).chain(&compared.others) {
            let ours = row.name == compared.ours.name;
            rows.push(vec![
                format!("{} files: {}", grouped(files), row.name),
                timed(&row.create),
                seconds(compared.disk_us(row.archive_bytes)),
                timed(&row.restore),
                seconds(compared.disk_us(compared.census.allocated_bytes)),
                if ours { verified.clone() } else { "–".to_string() },
                format!("{}, {}", mebi(row.create.peak_bytes), mebi(row.restore.peak_bytes)),
            ]);
        }
    }
    table(
        &cells(
            "|create, for each file|the disk alone|restore, for each file|the disk alone|verify, for each file|memory",
        ),
        &rows,
    )
}

fn promises(targets: &[Target]) -> Vec<String> {
    let rows = targets.iter().map(|target| {
        let met = if target.met { "met" } else { "**missed**" };
        vec![target.data.clone(), target.promise.clone(), target.measured.clone(), met.to_string()]
    });
    table(&cells("|target|measured|"), &rows.collect::<Vec<_>>())
}

fn cells(line: &str) -> Vec<String> {
    line.split('|').map(str::to_string).collect()
}

/// The median, and between which times it lies if there are several.
fn spread(series: &Series) -> String {
    let (median, least, most) = (series.median_us(), series.least_us(), series.most_us());
    match series.wall_us.len() {
        0 => "–".to_string(),
        1 => seconds(median),
        _ => format!("{} ({}–{})", seconds(median), hundredths(least / 10_000), hundredths(most / 10_000)),
    }
}

fn seconds(us: u64) -> String {
    format!("{} s", hundredths(us / 10_000))
}

fn millis(us: u64) -> String {
    format!("{} ms", tenths(us / 100))
}

fn tenths(value: u64) -> String {
    format!("{}.{}", value / 10, value % 10)
}

/// Rounded up: what is printed as a share is not more.
fn share(own: u64, base: u64) -> String {
    hundredths((own * 100).div_ceil(base.max(1)))
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::super::{
        corpora::Census,
        figures::{OneFile, Verified},
    };
    use super::*;

    fn series(wall_us: &[u64]) -> Series {
        Series { wall_us: wall_us.to_vec(), cpu_us: wall_us.to_vec(), busy_percent: vec![90], peak_bytes: 20 << 20 }
    }

    fn figures() -> Figures {
        let row = |name: &str, us: u64| Row {
            name: name.into(),
            create: series(&[us, 3 * us, us]),
            restore: series(&[2 * us]),
            archive_bytes: 1 << 30,
            failed: None,
        };
        let compared = Compared {
            title: "much".into(),
            census: Census { files: 1234, bytes: 2 << 30, allocated_bytes: 2 << 30 },
            load: "0.10".into(),
            disk_bytes_per_second: vec![1 << 28, 1 << 29, 1 << 30],
            ours: row("volsnap", 1_500_000),
            whole: series(&[4_000_000]),
            others: vec![
                row("tar", 2_000_000),
                Row { name: "borg".into(), failed: Some("no".into()), ..Row::default() },
            ],
        };
        let alone = Alone {
            verified: vec![Verified { command: "verify".into(), series: series(&[2_000_000]) }],
            one_file: Some(Ok(OneFile { series: series(&[12_345]), read_bytes: 1 << 20, bytes: 16_384 })),
            ..Alone::default()
        };
        Figures {
            corpora: vec![("much".into(), Ok((compared, alone))), ("none".into(), Err("it is not here".into()))],
            growth: Vec::new(),
            rounds: 3,
            versions: vec![("tar", Some("1.34".into())), ("rustic", None)],
            machine: "Linux".into(),
        }
    }

    #[test]
    fn the_tables_hold_medians_spreads_and_ratios() {
        let printed = markdown(&figures());
        for line in [
            "tar 1.34. Not installed: rustic.",
            "**much**: 1,234 files, 2048 MiB; the disk takes 536 MB/s (268–1073); load average 0.10 at the start",
            "| volsnap | 3 | 1.50 s (1.50–4.50) | 0.75 | 1024 MiB | 1.00 | 2.00 s | 3.00 s | 0.75 | 4.00 s | 20 MiB, 20 MiB |",
            "| volsnap, to the end of the restore | 1 | – | – | – | – | – | 4.00 s | 1.00 | – | – |",
            "| tar | 3 | 2.00 s (2.00–6.00) | 1.00 | 1024 MiB | 1.00 | 2.00 s | 4.00 s | 1.00 | 4.00 s | 20 MiB, 20 MiB |",
            "Not measured: none: it is not here.",
            "| borg: failed, no |",
            "| `verify`: much | 2.00 s | 0.50 GiB/s | 1.00 GiB/s | 0.50 GiB/s | 1.00 GiB/s | 20 MiB |",
            "| much | 16,384 | 12.3 ms | 1,048,576 of 1,073,741,824 | 0.10 % |",
            "| much | `create` ≤ 0.80 × tar's | 0.75 | met |",
            "| much | `restore` ≤ 0.60 × tar's | 0.75, the disk alone 1.00, processors busy 90 % | **missed** |",
        ] {
            assert!(printed.lines().any(|printed| printed == line), "no `{line}` in\n{printed}");
        }
        assert!(!printed.contains("\n\n\n"), "{printed}");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(["7", "1,000", "1,234,567"].map(String::from), [7, 1000, 1_234_567].map(grouped));
        assert_eq!(share(801, 1000), "0.81");
        assert_eq!(spread(&Series::default()), "–");
    }
}
