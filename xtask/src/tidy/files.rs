//! The shape of files: each begins with its purpose, none is too long, none is unfinished, none names a machine.

use super::{Finding, Text, source::tokens};

/// A file tells one story.
const LINES_MAX: usize = 500;

/// Longer files, each with the reason why it is one story.
const LONGER: [(&str, &str); 0] = [];

/// What is left undone does not go in.
const UNFINISHED_WORDS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];
const UNFINISHED_MACROS: [&str; 2] = ["todo", "unimplemented"];

/// Places of a machine where this was written or built: they mean nothing on the reader's.
const MACHINE_PLACES: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/work", "space/")];

/// Every problem of every file.
pub fn check(texts: &[Text]) -> Vec<Finding> {
    texts.iter().flat_map(check_file).collect()
}

fn check_file(file: &Text) -> Vec<Finding> {
    let mut problems = words(&file.text);
    if file.path.ends_with(".rs") {
        problems.extend(shape(file));
        problems.extend(unfinished(&file.text));
    }
    problems.into_iter().map(|(line, problem)| Finding { file: file.path.clone(), line, problem }).collect()
}

type Problem = (usize, String);

fn shape(file: &Text) -> Vec<Problem> {
    let mut problems = Vec::new();
    // Or with a document that tells it.
    if !["//! ", "#![doc = include_str!("].iter().any(|begin| file.text.starts_with(begin)) {
        problems.push((1, "does not begin with `//!` and its purpose".to_string()));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX && !LONGER.iter().any(|(path, _)| *path == file.path) {
        problems.push((0, format!("has {lines} lines, over {LINES_MAX}: it tells more than one story")));
    }
    problems
}

fn unfinished(text: &str) -> Vec<Problem> {
    let tokens = tokens(text);
    let mut problems = Vec::new();
    for window in tokens.windows(3) {
        let [a, b, c] = window else { continue };
        if UNFINISHED_MACROS.contains(&a.text) && b.text == "!" {
            problems.push((a.line, format!("`{}!` is a promise to somebody else", a.text)));
        }
        if a.text == "#" && b.text == "[" && c.text == "ignore" {
            problems.push((a.line, "an ignored test guards nothing: mend it or remove it".to_string()));
        }
    }
    problems
}

fn words(text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        for word in UNFINISHED_WORDS.iter().filter(|word| has_word(text, word)) {
            problems.push((line, format!("`{word}`: do it, or say what is absent and why")));
        }
        for place in MACHINE_PLACES.iter().filter(|place| text.contains(**place)) {
            problems.push((line, format!("`{place}` is a place on somebody's machine")));
        }
    }
    problems
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|w| w == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn count(path: &str, text: &str) -> usize {
        check(&[Text { path: path.into(), text: text.into() }]).len()
    }

    #[test]
    fn a_source_file_begins_with_its_purpose() {
        assert_eq!(count("a.rs", "//! What it is for.\n"), 0);
        assert_eq!(count("a.rs", "#![doc = include_str!(\"../README.md\")]\n"), 0);
        assert_eq!(count("a.rs", "use std::fmt;\n"), 1);
        assert_eq!(count("a.sh", "echo\n"), 0);
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(count("a.rs", &format!("//! A.\n{}", "\n".repeat(LINES_MAX - 1))), 0);
        assert_eq!(count("a.rs", &format!("//! A.\n{}", "\n".repeat(LINES_MAX))), 1);
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_not_in_strings() {
        assert_eq!(count("a.rs", "//! A.\nfn f() { todo!() }"), 1);
        assert_eq!(count("a.rs", "//! A.\nfn f() { unimplemented!(\"x\") }"), 1);
        assert_eq!(count("a.rs", "//! A.\n#[test] #[ignore = \"slow\"] fn f() {}"), 1);
        assert_eq!(count("a.rs", "//! A.\nfn f() { g(\"todo!()\") }"), 0);
        assert_eq!(count("a.rs", &format!("//! A.\n// {}: later", UNFINISHED_WORDS[0])), 1);
    }

    #[test]
    fn a_place_on_a_machine_is_found_in_any_file() {
        for place in MACHINE_PLACES {
            assert_eq!(count("README.md", &format!("see {place}notes")), 1, "{place}");
        }
        assert_eq!(count("README.md", "see /var/lib/volsnap"), 0);
    }
}
