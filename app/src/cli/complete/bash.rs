//! Bash, which cuts words at `=` and gives the pieces: they are put together again, and the answer is cut as bash has it.

use std::{
    ffi::{OsStr, OsString},
    io::{Error, Write},
    path::Path,
};

use clap::Command;
use clap_complete::{engine, env::EnvCompleter};

use super::context;

/// Bash.
#[derive(Debug)]
pub struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == "bash"
    }

    fn write_registration(
        &self,
        var: &str,
        name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn Write,
    ) -> Result<(), Error> {
        clap_complete::env::Bash.write_registration(var, name, bin, completer, buf)
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        directory: Option<&Path>,
        buf: &mut dyn Write,
    ) -> Result<(), Error> {
        let index = context::index().unwrap_or(words.len().saturating_sub(1));
        let (words, index, cut) = joined(&words, index);
        let separator = std::env::var("_CLAP_IFS").unwrap_or_else(|_| "\n".into());
        let found = engine::complete(command, words, index, directory)?;
        let values = found.iter().map(|one| one.get_value().to_string_lossy().into_owned());
        let values: Vec<String> = values.map(|value| value.get(cut..).unwrap_or_default().into()).collect();
        write!(buf, "{}", values.join(&separator))
    }
}

/// `--mode`, `=`, `p` as the one word that was typed; where the word at the cursor is then, and how much of it bash has
/// in the pieces before. Everything behind the cursor is left out.
pub fn joined(words: &[OsString], index: usize) -> (Vec<OsString>, usize, usize) {
    let mut whole: Vec<OsString> = Vec::new();
    let mut cut = 0;
    let mut open = false;
    for word in words.iter().take(index + 1) {
        let is_sign = word == "=";
        match whole.last_mut() {
            Some(last) if open || (is_sign && assigns(last)) => {
                cut = last.len() + if is_sign { 1 } else { 0 };
                last.push(word);
            }
            Some(_) | None => {
                cut = 0;
                whole.push(word.clone());
            }
        }
        open = is_sign;
    }
    let at = whole.len().saturating_sub(1);
    (whole, at, cut)
}

/// Whether a `=` belongs to that word: it is an option, or a TARGET of `TARGET=PATH`.
fn assigns(word: &OsStr) -> bool {
    let text = word.to_string_lossy();
    text.starts_with("--") || text.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &[&str], cut: usize) {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let expected: Vec<OsString> = expected.iter().map(OsString::from).collect();
        let at = expected.len() - 1;
        assert_eq!(joined(&words, words.len() - 1), (expected, at, cut));
    }

    #[test]
    fn pieces_of_a_word_become_the_word_that_was_typed() {
        check(&["volsnap", "cre"], &["volsnap", "cre"], 0);
        check(&["volsnap", "create", "--mode", "=", "p"], &["volsnap", "create", "--mode=p"], 7);
        check(&["volsnap", "create", "--mode", "="], &["volsnap", "create", "--mode="], 7);
        check(&["volsnap", "--state-dir", "=", "/a", "list", ""], &["volsnap", "--state-dir=/a", "list", ""], 0);
        check(&["volsnap", "clone", "--volume", "/data", "=", "/s"], &["volsnap", "clone", "--volume", "/data=/s"], 6);
        check(&["volsnap", "--state-dir", "=", ""], &["volsnap", "--state-dir="], 12);
    }
}
