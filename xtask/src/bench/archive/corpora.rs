//! The data that are archived: made from a seed, the same in every run, or real ones of this machine.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::postgres;
use crate::run::{Outcome, cargo};

/// What is archived.
pub struct Corpus {
    /// Its name on the command line.
    pub name: &'static str,
    /// For the tables.
    pub title: &'static str,
    /// Fills a directory with it, or with a part of it: one in so many.
    pub fill: fn(&Path, u64) -> Outcome,
    /// A file of it that is taken out of the archive by itself.
    pub one_file: Option<&'static str>,
    /// Whether the curve by jobs is measured on it.
    pub by_jobs: bool,
    /// Whether the cost of progress is measured on it.
    pub with_progress: bool,
}

/// What all contenders are compared on.
pub const CORPORA: [Corpus; 4] = [
    Corpus {
        name: "small",
        title: "100,000 files of 1–16 KiB",
        fill: |dir, scale| small(dir, 100_000 / scale, 1 << 10, 16 << 10),
        one_file: Some("000/000042"),
        by_jobs: true,
        with_progress: true,
    },
    Corpus {
        name: "big",
        title: "2 GiB in four half-compressible files",
        fill: big,
        one_file: Some(NOTE),
        by_jobs: true,
        with_progress: false,
    },
    Corpus {
        name: "source",
        title: "30,000 files of source code and documentation",
        fill: source,
        one_file: None,
        by_jobs: false,
        with_progress: false,
    },
    Corpus {
        name: "postgres",
        title: "a PostgreSQL data directory",
        fill: postgres::fill,
        one_file: None,
        by_jobs: false,
        with_progress: false,
    },
];

/// How many files the cost is measured on as it grows.
pub const GROWTH: [u64; 3] = [10_000, 100_000, 1_000_000];
/// The bytes of each of them: with more, the disk would be measured.
const GROWTH_FILE_BYTES: u64 = 1 << 10;

/// In which the system counts what a file takes, whatever the filesystem's own blocks are.
const BLOCK_BYTES: u64 = 512;

const SEED: u64 = 0x766f_6c73_6e61_7031;
const FILES_PER_DIRECTORY: u64 = 1000;
/// Text is taken from this much of it, at random places.
const TEXT_BYTES: usize = 8 << 20;
const BIG_FILE_BYTES: u64 = 512 << 20;
const BIG_PIECE_BYTES: usize = 64 << 10;
/// A little file that lies in the middle of the big ones.
const NOTE: &str = "big-2-note";
const NOTE_BYTES: usize = 16 << 10;
const SOURCE_FILES: u64 = 30_000;
/// What people call source code or documentation.
const SOURCE_ENDINGS: [&str; 22] = [
    "rs", "toml", "md", "txt", "c", "h", "cc", "cpp", "hpp", "py", "js", "ts", "go", "java", "pl", "pm", "sh", "html",
    "css", "json", "yml", "1",
];

/// Files of one size, for the cost as their number grows.
pub fn many(dir: &Path, files: u64) -> Outcome {
    small(dir, files, GROWTH_FILE_BYTES, GROWTH_FILE_BYTES)
}

/// Files of sizes between two bounds, in directories of a thousand.
fn small(dir: &Path, files: u64, bytes_min: u64, bytes_max: u64) -> Outcome {
    let mut random = Random(SEED);
    let text = text(&mut random);
    (0..files).try_for_each(|file| {
        let parent = dir.join(format!("{:03}", file / FILES_PER_DIRECTORY));
        if file % FILES_PER_DIRECTORY == 0 {
            fs::create_dir_all(&parent).map_err(cannot_fill)?;
        }
        let bytes = size(bytes_min + random.below(bytes_max - bytes_min + 1));
        fs::write(parent.join(format!("{file:06}")), half(&mut random, &text, bytes)).map_err(cannot_fill)
    })
}

fn big(dir: &Path, scale: u64) -> Outcome {
    let mut random = Random(SEED);
    let text = text(&mut random);
    for number in 1..=4 {
        let mut file = fs::File::create(dir.join(format!("big-{number}"))).map_err(cannot_fill)?;
        let mut left = size(BIG_FILE_BYTES / scale);
        while left > 0 {
            let piece = half(&mut random, &text, left.min(BIG_PIECE_BYTES));
            file.write_all(&piece).map_err(cannot_fill)?;
            left -= piece.len();
        }
    }
    fs::write(dir.join(NOTE), half(&mut random, &text, NOTE_BYTES)).map_err(cannot_fill)
}

/// Copies what this machine has: the sources of crates, headers, and the documentation of packages and of Rust.
fn source(dir: &Path, scale: u64) -> Outcome {
    let mut left = SOURCE_FILES / scale;
    for (number, root) in source_roots().iter().enumerate() {
        copy_sources(root, &dir.join(number.to_string()), &mut left).map_err(cannot_fill)?;
    }
    if left == SOURCE_FILES / scale { Err("there is no source code on this machine".to_string()) } else { Ok(()) }
}

fn source_roots() -> Vec<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let printed = cargo(&["rustc", "--package", "xtask", "--quiet", "--print", "sysroot"]).output();
    let sysroot = printed.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string()).unwrap_or_default();
    let roots = [cargo_home.join("registry/src"), "/usr/include".into(), "/usr/share/doc".into()];
    roots.into_iter().chain([Path::new(&sysroot).join("share/doc")]).collect()
}

fn copy_sources(from: &Path, to: &Path, left: &mut u64) -> io::Result<()> {
    let mut entries = fs::read_dir(from).into_iter().flatten().collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if *left == 0 {
            return Ok(());
        }
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if kind.is_dir() {
            copy_sources(&path, &copy, left)?;
        } else if kind.is_file() && SOURCE_ENDINGS.contains(&ending.as_str()) {
            fs::create_dir_all(to)?;
            fs::copy(&path, &copy)?;
            *left -= 1;
        }
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "a function for map_err")]
fn cannot_fill(error: io::Error) -> String {
    format!("cannot write the data: {error}")
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// So many bytes, the first half of them text, the second half random.
fn half(random: &mut Random, text: &[u8], bytes: usize) -> Vec<u8> {
    let words = bytes / 2;
    let begin = size(random.below((text.len() - words) as u64));
    let mut piece = text[begin..begin + words].to_vec();
    piece.resize(bytes, 0);
    random.fill(&mut piece[words..]);
    piece
}

/// Words of a small vocabulary, one after the other.
fn text(random: &mut Random) -> Vec<u8> {
    let letters = |random: &mut Random| (0..3 + random.below(7)).map(|_| b'a' + random.below(26) as u8).collect();
    let words: Vec<Vec<u8>> = (0..2000).map(|_| letters(random)).collect();
    let mut text = Vec::with_capacity(TEXT_BYTES + 16);
    while text.len() < TEXT_BYTES {
        text.extend_from_slice(&words[size(random.below(words.len() as u64))]);
        text.push(b' ');
    }
    text
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers in every run, fast, and not for secrets.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
    }
}

/// What a tree holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What they take on the disk, in whole blocks.
    pub allocated_bytes: u64,
}

/// Counts a tree.
pub fn census(dir: &Path) -> Outcome<Census> {
    let mut census = Census::default();
    visit(dir, &mut |_, file| {
        census.files += 1;
        census.bytes += file.len();
        census.allocated_bytes += file.blocks() * BLOCK_BYTES;
        Ok(())
    })?;
    Ok(census)
}

/// Reads every file, so that whoever comes first does not pay for the others.
pub fn warm(dir: &Path) -> Outcome {
    visit(dir, &mut |path, _| io::copy(&mut fs::File::open(path)?, &mut io::sink()).map(drop))
}

fn visit(dir: &Path, see: &mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>) -> Outcome {
    let mut directories = vec![dir.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let mut entries = fs::read_dir(&directory).into_iter().flatten();
        let seen = entries.try_for_each(|entry| {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if metadata.is_file() {
                see(&entry.path(), &metadata)?;
            }
            Ok(())
        });
        seen.map_err(|e: io::Error| format!("cannot read {}: {e}", directory.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that is gone afterwards.
    fn within(name: &str, test: impl FnOnce(&Path)) {
        let dir = std::env::temp_dir().join(format!("volsnap-{name}-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        test(&dir);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_same_data_are_made_in_every_run() {
        within("corpora", |dir| {
            for name in ["a", "b"] {
                fs::create_dir(dir.join(name)).unwrap();
                small(&dir.join(name), 3, 1 << 10, 16 << 10).unwrap();
            }
            let read = |name: &str| fs::read(dir.join(name).join("000/000002")).unwrap();
            assert_eq!(read("a"), read("b"));
            assert_eq!(census(&dir.join("a")).unwrap().bytes, census(&dir.join("b")).unwrap().bytes);
            assert_eq!(census(dir).unwrap().files, 6);
            assert!((1 << 10..=16 << 10).contains(&read("a").len()));
        });
    }

    #[test]
    fn a_file_that_is_taken_out_is_in_its_corpus() {
        for corpus in CORPORA.iter().filter(|corpus| corpus.one_file.is_some()) {
            within(corpus.name, |dir| {
                (corpus.fill)(dir, 1000).unwrap();
                assert!(dir.join(corpus.one_file.unwrap()).is_file(), "{}", corpus.name);
            });
        }
    }
}
