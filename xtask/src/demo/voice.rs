//! How the demonstration speaks: one line for each thing that happens.

use std::io::{IsTerminal, stdout};

/// The first line.
pub fn title(text: &str) {
    println!("{}", paint("1", text));
}

/// What happens, under its name.
pub fn say(name: &str, text: &str) {
    println!("  {} {text}", paint("1;36", &format!("{name:<8}")));
}

fn paint(style: &str, text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || !stdout().is_terminal();
    if plain { text.to_string() } else { format!("\x1b[{style}m{text}\x1b[0m") }
}

/// Bytes for people, in powers of ten as disks are sold.
pub fn bytes(count: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.iter().find(|(_, size)| count >= *size) {
        // One digit behind the point while there is one before it.
        Some((unit, size)) if count < 10 * size => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        Some((unit, size)) => format!("{} {unit}", count / size),
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_told_in_two_digits_or_whole_units() {
        let cases =
            [(0, "0 bytes"), (999, "999 bytes"), (1_500, "1.5 kB"), (25_400_000, "25 MB"), (2_000_000_000, "2.0 GB")];
        for (count, told) in cases {
            assert_eq!(bytes(count), told);
        }
    }
}
