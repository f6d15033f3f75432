//! The version that `volsnap --version` shows: with the commit and its date where git knows them.
//!
//! Without git, or from a package that happens to lie in somebody else's repository, it is the version alone. It is made
//! anew only when another commit is checked out or made.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // What git notes when another commit is checked out or made; a path that does not exist would be news every time.
    for name in ["HEAD", "logs/HEAD", "packed-refs"] {
        let path = git(&["rev-parse", "--git-path", name]).map(PathBuf::from);
        if let Some(path) = path.filter(|path| is_ours() && path.exists()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    // The commit and its date, or nothing.
    let commit = git(&["show", "--no-patch", "--abbrev=7", "--format=%h %cs", "HEAD"]).filter(|_| is_ours());
    println!("cargo::rustc-env=VOLSNAP_COMMIT={}", commit.as_deref().unwrap_or_default());
    let version = env!("CARGO_PKG_VERSION");
    let version = commit.map_or_else(|| version.to_string(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=VOLSNAP_VERSION={version}");
}

/// Whether the repository is the one that this file belongs to.
fn is_ours() -> bool {
    git(&["ls-files", "--error-unmatch", "build.rs"]).is_some()
}

/// What git says, on one line; nothing if it is not there or fails.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?.trim().to_string();
    (output.status.success() && !said.is_empty()).then_some(said)
}
