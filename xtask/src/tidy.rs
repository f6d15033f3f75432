//! `tidy`: what the compiler does not check. The floors inside core, the arrows between crates, the shape of files,
//! links between documents.

mod files;
mod floors;
mod links;
mod manifests;
mod mentions;
mod paths;
mod source;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::run::{Outcome, root};

/// Something that must not be so.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the root of the repository.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.problem),
            line => write!(f, "{}:{line}: {}", self.file, self.problem),
        }
    }
}

/// A file of the repository.
pub struct Text {
    /// Its path from the root, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Prints every finding; fails if there is one.
pub fn tidy() -> Outcome {
    let texts = texts(&root()).map_err(|e| format!("cannot read the repository: {e}"))?;
    let mut findings = floors::check(&texts);
    findings.extend(files::check(&texts));
    findings.extend(mentions::check(&texts));
    findings.extend(links::check(&texts));
    findings.extend(manifests::check(&texts, &manifests::metadata()?));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} files are in order", texts.len());
            Ok(())
        }
        count => Err(format!("tidy: {count} findings")),
    }
}

/// Every text file below `root`, in order, without build output and the version control's own.
fn texts(root: &Path) -> io::Result<Vec<Text>> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let mut entries = fs::read_dir(&directory)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            let path = entry.path();
            let kind = entry.file_type()?;
            if [".git", "target"].contains(&entry.file_name().to_string_lossy().as_ref()) {
                continue;
            }
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file()
                && let Some(text) = text(&path)?
            {
                found.push(Text { path: below(root, &path), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A file's contents, unless it is not text (a frozen archive in the tests).
fn text(path: &PathBuf) -> io::Result<Option<String>> {
    Ok(String::from_utf8(fs::read(path)?).ok())
}

fn below(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
