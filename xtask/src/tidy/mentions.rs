//! Tests that a document names: each has to be there.

use std::collections::BTreeSet;

use super::{Finding, Text, source::tokens};

/// A name in a document with so many underscores is that of a test.
const UNDERSCORES_MIN: usize = 3;

/// Every name of a test in a document that no test has.
pub fn check(texts: &[Text]) -> Vec<Finding> {
    let functions: BTreeSet<&str> =
        texts.iter().filter(|file| file.path.ends_with(".rs")).flat_map(|file| functions(&file.text)).collect();
    let documents = texts.iter().filter(|file| file.path.ends_with(".md"));
    documents.flat_map(|file| check_document(file, &functions)).collect()
}

fn functions(text: &str) -> Vec<&str> {
    let tokens = tokens(text);
    tokens.windows(2).filter(|pair| pair[0].text == "fn").map(|pair| pair[1].text).collect()
}

fn check_document(file: &Text, functions: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        // What is between back ticks is every second part.
        for name in line.split('`').skip(1).step_by(2).filter(|name| is_test(name)) {
            if !functions.contains(name) {
                let problem = format!("there is no test `{name}`");
                findings.push(Finding { file: file.path.clone(), line: index + 1, problem });
            }
        }
    }
    findings
}

fn is_test(name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    plain && name.matches('_').count() >= UNDERSCORES_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str, text: &str) -> Text {
        Text { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_test_that_is_not_there_is_found() {
        let code = text("a.rs", "#[test]\nfn a_test_that_is_there() {}");
        let document = text("README.md", "see\n`a_test_that_is_there`, `a_test_that_is_gone`, `a_b`, `A_B_C_D_E`");
        let found = check(&[code, document]);
        let problem = "there is no test `a_test_that_is_gone`".to_string();
        assert_eq!(found, [Finding { file: "README.md".into(), line: 2, problem }]);
    }
}
