//! `crash figures`: what the tiers said when they ran last, for the documents that quote it.

use std::{fmt::Write as _, fs, path::PathBuf};

use super::TIERS;
use crate::{
    block::Block,
    run::{Outcome, root},
};

const COMMAND: &str = "cargo xtask crash figures --write";
/// The line of each tier.
pub const LINES: Block = Block { name: "crash figures", command: COMMAND };
/// Which tier caught which mutant after how many states.
pub const MUTANTS: Block = Block { name: "mutants", command: COMMAND };

/// A sign is cut off after so many characters.
const SIGN_MAX: usize = 90;

/// A mutant in the tables of all tiers.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    mutant: String,
    breaks: String,
    /// States until caught, by tier.
    caught: [Option<String>; 4],
    /// What the first tier saw.
    sign: String,
}

/// Prints the figures of the last run of each tier; with `write` they are put into the documents.
pub fn figures(write: bool) -> Outcome {
    let mut lines = String::from("```text\n");
    let mut rows = Vec::new();
    for (nth, tier) in TIERS.iter().enumerate() {
        lines.push_str(&kept(tier, "line")?);
        add(&mut rows, nth, &kept(tier, "mutants")?)?;
    }
    lines.push_str("```");
    let table = table(&rows);
    println!("{lines}\n\n{table}");
    if write {
        LINES.write(&root().join("README.md"), &lines)?;
        LINES.write(&root().join("tests/README.md"), &lines)?;
        MUTANTS.write(&root().join("tests/README.md"), &table)?;
    }
    Ok(())
}

fn kept(tier: &str, what: &str) -> Outcome<String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let file = root().join(target).join("crash").join(format!("{tier}.{what}"));
    fs::read_to_string(&file)
        .map_err(|e| format!("the {tier} tier has left no {}: {e}; run `cargo xtask crash all`", file.display()))
}

/// Adds what the tier of that number said of its mutants.
fn add(rows: &mut Vec<Row>, tier: usize, report: &str) -> Outcome {
    for line in report.lines() {
        let [mutant, breaks, states, sign] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("a tier said something else of a mutant: {line}"));
        };
        let row = match rows.iter().position(|row| row.mutant == mutant) {
            Some(row) => row,
            None => {
                let (mutant, breaks, sign) = (mutant.into(), breaks.into(), sign.into());
                rows.push(Row { mutant, breaks, caught: Default::default(), sign });
                rows.len() - 1
            }
        };
        rows[row].caught[tier] = Some(states.into());
    }
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let mut table = format!("| mutant | breaks | {} | first sign |\n", TIERS.join(" | "));
    table.push_str("|---|---|---:|---:|---:|---:|---|");
    for Row { mutant, breaks, caught, sign } in rows {
        let caught = caught.each_ref().map(|states| states.as_deref().unwrap_or(""));
        let _ = write!(table, "\n| {mutant} | {breaks} | {} | {} |", caught.join(" | "), cell(sign));
    }
    table
}

/// Short enough for a table, and nothing in it that a table takes for its own, or that another run has otherwise.
fn cell(sign: &str) -> String {
    let plain = without_ids(&sign.replace('|', "/").replace(['<', '>', '`', '*'], ""));
    match plain.char_indices().nth(SIGN_MAX) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

/// Ids and names of temporary directories, cut out.
fn without_ids(text: &str) -> String {
    let is_hex = |word: &str| word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let is_part = |word: &str| word.len() >= 16 && is_hex(word) || word.len() == 9 && word.starts_with("tmp");
    let cut = |word: &str| match word.len() == "00000000-0000-0000-0000-000000000000".len() && is_hex(word) {
        true => "…".to_string(),
        false => word.split('-').map(|part| if is_part(part) { "…" } else { part }).collect::<Vec<_>>().join("-"),
    };
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    text.split_inclusive(is_end)
        .map(|piece| {
            let word = piece.trim_end_matches(is_end);
            format!("{}{}", cut(word), &piece[word.len()..])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_of_two_tiers_is_one_row() {
        let mut rows = Vec::new();
        add(&mut rows, 0, "no fence\tB0\t144\tpolicy no\nno sync\tB1\t3\tlost\n").unwrap();
        add(&mut rows, 3, "no fence\tB0\t1\trevived\n").unwrap();
        let table = table(&rows);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(rows, ["| no fence | B0 | 144 |  |  | 1 | policy no |", "| no sync | B1 | 3 |  |  |  | lost |"]);
    }

    #[test]
    fn a_report_of_another_kind_is_refused() {
        assert!(add(&mut Vec::new(), 0, "no fence\t144\n").is_err());
    }

    #[test]
    fn a_sign_cannot_break_the_table() {
        assert_eq!(cell("a | b <c>"), "a / b c");
        assert_eq!(
            cell("in /tmp/.tmpGAoKBP/.volsnap-01a208b4b21275c3ac4c80e6b39cd152-1 is"),
            "in /tmp/.…/.volsnap-…-1 is"
        );
        assert_eq!(cell("id 019b76da-abf0-7000-8000-000000000001, data-1"), "id …, data-1");
        assert_eq!(cell(&"x".repeat(200)).chars().count(), SIGN_MAX + 1);
    }
}
