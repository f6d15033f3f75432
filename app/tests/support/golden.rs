//! What commands say, kept in files: `VOLSNAP_GOLDEN=write cargo test -p volsnap` writes them anew, to be read in the diff.
//!
//! Ids, times, sizes of disks and durations are others in each run and are replaced. How much white space stands between
//! words depends on them (and on the disk's name), so it is kept in the file for those who read it, and not compared.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::World;

/// Compares with `tests/golden/<name>`.
pub fn check(world: &World, name: &str, actual: &str) {
    let actual = match serde_json::from_str::<Value>(actual) {
        Ok(document) => format!("{:#}", normal_document(world, document)),
        Err(_) => normal(world, actual),
    };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var("VOLSNAP_GOLDEN").is_ok_and(|how| how == "write") {
        fs::write(&path, format!("{}\n", actual.trim_end())).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&actual), words(&expected), "{} is not this any more:\n{actual}", path.display());
}

/// Text with all that differs between runs replaced by what is as wide, where that is possible.
fn normal(world: &World, text: &str) -> String {
    let scratch = world.path("").display().to_string();
    let text = text.replace(scratch.trim_end_matches('/'), "/tmp/world");
    let mut ids = Vec::new();
    text.lines().map(|line| normal_line(line, &mut ids)).collect::<Vec<_>>().join("\n")
}

fn normal_line(line: &str, ids: &mut Vec<String>) -> String {
    let mut out: Vec<String> = Vec::new();
    for token in line.split(' ') {
        let bare = token.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let before = out.iter().rev().find(|word| !word.is_empty()).cloned().unwrap_or_default();
        let replaced = match bare {
            _ if is_id(bare) => placeholder(bare, ids),
            _ if bare.len() == 64 && bare.bytes().all(|b| b.is_ascii_hexdigit()) => "d".repeat(64),
            _ if is_date(bare) => "2026-11-23".into(),
            _ if bare.len() == 9 && bare.ends_with('Z') && bare.as_bytes()[2] == b':' => "12:00:00Z".into(),
            "ms" | "B" | "KiB" | "MiB" | "GiB" | "TiB" => {
                if let Some(number) = out.iter_mut().rev().find(|word| !word.is_empty()) {
                    let digits = number.trim_matches(|c: char| !c.is_ascii_digit()).to_string();
                    *number = number.replace(&digits, "N");
                }
                bare.into()
            }
            "ext4" | "xfs" | "btrfs" | "tmpfs" | "overlay" => "ext4".into(),
            _ if before == "on" && token.starts_with("/dev/") => "dev/disk".into(),
            _ if bare.len() >= 2
                && bare.ends_with('s')
                && bare[..bare.len() - 1].bytes().all(|b| b.is_ascii_digit()) =>
            {
                "0s".into()
            }
            _ => bare.into(),
        };
        let replaced = match replaced.split_once(".volsnap-") {
            // A private directory has its restore's id in its name.
            Some((path, name)) if name.len() > 32 => format!("{path}.volsnap-{}{}", "a".repeat(32), &name[32..]),
            Some(_) | None => replaced,
        };
        out.push(match bare.is_empty() {
            true => token.to_string(),
            false => token.replacen(bare, &replaced, 1),
        });
    }
    let line = out.join(" ");
    match line.split_whitespace().next() {
        // Counts of inodes, in a table or one below the other.
        Some(first) if line.contains("ext4 on") && !first.is_empty() && !line.contains("REASON") => inodes(&line),
        Some("INODES") => inodes(&line),
        _ => line,
    }
}

fn inodes(line: &str) -> String {
    let is_count = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit() || b == b',');
    line.split(' ').map(|word| if is_count(word) { "N" } else { word }).collect::<Vec<_>>().join(" ")
}

fn is_id(word: &str) -> bool {
    // The beginning of one names a snapshot too.
    matches!(word.len(), 13 | 36)
        && word.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

fn is_date(word: &str) -> bool {
    word.len() == 10 && word.starts_with("20") && word.as_bytes()[4] == b'-' && word.as_bytes()[7] == b'-'
}

/// The same id is the same one again; the first is all ones.
fn placeholder(id: &str, ids: &mut Vec<String>) -> String {
    let at =
        ids.iter().position(|known| known.starts_with(id) || id.starts_with(known.as_str())).unwrap_or_else(|| {
            ids.push(id.to_string());
            ids.len() - 1
        });
    let digit = char::from_digit(u32::try_from(at + 1).unwrap() % 16, 16).unwrap();
    id.chars().map(|c| if c == '-' { '-' } else { digit }).collect()
}

/// What differs between runs, by the names of its fields.
fn normal_document(world: &World, document: Value) -> Value {
    const COUNTS: [&str; 13] = [
        "bytes_needed",
        "bytes_free",
        "inodes_needed",
        "inodes_free",
        "bytes_allocated",
        "archive_bytes",
        "inode",
        "birth_ns",
        "snapshot_age_seconds",
        "downtime_us",
        "engine_us",
        "bytes_read",
        "elapsed_ms",
    ];
    fn walk(world: &World, key: &str, value: Value, ids: &mut Vec<String>) -> Value {
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .map(|(key, value)| {
                    let value = walk(world, &key, value, ids);
                    (key, value)
                })
                .collect(),
            Value::Array(items) => items.into_iter().map(|item| walk(world, key, item, ids)).collect(),
            Value::Number(_) if COUNTS.contains(&key) || key.ends_with("_ms") => "N".into(),
            Value::String(_) if matches!(key, "host" | "archive_digest" | "fingerprint" | "digest") => "…".into(),
            Value::String(_) if matches!(key, "mount" | "kind" | "at") || key.ends_with("_at") => "…".into(),
            Value::String(text) => {
                let scratch = world.path("").display().to_string();
                let text = text.replace(scratch.trim_end_matches('/'), "/tmp/world");
                let words = text.split('/').map(|part| match part.strip_suffix(".tar.zst") {
                    Some(id) if is_id(id) => format!("{}.tar.zst", placeholder(id, ids)),
                    Some(_) | None => normal_line(part, ids),
                });
                words.collect::<Vec<_>>().join("/").into()
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
        }
    }
    walk(world, "", document, &mut Vec::new())
}
