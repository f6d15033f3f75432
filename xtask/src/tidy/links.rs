//! Links between documents: each leads to a file that is there, and to a heading of it if it names one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Text};

/// Every relative link of a document that leads nowhere.
pub fn check(texts: &[Text]) -> Vec<Finding> {
    let files: BTreeSet<&str> = texts.iter().map(|file| file.path.as_str()).collect();
    let documents = || texts.iter().filter(|file| file.path.ends_with(".md"));
    let headings: BTreeMap<&str, BTreeSet<String>> =
        documents().map(|file| (file.path.as_str(), anchors(&file.text))).collect();
    let mut findings = Vec::new();
    for document in documents() {
        for (line, link) in links(&document.text) {
            if let Some(problem) = problem(&document.path, &link, &files, &headings) {
                findings.push(Finding { file: document.path.clone(), line, problem });
            }
        }
    }
    findings
}

fn problem(
    from: &str,
    link: &str,
    files: &BTreeSet<&str>,
    headings: &BTreeMap<&str, BTreeSet<String>>,
) -> Option<String> {
    // Other sites are not asked, and rustdoc looks after its own.
    if link.contains("://") || link.contains("::") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { Some(from.to_string()) } else { resolve(from, path) };
    let Some(target) = target else { return Some(format!("the link `{link}` leads out of the repository")) };
    let directory = format!("{target}/");
    if !files.contains(target.as_str()) && !files.iter().any(|file| file.starts_with(&directory)) {
        return Some(format!("the link `{link}` leads to no file"));
    }
    let known = headings.get(target.as_str());
    match (anchor, known) {
        (Some(anchor), Some(known)) if !known.contains(anchor) => {
            Some(format!("the link `{link}` names no heading of {target}"))
        }
        (Some(_), _) | (None, _) => None,
    }
}

/// A path beside a document, from the root; `None` if it leads above that.
fn resolve(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The lines outside of code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The targets of links, with their lines. What is between back ticks is no link.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // A link's text may have back ticks, its target has none.
        for rest in line.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')')
                && !target.is_empty()
                && !target.contains(['`', ' '])
            {
                found.push((number, target.to_string()));
            }
        }
    }
    found
}

/// What can stand behind `#`, as GitHub makes it of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let slug: String = heading.trim().chars().filter(kept).collect();
        let slug = slug.to_lowercase().replace(' ', "-");
        let numbered = (1..).map(|n| format!("{slug}-{n}"));
        let free = std::iter::once(slug.clone()).chain(numbered).find(|slug| !anchors.contains(slug));
        anchors.extend(free);
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str, text: &str) -> Text {
        Text { path: path.into(), text: text.into() }
    }

    #[track_caller]
    fn check_one(document: &str, expected: &[&str]) {
        let other = "# Core\n\n## What it's for, `now`\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```";
        let texts = [text("docs/a.md", document), text("core/README.md", other), text("app/src/lib.rs", "//! A.")];
        let found: Vec<String> = check(&texts).into_iter().map(|finding| finding.problem).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn links_that_lead_somewhere_are_in_order() {
        check_one("[a](../core/README.md) and [`b`](../core/README.md#whats-for-now)", &["names no heading"]);
        check_one(
            "[a](../core/README.md#what-its-for-now), [b](../core/README.md#twice-1), [c](../app), [d](../app/src/)",
            &[],
        );
        check_one("# Here\n[a](#here) [b](https://example.org/x#y) [c](restore::State)", &[]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        check_one("[a](../core/README.txt)\n[b](missing.md)", &["no file", "no file"]);
        check_one("[a](../../x.md)", &["out of the repository"]);
        check_one("[a](#gone) [b](../core/README.md#no-heading)", &["no heading", "no heading"]);
    }

    #[test]
    fn what_is_in_a_code_block_is_no_link() {
        check_one("```\n[a](gone.md)\n```\n`[b](gone two.md)`", &[]);
    }
}
