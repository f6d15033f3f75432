//! What was promised, and whether it was kept.

use super::figures::{Alone, Compared, Figures, Row, Series, UNPACK, Verified};
use crate::bench::{figures::median, tables::hundredths};

/// Of the time of tar with zstd, in hundredths.
const CREATE_MAX_PERCENT: u64 = 80;
const RESTORE_MAX_PERCENT: u64 = 60;
/// Of the size of its archive.
const SIZE_MAX_PERCENT: u64 = 105;
/// Programs that have to be slower; variants of them are named behind them.
const RIVALS: [&str; 3] = ["restic", "rustic", "borg"];
/// One file out of an archive.
const ONE_FILE_MAX_US: u64 = 50_000;
const ONE_FILE_READ_MAX_PERCENT: u64 = 1;
/// Of archive, in a second of one processor.
const VERIFY_MIN_BYTES: u64 = 1 << 30;
const PEAK_MAX_BYTES: u64 = 128 << 20;
const PROGRESS_MAX_PERCENT: u64 = 102;
/// The cost of one file among the most, of that among a tenth of them.
const GROWTH_MAX_PERCENT: u64 = 150;

/// A promise and what became of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// On what data.
    pub data: String,
    /// What was promised.
    pub promise: String,
    /// What was measured.
    pub measured: String,
    /// Whether it was kept.
    pub met: bool,
}

/// Every promise that the figures say something about.
pub fn targets(figures: &Figures) -> Vec<Target> {
    let measured = figures.corpora.iter().filter_map(|(_, corpus)| corpus.as_ref().ok());
    let mut targets: Vec<Target> = measured.flat_map(|(compared, alone)| on_corpus(compared, alone)).collect();
    for (compared, alone) in &figures.growth {
        targets.push(memory(compared, alone));
    }
    if let [.., (before, _), (last, _)] = figures.growth.as_slice() {
        for (name, of) in [("create", create as fn(&Row) -> u64), ("restore", restore)] {
            let cost = |compared: &Compared| of(&compared.ours) * 100 / compared.census.files.max(1);
            let promise = format!("`{name}`: a file costs ≤ {} × that of a tenth", hundredths(GROWTH_MAX_PERCENT));
            targets.push(ratio(last, promise, cost(last), cost(before), GROWTH_MAX_PERCENT));
        }
    }
    targets
}

fn create(row: &Row) -> u64 {
    row.create.median_us()
}

fn restore(row: &Row) -> u64 {
    row.restore.median_us()
}

fn on_corpus(compared: &Compared, alone: &Alone) -> Vec<Target> {
    let mut targets = Vec::new();
    let ours = &compared.ours;
    if let Some(tar) = compared.others.first() {
        let mut bound = |promise: &str, own: u64, base: u64, max: u64, written: Option<(u64, &Series)>| {
            let promise = format!("{promise} ≤ {} × tar's", hundredths(max));
            let mut target = ratio(compared, promise, own, base, max);
            if let Some((bytes, series)) = written.filter(|_| !target.met) {
                let disk = hundredths((compared.disk_us(bytes) * 100).div_ceil(base.max(1)));
                let busy = median(&series.busy_percent);
                target.measured = format!("{}, the disk alone {disk}, processors busy {busy} %", target.measured);
            }
            targets.push(target);
        };
        let packed = Some((ours.archive_bytes, &ours.create));
        let unpacked = Some((compared.census.allocated_bytes, &ours.restore));
        bound("`create`", create(ours), create(tar), CREATE_MAX_PERCENT, packed);
        bound("archive", ours.archive_bytes, tar.archive_bytes, SIZE_MAX_PERCENT, None);
        bound("`restore`", restore(ours), restore(tar), RESTORE_MAX_PERCENT, unpacked);
    }
    for (name, of) in [("create", create as fn(&Row) -> u64), ("restore", restore)] {
        let rivals = compared.others.iter().filter(|row| RIVALS.iter().any(|rival| row.name.starts_with(rival)));
        for rival in rivals.filter(|row| row.failed.is_none()) {
            let promise = format!("`{name}` faster than {}", rival.name);
            let (own, base) = (of(ours), of(rival));
            targets.push(Target { met: own < base, ..ratio(compared, promise, own, base, 100) });
        }
    }
    let rate = |verified: &Verified| per_second(ours.archive_bytes, verified.series.cpu_median_us());
    let (unpacking, checks): (Vec<_>, Vec<_>) = alone.verified.iter().partition(|way| way.command == UNPACK);
    for check in checks {
        let met = rate(check) >= VERIFY_MIN_BYTES;
        let alone = unpacking.first().filter(|_| !met);
        let alone = alone.map_or(String::new(), |unpack| format!(", `{UNPACK}` alone {}", gibi(rate(unpack))));
        targets.push(Target {
            data: compared.title.clone(),
            promise: format!("`{}` ≥ {} of archive a second on one core", check.command, gibi(VERIFY_MIN_BYTES)),
            measured: format!("{}{alone}", gibi(rate(check))),
            met,
        });
    }
    if let Some(Ok(one)) = &alone.one_file {
        let (us, read) = (one.series.median_us(), one.read_bytes);
        targets.push(Target {
            data: compared.title.clone(),
            promise: format!("one file < {} ms, reading < {ONE_FILE_READ_MAX_PERCENT} %", ONE_FILE_MAX_US / 1000),
            measured: format!("{}.{} ms, {} of {} bytes", us / 1000, us % 1000 / 100, read, ours.archive_bytes),
            met: us < ONE_FILE_MAX_US && read * 100 < ours.archive_bytes * ONE_FILE_READ_MAX_PERCENT,
        });
    }
    if let Some(with) = &alone.with_progress {
        for (name, [none, json]) in [("create", &with.create), ("restore", &with.restore)] {
            // By the processors' time: that of the disk varies by more than so little.
            let promise = format!("`{name}` with progress ≤ {} × the work without", hundredths(PROGRESS_MAX_PERCENT));
            targets.push(ratio(compared, promise, json.cpu_median_us(), none.cpu_median_us(), PROGRESS_MAX_PERCENT));
        }
    }
    targets.push(memory(compared, alone));
    targets
}

fn memory(compared: &Compared, alone: &Alone) -> Target {
    let verified = alone.verified.iter().map(|verified| verified.series.peak_bytes).max().unwrap_or(0);
    let peak = compared.ours.create.peak_bytes.max(compared.ours.restore.peak_bytes).max(verified);
    Target {
        data: compared.title.clone(),
        promise: format!("memory < {} MiB", PEAK_MAX_BYTES >> 20),
        measured: format!("{} MiB", peak.div_ceil(1 << 20)),
        met: peak < PEAK_MAX_BYTES,
    }
}

/// `own` is at most so many hundredths of `base`. Compared by multiplying: no rounding makes a promise kept.
fn ratio(compared: &Compared, promise: String, own: u64, base: u64, max_percent: u64) -> Target {
    let measured = hundredths((own * 100).div_ceil(base.max(1)));
    Target { data: compared.title.clone(), promise, measured, met: own * 100 <= base * max_percent }
}

/// What is done in a second, if so much is done in that time.
pub fn per_second(bytes: u64, us: u64) -> u64 {
    u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(us.max(1))).unwrap_or(u64::MAX)
}

/// Rounded down: a figure that is printed as reached is reached.
pub fn gibi(bytes: u64) -> String {
    format!("{} GiB", hundredths(u64::try_from((u128::from(bytes) * 100) >> 30).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::super::{
        corpora::Census,
        figures::{OneFile, WithProgress},
    };
    use super::*;

    fn series(us: u64) -> Series {
        Series { wall_us: vec![us; 3], cpu_us: vec![us; 3], busy_percent: vec![90; 3], peak_bytes: 1 << 20 }
    }

    fn row(name: &str, create: u64, restore: u64, archive_bytes: u64) -> Row {
        Row { name: name.into(), create: series(create), restore: series(restore), archive_bytes, failed: None }
    }

    fn compared(ours: Row, files: u64) -> Compared {
        let others = vec![row("tar", 1000, 1000, 4 << 30), row("restic", 900, 900, 1)];
        let census = Census { files, bytes: 1, allocated_bytes: 2 };
        let (title, load, disk_bytes_per_second) = ("it".into(), "0".into(), vec![4000]);
        Compared { title, census, load, disk_bytes_per_second, ours, whole: series(1), others }
    }

    #[test]
    fn a_missed_target_says_what_the_disk_takes_of_it() {
        let corpora = vec![("it".to_string(), Ok((compared(row("volsnap", 1, 700, 1), 1), Alone::default())))];
        let figures = Figures { corpora, ..Figures::default() };
        let missed = targets(&figures).into_iter().find(|target| !target.met).unwrap();
        assert_eq!(
            (missed.promise.as_str(), missed.measured.as_str()),
            ("`restore` ≤ 0.60 × tar's", "0.70, the disk alone 0.50, processors busy 90 %")
        );
    }

    fn missed(ours: Row, alone: Alone) -> Vec<String> {
        let corpora = vec![("it".to_string(), Ok((compared(ours, 1), alone)))];
        let targets = targets(&Figures { corpora, ..Figures::default() });
        targets.into_iter().filter(|target| !target.met).map(|target| target.promise).collect()
    }

    #[test]
    fn each_promise_is_kept_at_its_bound_and_missed_behind_it() {
        let none: [&str; 0] = [];
        let at_bound = row("volsnap", 800, 600, (4 << 30) / 100 * 105);
        assert_eq!(missed(at_bound.clone(), Alone::default()), none);
        let behind = row("volsnap", 801, 601, (4 << 30) / 100 * 106);
        assert_eq!(
            missed(behind, Alone::default()),
            ["`create` ≤ 0.80 × tar's", "archive ≤ 1.05 × tar's", "`restore` ≤ 0.60 × tar's"]
        );
        let slow = row("volsnap", 900, 1, 1);
        assert!(missed(slow, Alone::default()).contains(&"`create` faster than restic".to_string()));
        let mut fat = at_bound;
        fat.restore.peak_bytes = PEAK_MAX_BYTES;
        assert_eq!(missed(fat, Alone::default()), ["memory < 128 MiB"]);
    }

    #[test]
    fn what_only_volsnap_does_has_its_promises_too() {
        let alone = |us: u64, read_bytes: u64, verify_us: u64, progress: u64| Alone {
            verified: vec![Verified { command: "verify".into(), series: series(verify_us) }],
            one_file: Some(Ok(OneFile { series: series(us), read_bytes, bytes: 1 })),
            by_jobs: None,
            with_progress: Some(WithProgress {
                create: [series(1000), series(progress)],
                restore: [series(1000), series(1000)],
            }),
        };
        let ours = || row("volsnap", 1, 1, 4 << 30);
        let none: [&str; 0] = [];
        assert_eq!(missed(ours(), alone(49_999, 1 << 20, 4_000_000, 1020)), none);
        assert_eq!(missed(ours(), alone(50_000, 1 << 20, 4_000_000, 1020)), ["one file < 50 ms, reading < 1 %"]);
        assert_eq!(missed(ours(), alone(1, 41 << 20, 4_000_000, 1020)), ["one file < 50 ms, reading < 1 %"]);
        assert_eq!(
            missed(ours(), alone(1, 1, 4_000_001, 1020)),
            ["`verify` ≥ 1.00 GiB of archive a second on one core"]
        );
        assert_eq!(missed(ours(), alone(1, 1, 1, 1021)), ["`create` with progress ≤ 1.02 × the work without"]);
    }

    #[test]
    fn a_cost_that_grows_faster_than_the_files_is_missed() {
        let growth = |last_us: u64| {
            let at = |files: u64, us: u64| (compared(row("volsnap", us, 1, 1), files), Alone::default());
            let growth = vec![at(10, 1), at(100, 1000), at(1000, last_us)];
            targets(&Figures { growth, ..Figures::default() }).iter().filter(|target| !target.met).count()
        };
        assert_eq!([growth(10_000), growth(15_000), growth(15_100)], [0, 0, 1]);
    }
}
