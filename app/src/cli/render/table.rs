//! Tables, sizes, times and lists as people read them.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use indicatif::{HumanBytes, HumanCount};
use jiff::{SignedDuration, Timestamp, Unit};

/// A column's heading; numbers are aligned to the right.
pub enum Column {
    Text(&'static str),
    Number(&'static str),
}

/// A table without lines around it; nothing for no rows.
pub fn table<const N: usize>(columns: [Column; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // Ids and paths stay in one piece, to be copied from a terminal and read from a pipe.
    table.set_content_arrangement(ContentArrangement::Disabled);
    let columns = columns.map(|column| match column {
        Column::Text(name) => (name, CellAlignment::Left),
        Column::Number(name) => (name, CellAlignment::Right),
    });
    table.set_header(columns.map(|(name, align)| Cell::new(name).set_alignment(align)));
    let mut empty = true;
    for row in rows {
        empty = false;
        table.add_row(columns.iter().zip(row).map(|((_, align), text)| Cell::new(text).set_alignment(*align)));
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    match empty {
        true => String::new(),
        false => table.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>().join("\n"),
    }
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
    HumanBytes(count).to_string()
}

/// `12,345`.
pub fn number(count: u64) -> String {
    HumanCount(count).to_string()
}

/// `840 ms`, `12.3 s`, `2m 5s`.
pub fn milliseconds(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{:#}", SignedDuration::from_secs(i64::try_from(ms / 1_000).unwrap_or(i64::MAX))),
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
    at.round(Unit::Second).unwrap_or(at).to_string().replace('T', " ")
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
        assert_eq!(time("2026-11-23T12:00:00.6Z".parse().unwrap()), "2026-11-23 12:00:01Z");
    }

    #[test]
    fn a_table_keeps_every_word_on_its_line() {
        let long = "x".repeat(300);
        let text = table([Column::Text("NAME"), Column::Number("SIZE")], [[long.clone(), "1".into()]]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().nth(1).unwrap().contains(&long));
        assert_eq!(table([Column::Text("NAME")], []), "");
    }
}
