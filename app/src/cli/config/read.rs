//! The text of a file turned into settings: each key where it is known, and everything that is wrong, with its line.

use std::{mem, path::Path};

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    Configuration,
    keys::{General, Keys, QUOTA, Section},
    value::{At, Source, Written},
};

/// A key that the file sets.
#[derive(Clone, Debug)]
pub struct Entry {
    /// With its tables: `workload.shop.create.mode`.
    pub key: String,
    /// What it is set to.
    pub value: Value,
    /// Where.
    pub line: usize,
}

/// Something that is wrong with the file.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where.
    pub line: usize,
    /// What.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
    /// Whether it may hide where the state is or how to work on it: everything that is not within a table.
    pub bars_recovery: bool,
}

/// How much a known key must be like an unknown one to be taken for what was meant; clap's own limit.
const LIKE_MIN: f64 = 0.7;

/// What a file of that text says.
pub fn configuration(path: &Path, text: &str) -> Configuration {
    let mut read = Configuration { file: Some(path.into()), ..Configuration::default() };
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        read_all(document.get_ref(), text, &mut read);
    }
    for error in errors {
        let line = line_of(text, error.span().map_or(text.len(), |span| span.start));
        read.problems.push(Problem { line, message: error.message().into(), hint: None, bars_recovery: true });
    }
    read.problems.sort_by_key(|problem| problem.line);
    read.entries.sort_by_key(|entry| entry.line);
    read
}

fn read_all(document: &DeTable<'_>, text: &str, read: &mut Configuration) {
    let mut reader = Reader {
        text,
        table: document,
        path: Vec::new(),
        known: Vec::new(),
        entries: Vec::new(),
        problems: Vec::new(),
    };
    read.general.visit(&mut reader);
    read.section.visit(&mut reader);
    // Last, because what holds for all workloads may stand below those with something of their own.
    read.workloads = reader.workloads(&read.section);
    reader.tell_unknown();
    read.entries = reader.entries;
    read.problems = reader.problems;
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Goes through the tables of a document.
struct Reader<'a> {
    text: &'a str,
    table: &'a DeTable<'a>,
    /// The tables that lead to it.
    path: Vec<String>,
    /// The names that it may have.
    known: Vec<&'static str>,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

impl Keys for Reader<'_> {
    fn key<T: Written>(&mut self, name: &'static str, slot: &mut At<T>) {
        self.known.push(name);
        let Some(value) = get(self.table, name) else { return };
        let line = line_of(self.text, value.span().start);
        match T::read(value.get_ref()) {
            Ok(read) => {
                let key = self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
                self.entries.push(Entry { key, value: read.show(), line });
                *slot = At { value: read, source: Source::File { line } };
            }
            Err(must) => {
                let is_list = value.get_ref().is_array();
                self.problem(value.span().start, format!("{name} {must}"), None);
                // A list of tables is as good as a table: its word is of no use for a recovery.
                if let Some(problem) = self.problems.last_mut().filter(|_| is_list) {
                    problem.bars_recovery = false;
                }
            }
        }
    }

    fn table(&mut self, name: &'static str, visit: impl FnOnce(&mut Self)) {
        self.known.push(name);
        if let Some(value) = get(self.table, name) {
            self.within(name.into(), value, visit);
        }
    }
}

impl<'a> Reader<'a> {
    /// The tables below `[workload]`, each read over what holds for all.
    fn workloads(&mut self, common: &Section) -> Vec<(String, Section)> {
        self.known.push("workload");
        let Some(value) = get(self.table, "workload") else { return Vec::new() };
        let DeValue::Table(all) = value.get_ref() else {
            self.problem(value.span().start, "workload must be a table: [workload.NAME.create]".into(), None);
            return Vec::new();
        };
        let mut workloads = Vec::new();
        self.path.push("workload".into());
        for (name, table) in all {
            let mut section = common.for_workload(has_rules(table.get_ref()));
            self.within(quoted(name.get_ref()), table, |reader| section.visit(reader));
            workloads.push((name.get_ref().to_string(), section));
        }
        self.path.pop();
        workloads
    }

    /// Goes into a table, and out again when what is not known in it has been told.
    fn within(&mut self, name: String, value: &'a Spanned<DeValue<'a>>, visit: impl FnOnce(&mut Self)) {
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("{name} must be a table: [{}]", self.header(&name));
            return self.problem(value.span().start, message, None);
        };
        let outer = (mem::replace(&mut self.table, table), mem::take(&mut self.known));
        self.path.push(name);
        visit(self);
        self.tell_unknown();
        self.path.pop();
        (self.table, self.known) = outer;
    }

    fn tell_unknown(&mut self) {
        let is_unknown = |key: &&Spanned<DeString<'_>>| !self.known.contains(&key.get_ref().as_ref());
        for key in self.table.keys().filter(is_unknown).collect::<Vec<_>>() {
            let place = match self.path.is_empty() {
                true => "above the tables".to_string(),
                false => format!("in [{}]", self.path.join(".")),
            };
            let message = format!("unknown key {} {place}", quoted(key.get_ref()));
            let hint = self.hint(key.get_ref(), &place);
            self.problem(key.span().start, message, Some(hint));
        }
    }

    /// What may have been meant.
    fn hint(&self, key: &str, place: &str) -> String {
        let alike = |known: &&str| strsim::jaro(key, known);
        let nearest = self.known.iter().copied().max_by(|a, b| alike(a).total_cmp(&alike(b)));
        if let Some(nearest) = nearest.filter(|known| alike(known) > LIKE_MIN) {
            return format!("did you mean `{nearest}`?");
        }
        match home_of(key) {
            Some("") => format!("`{key}` belongs above the first [table] of the file"),
            Some(table) => format!("`{key}` belongs in [{table}]"),
            None => format!("the keys {place} are: {}", self.known.join(", ")),
        }
    }

    fn header(&self, name: &str) -> String {
        self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    fn problem(&mut self, offset: usize, message: String, hint: Option<String>) {
        let line = line_of(self.text, offset);
        self.problems.push(Problem { line, message, hint, bars_recovery: self.path.is_empty() });
    }
}

fn get<'a>(table: &'a DeTable<'a>, name: &str) -> Option<&'a Spanned<DeValue<'a>>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}

fn has_rules(workload: &DeValue<'_>) -> bool {
    let retention = workload.as_table().and_then(|table| get(table, "retention")).and_then(|r| r.get_ref().as_table());
    let is_rule = |key: &Spanned<DeString<'_>>| key.get_ref() != QUOTA;
    retention.is_some_and(|table| table.keys().any(is_rule))
}

/// As TOML writes a key: with quotes if it is more than one word.
fn quoted(name: &str) -> String {
    let is_bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if is_bare { name.into() } else { format!("{name:?}") }
}

/// The table that a known key stands in; empty for those above all tables.
fn home_of(key: &str) -> Option<&'static str> {
    struct Homes<'k> {
        key: &'k str,
        table: &'static str,
        found: Option<&'static str>,
    }
    impl Keys for Homes<'_> {
        fn key<T: Written>(&mut self, name: &'static str, _: &mut At<T>) {
            if name == self.key {
                self.found = Some(self.table);
            }
        }
        fn table(&mut self, name: &'static str, visit: impl FnOnce(&mut Self)) {
            self.table = name;
            visit(self);
            self.table = "";
        }
    }
    let mut homes = Homes { key, table: "", found: None };
    General::default().visit(&mut homes);
    Section::default().visit(&mut homes);
    homes.found
}
