//! Tables, sizes, times and lists as people read them.

use std::io;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use std::sync::OnceLock;

use jiff::{
    SignedDuration, Timestamp, Unit,
    tz::{Offset, TimeZone},
};

use crate::cli::{plain, width::Width};

/// A column's heading; numbers are aligned to the right.
pub enum Column {
    Text(&'static str),
    Number(&'static str),
}

/// A table for standard output, without lines around it; nothing for no rows. No text makes more than one line of a row.
pub fn table<const N: usize>(columns: [Column; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    table_in(Width::of(&io::stdout()), columns, rows)
}

/// The same for a given width. Where the rows have no room each becomes a paragraph with a line for each column: ids and
/// paths stay in one piece, to be copied from a terminal and read from a pipe.
pub fn table_in<const N: usize>(
    width: Width,
    columns: [Column; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = rows.into_iter().map(|row| row.map(|cell| plain::line(&cell))).collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = columns.map(|column| match column {
        Column::Text(name) => (name, CellAlignment::Left),
        Column::Number(name) => (name, CellAlignment::Right),
    });
    let beside = side_by_side(columns, &rows);
    match width.holds(&beside) {
        true => beside,
        false => one_below_the_other(width, columns.map(|(name, _)| name), &rows),
    }
}

fn side_by_side<const N: usize>(columns: [(&'static str, CellAlignment); N], rows: &[[String; N]]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.map(|(name, align)| Cell::new(name).set_alignment(align)));
    for row in rows {
        table.add_row(columns.iter().zip(row).map(|((_, align), text)| Cell::new(text).set_alignment(*align)));
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>().join("\n")
}

fn one_below_the_other<const N: usize>(width: Width, names: [&str; N], rows: &[[String; N]]) -> String {
    let longest = names.iter().map(|name| name.len()).max().unwrap_or_default();
    let paragraph = |row: &[String; N]| {
        let lines = names.iter().zip(row).filter(|(_, text)| !text.is_empty());
        let lines = lines.map(|(name, text)| width.after(&format!("{name:longest$}  "), text));
        lines.collect::<Vec<_>>().join("\n")
    };
    // What comes next is another thing.
    rows.iter().map(paragraph).collect::<Vec<_>>().join("\n\n") + "\n"
}

/// Paragraphs that say something, one below the other.
pub fn join(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// A labelled line for each.
pub fn labelled(label: &str, lines: &[String]) -> String {
    lines.iter().map(|line| format!("{label}: {line}")).collect::<Vec<_>>().join("\n")
}

/// `1.50 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1 << 10 {
        return format!("{count} B");
    }
    let unit = (count.ilog2() / 10).min(6);
    format!("{:.2} {}", count as f64 / 2f64.powi(10 * unit.cast_signed()), UNITS[unit as usize - 1])
}

/// `12,345`.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `12s`, `2m 5s`, `1h 1m 5s`.
pub fn seconds(count: u64) -> String {
    format!("{:#}", SignedDuration::from_secs(i64::try_from(count).unwrap_or(i64::MAX)))
}

/// `840 ms`, `12.3 s`, `2m 5s`.
pub fn milliseconds(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => seconds(ms / 1_000),
    }
}

/// `3h 12m`: the two largest units, days being the largest.
pub fn age(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds % 86_400 / 3_600, seconds % 3_600 / 60);
    match (days, hours, minutes) {
        _ if seconds < 0 => "from the future".into(),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// `2026-11-23 12:00:00Z`.
pub fn time(at: Timestamp) -> String {
    time_in(ZONE.get().unwrap_or(&TimeZone::UTC), at)
}

/// Whose clock people are shown.
static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// Shows times by the clock of a zone from now on; the first word counts.
pub fn show_times_in(zone: TimeZone) {
    // A second session in one process has the same configuration.
    ZONE.set(zone).ok();
}

/// To the second, with what it is ahead of UTC.
fn time_in(zone: &TimeZone, at: Timestamp) -> String {
    let at = at.round(Unit::Second).unwrap_or(at);
    let offset = zone.to_offset(at);
    match offset == Offset::UTC {
        true => at.to_string().replace('T', " "),
        false => format!("{}{offset}", offset.to_datetime(at).to_string().replace('T', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_naturally() {
        for (ms, text) in [(0, "0 ms"), (840, "840 ms"), (12_345, "12.3 s"), (125_000, "2m 5s")] {
            assert_eq!(milliseconds(ms), text);
        }
        for (seconds, text) in [(5, "5s"), (61, "1m"), (3_700, "1h 1m"), (90_000, "1d 1h"), (-1, "from the future")] {
            assert_eq!(age(seconds), text);
        }
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let local = |at: &str| time_in(&berlin, at.parse().unwrap());
        assert_eq!(time_in(&TimeZone::UTC, "2026-11-23T12:00:00.6Z".parse().unwrap()), "2026-11-23 12:00:01Z");
        assert_eq!(local("2026-11-23T12:00:00.6Z"), "2026-11-23 13:00:01+01");
        assert_eq!(local("2026-10-25T00:30:00Z"), "2026-10-25 02:30:00+02");
        assert_eq!(local("2026-10-25T01:30:00Z"), "2026-10-25 02:30:00+01");
    }

    #[test]
    fn sizes_and_counts_read_naturally() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (40_000_000, "38.15 MiB"),
            ((1 << 30) - 1, "1024.00 MiB"),
            (1 << 30, "1.00 GiB"),
            (u64::MAX, "16.00 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (count, text) in [(7, "7"), (999, "999"), (1_000, "1,000"), (16_304_129, "16,304,129")] {
            assert_eq!(number(count), text);
        }
    }

    #[test]
    fn a_table_keeps_every_word_on_its_line() {
        let long = "x".repeat(300);
        let text = table_in(Width::ANY, [Column::Text("NAME"), Column::Number("SIZE")], [[long.clone(), "1".into()]]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().nth(1).unwrap().contains(&long));
        assert_eq!(table([Column::Text("NAME")], []), "");
    }

    #[test]
    fn a_table_that_is_too_wide_is_a_paragraph_for_each_row() {
        let columns = || [Column::Text("VOLUME"), Column::Text("NOTE"), Column::Text("WHY")];
        let rows = || ["/a", "/b"].map(|target| [target.into(), String::new(), "it exchanges names".into()]);
        let narrow = table_in(Width::columns(20), columns(), rows());
        let expected = "VOLUME  /a\nWHY     it exchanges\n        names";
        assert_eq!(narrow, format!("{expected}\n\n{}\n", expected.replace("/a", "/b")));
        assert_eq!(table_in(Width::columns(40), columns(), rows()).lines().count(), 3);
    }
}
