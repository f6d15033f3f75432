//! The programs that volsnap is compared with, and how each is asked for the same thing.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Where one run of a contender reads and writes.
pub struct Paths {
    /// What is archived.
    pub source: PathBuf,
    /// An empty directory for the archive or the repository.
    pub archive: PathBuf,
    /// An empty directory for the restored tree.
    pub tree: PathBuf,
    /// For caches that a program keeps beside its repository.
    pub cache: PathBuf,
}

/// A way of asking a program for it. Programs of one entry are joined by pipes.
pub struct Recipe {
    /// Makes a repository; not counted.
    pub init: Option<Command>,
    /// Archives the source.
    pub create: Vec<Command>,
    /// Makes the tree.
    pub restore: Vec<Command>,
}

/// Something to be compared with.
pub struct Contender {
    /// For the tables.
    pub name: &'static str,
    /// What it needs.
    pub programs: &'static [&'static str],
    /// How often it has its turn.
    pub turns: Turns,
    /// How it is asked.
    pub recipe: fn(&Paths) -> Recipe,
}

/// What a median needs is needed for what targets are about; a variant that is there to be fair needs less.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    /// In every round.
    Every,
    /// In half of them.
    Half,
    /// In the first.
    Once,
}

impl Turns {
    /// How many of the rounds.
    pub fn of(self, rounds: usize) -> usize {
        match self {
            Turns::Every => rounds,
            Turns::Half => rounds.div_ceil(2),
            Turns::Once => rounds.min(1),
        }
    }
}

/// Of repositories that are thrown away.
const PASSWORD: &str = "of-a-measurement";

/// The first is what targets are relative to.
pub const CONTENDERS: [Contender; 7] = [
    Contender {
        name: "tar \\| zstd -T0 -3",
        programs: &["tar", "zstd"],
        turns: Turns::Every,
        recipe: |p| tar("tar", &[], p),
    },
    Contender {
        name: "the same with --xattrs --acls",
        programs: &["tar", "zstd"],
        turns: Turns::Once,
        recipe: |p| tar("tar", &["--xattrs", "--acls"], p),
    },
    Contender {
        name: "bsdtar \\| zstd -T0 -3",
        programs: &["bsdtar", "zstd"],
        turns: Turns::Once,
        recipe: |p| tar("bsdtar", &[], p),
    },
    Contender { name: "restic", programs: &["restic"], turns: Turns::Half, recipe: restic },
    Contender { name: "rustic", programs: &["rustic"], turns: Turns::Half, recipe: rustic },
    Contender { name: "borg (lz4)", programs: &["borg"], turns: Turns::Half, recipe: |p| borg("lz4", p) },
    Contender { name: "borg (zstd,3)", programs: &["borg"], turns: Turns::Once, recipe: |p| borg("zstd,3", p) },
];

impl Contender {
    /// The first program that is not installed.
    pub fn missing(&self) -> Option<&'static str> {
        self.programs.iter().copied().find(|program| !is_installed(program))
    }
}

/// Whether the search path has a program.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// The programs of all contenders, each with its version or without, if it is not installed.
pub fn versions() -> Vec<(&'static str, Option<String>)> {
    let mut programs: Vec<&str> = CONTENDERS.iter().flat_map(|contender| contender.programs).copied().collect();
    let mut seen = std::collections::BTreeSet::new();
    programs.retain(|program| seen.insert(*program));
    programs.into_iter().map(|program| (program, is_installed(program).then(|| said_version(program)))).collect()
}

fn said_version(program: &str) -> String {
    // The one program that knows no option for it.
    let word = if program == "restic" { "version" } else { "--version" };
    let said = Command::new(program).arg(word).output().map(|output| output.stdout).unwrap_or_default();
    version(&String::from_utf8_lossy(&said)).unwrap_or_else(|| "of an unknown version".to_string())
}

/// The first word of digits and dots: programs say more before and after it.
fn version(said: &str) -> Option<String> {
    let words = said.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_digit()));
    words.filter(|word| word.contains('.')).map(str::to_string).next()
}

fn command(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

fn tar(program: &str, options: &[&str], paths: &Paths) -> Recipe {
    let file = paths.archive.join("archive.tar.zst");
    let mut pack = command(program, options);
    pack.arg("-C").arg(&paths.source).args(["-cf", "-", "."]);
    let mut compress = command("zstd", &["-q", "-T0", "-3", "-o"]);
    compress.arg(&file);
    let mut decompress = command("zstd", &["-q", "-dc"]);
    decompress.arg(&file);
    let mut unpack = command(program, options);
    unpack.arg("-C").arg(&paths.tree).args(["-xpf", "-"]);
    Recipe { init: None, create: vec![pack, compress], restore: vec![decompress, unpack] }
}

fn restic(paths: &Paths) -> Recipe {
    let ask = |words: &[&str]| {
        let mut restic = command("restic", &["--quiet", "--repo"]);
        restic.arg(&paths.archive).arg("--cache-dir").arg(&paths.cache).args(words);
        restic.env("RESTIC_PASSWORD", PASSWORD).current_dir(&paths.source);
        restic
    };
    let mut restore = ask(&["restore", "latest", "--target"]);
    restore.arg(&paths.tree);
    Recipe { init: Some(ask(&["init"])), create: vec![ask(&["backup", "."])], restore: vec![restore] }
}

fn rustic(paths: &Paths) -> Recipe {
    let ask = |words: &[&str]| {
        let mut rustic = command("rustic", &["--no-progress", "--log-level", "warn", "--repository"]);
        rustic.arg(&paths.archive).arg("--cache-dir").arg(&paths.cache).args(words);
        rustic.env("RUSTIC_PASSWORD", PASSWORD).current_dir(&paths.source);
        rustic
    };
    let mut restore = ask(&["restore", "latest"]);
    restore.arg(&paths.tree);
    Recipe { init: Some(ask(&["init"])), create: vec![ask(&["backup", "."])], restore: vec![restore] }
}

fn borg(compression: &str, paths: &Paths) -> Recipe {
    let ask = |words: &[&str], dir: &Path| {
        let mut borg = command("borg", words);
        borg.env("BORG_BASE_DIR", &paths.cache).env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        borg.current_dir(dir);
        borg
    };
    let mut init = ask(&["init", "--encryption", "none"], &paths.source);
    init.arg(&paths.archive);
    let archive = format!("{}::first", paths.archive.display());
    let mut create = ask(&["create", "--compression", compression, &archive], &paths.source);
    create.arg(".");
    let restore = ask(&["extract", &archive], &paths.tree);
    Recipe { init: Some(init), create: vec![create], restore: vec![restore] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_among_other_words() {
        for (said, expected) in [
            ("tar (GNU tar) 1.34\nCopyright 2021", "1.34"),
            ("*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***", "1.5.4"),
            ("restic 0.14.0 compiled with go1.19.8 on linux/amd64", "0.14.0"),
            ("bsdtar 3.6.2 - libarchive 3.6.2 zlib/1.2.13", "3.6.2"),
        ] {
            assert_eq!(version(said).as_deref(), Some(expected));
        }
        assert_eq!(version("none"), None);
    }

    #[test]
    fn a_contender_that_is_not_installed_names_what_is_missing() {
        let recipe: fn(&Paths) -> Recipe = restic;
        let programs = &["sh", "no-such-program"];
        assert_eq!(Contender { name: "it", programs, turns: Turns::Every, recipe }.missing(), Some("no-such-program"));
    }

    #[test]
    fn a_variant_has_fewer_turns_but_one_at_least() {
        assert_eq!([Turns::Every, Turns::Half, Turns::Once].map(|turns| turns.of(5)), [5, 3, 1]);
        assert_eq!([Turns::Every, Turns::Half, Turns::Once].map(|turns| turns.of(1)), [1, 1, 1]);
    }
}
