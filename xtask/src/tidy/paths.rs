//! The paths that a file of a crate uses, each from its root: `use` trees unfolded, `super` and `self` resolved.

use super::source::{Token, tokens};

/// A path that is used.
#[derive(Debug, PartialEq, Eq)]
pub struct Used {
    /// Its segments, as far as they are written: `["crate", "error", "Code"]`, `["std", "fs"]`.
    pub segments: Vec<String>,
    /// Where.
    pub line: usize,
}

/// Every path of two segments or more in `source`, whose module is `module` (`["restore", "plan"]`). Paths that begin
/// with `crate`, `self` or `super` begin with `crate` in the answer.
pub fn used(source: &str, module: &[String]) -> Vec<Used> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut inner = Inner::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        inner.pass(&tokens, at);
        let begins = is_name(token.text) && !follows_path(&tokens, at);
        if begins && tokens.get(at + 1).is_some_and(|t| t.text == "::") {
            let first = found.len();
            at = unfold(&tokens, at, &[], &mut found);
            for used in &mut found[first..] {
                used.segments = from_root(&used.segments, module, &inner.names());
            }
        } else {
            at += 1;
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn follows_path(tokens: &[Token<'_>], at: usize) -> bool {
    at > 0 && tokens[at - 1].text == "::"
}

/// Unfolds `a::b::{c, d::*}` from `at`; each leaf is one path. Returns where it ends.
fn unfold(tokens: &[Token<'_>], mut at: usize, prefix: &[String], found: &mut Vec<Used>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |t| t.text);
    let mut segments = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |t| t.line);
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while !matches!(text(at), "}" | "") {
                    at = unfold(tokens, at, &segments, found);
                    while text(at) == "as" || (is_name(text(at)) && text(at - 1) == "as") {
                        at += 1;
                    }
                    if text(at) == "," {
                        at += 1;
                    } else if text(at) != "}" {
                        // Not a use tree after all; what follows is read as usual.
                        return at;
                    }
                }
                return at + 1;
            }
            "*" => {
                segments.push("*".to_string());
                at += 1;
                break;
            }
            name if is_name(name) => {
                segments.push(name.to_string());
                at += 1;
                if text(at) != "::" {
                    break;
                }
                at += 1;
            }
            _ => break,
        }
    }
    found.push(Used { segments, line });
    at
}

/// The path from the root of the crate, if it is one of the crate's.
fn from_root(segments: &[String], module: &[String], inner: &[String]) -> Vec<String> {
    let mut here: Vec<String> = module.iter().chain(inner).cloned().collect();
    let first = segments.first().map_or("", String::as_str);
    if !matches!(first, "self" | "super") {
        return segments.to_vec();
    }
    let mut rest = segments;
    while let Some((word, behind)) = rest.split_first().filter(|(word, _)| matches!(word.as_str(), "self" | "super")) {
        if word == "super" {
            here.pop();
        }
        rest = behind;
    }
    std::iter::once("crate".to_string()).chain(here).chain(rest.iter().cloned()).collect()
}

/// The modules within the file that are open at a token, with the depth of their braces.
#[derive(Default)]
struct Inner {
    depth: usize,
    open: Vec<(String, usize)>,
}

impl Inner {
    fn pass(&mut self, tokens: &[Token<'_>], at: usize) {
        match tokens[at].text {
            "{" => {
                self.depth += 1;
                if at >= 2 && tokens[at - 2].text == "mod" {
                    self.open.push((tokens[at - 1].text.to_string(), self.depth));
                }
            }
            "}" => {
                self.open.retain(|(_, depth)| *depth < self.depth);
                self.depth = self.depth.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn names(&self) -> Vec<String> {
        self.open.iter().map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &[&str]) {
        let module = ["restore".to_string(), "plan".to_string()];
        let found: Vec<String> = used(source, &module).iter().map(|u| u.segments.join("::")).collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn a_use_tree_is_unfolded_to_its_leaves() {
        check(
            "use crate::{error::{Code, Error as E}, model::*, ports};",
            &["crate::error::Code", "crate::error::Error", "crate::model::*", "crate::ports"],
        );
        check("use std::{fs, path::PathBuf};", &["std::fs", "std::path::PathBuf"]);
    }

    #[test]
    fn super_is_resolved_from_the_module() {
        check("use super::journal::Entry;", &["crate::restore::journal::Entry"]);
        check("use super::super::engine::Engine;", &["crate::engine::Engine"]);
        check("mod tests { use super::*; }", &["crate::restore::plan::*"]);
        check("mod tests { use super::super::super::engine; } use super::x;", &["crate::engine", "crate::restore::x"]);
        check("fn f() { self::g() }", &["crate::restore::plan::g"]);
    }

    #[test]
    fn a_path_in_an_expression_is_seen() {
        check("fn f() { let a = crate::engine::go(std::env::args()); }", &["crate::engine::go", "std::env::args"]);
        check("impl crate::ports::Store for X { fn f() { } }", &["crate::ports::Store"]);
        check("let v = Vec::<crate::engine::E>::new();", &["Vec", "crate::engine::E"]);
    }
}
