//! How wide a terminal is, and text that keeps to it.

use std::{io::IsTerminal, os::fd::AsFd};

use rustix::termios::tcgetwinsize;

/// Columns of a terminal; none where text goes elsewhere and may be as wide as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width(Option<usize>);

impl Width {
    /// No limit.
    pub const ANY: Width = Width(None);

    /// So many columns.
    #[cfg(test)]
    pub fn columns(count: usize) -> Self {
        Width(Some(count))
    }

    /// That of a stream as it is this moment.
    pub fn of(stream: &(impl IsTerminal + AsFd)) -> Self {
        if !stream.is_terminal() {
            return Width::ANY;
        }
        // A terminal that does not know its size (a serial line) says 0.
        let columns = tcgetwinsize(stream).map_or(0, |size| usize::from(size.ws_col));
        Width((columns > 0).then_some(columns))
    }

    /// The count, or another one where there is no limit.
    pub fn or(self, otherwise: usize) -> usize {
        self.0.unwrap_or(otherwise)
    }

    /// So many columns fewer, for what stands beside.
    pub fn less(self, columns: usize) -> Self {
        Width(self.0.map(|all| all.saturating_sub(columns)))
    }

    /// Whether text is no wider.
    pub fn holds(self, text: &str) -> bool {
        self.0.is_none_or(|columns| text.lines().all(|line| line.chars().count() <= columns))
    }

    /// The same lines, broken between words where they are too wide, with what follows indented. A word that is wider
    /// than the terminal stays whole, to be copied.
    pub fn wrapped(self, text: &str, indent: usize) -> String {
        let Some(columns) = self.0 else { return text.to_string() };
        let line = |line: &str| {
            if line.chars().count() <= columns {
                return line.to_string();
            }
            // What stands at the beginning of a line says where it belongs.
            let lead: String = line.chars().take_while(|c| *c == ' ').collect();
            flow(&lead, line, lead.len() + indent, columns)
        };
        text.split('\n').map(line).collect::<Vec<_>>().join("\n")
    }

    /// A line that begins with `lead`, the rest of it below its own beginning.
    pub fn after(self, lead: &str, text: &str) -> String {
        match self.0 {
            Some(columns) => flow(lead, text, lead.chars().count(), columns),
            None => format!("{lead}{text}"),
        }
    }
}

/// `text` behind `lead`, broken before words that have no room. A word that has none behind the indentation either moves
/// to the left.
fn flow(lead: &str, text: &str, indent: usize, columns: usize) -> String {
    let mut flowing = lead.to_string();
    let mut used = lead.chars().count();
    let mut fresh = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        let indent = indent.min(columns.saturating_sub(length));
        let end = used + usize::from(!fresh) + length;
        if end > columns && !(fresh && used <= indent) {
            flowing.truncate(flowing.trim_end().len());
            flowing.push('\n');
            flowing.push_str(&" ".repeat(indent));
            used = indent;
        } else if !fresh {
            flowing.push(' ');
            used += 1;
        }
        flowing.push_str(word);
        used += length;
        fresh = false;
    }
    flowing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_words_never() {
        let narrow = Width::columns(12);
        assert_eq!(narrow.wrapped("short", 2), "short");
        assert_eq!(narrow.wrapped("two words and more", 2), "two words\n  and more");
        assert_eq!(narrow.wrapped("  lead kept for all", 0), "  lead kept\n  for all");
        assert_eq!(narrow.wrapped("a 01a2064e-c571-7527 b", 0), "a\n01a2064e-c571-7527\nb");
        assert_eq!(narrow.wrapped("a 01a2064e-c5 b", 4), "a\n 01a2064e-c5\n    b", "it moves to the left to be whole");
        assert_eq!(narrow.after("AGE   ", "3h 12m and"), "AGE   3h 12m\n      and");
        assert_eq!(narrow.after("ID      ", "01a2064e-c"), "ID\n  01a2064e-c");
        assert_eq!(Width::ANY.wrapped("as wide as it likes to be", 2), "as wide as it likes to be");
        assert!(narrow.holds("twelve chars\nand") && !narrow.holds("thirteen char"));
    }
}
