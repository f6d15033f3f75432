//! `bench archive`: create, restore and verify beside what else people archive with, on the same data in one run.

mod contenders;
mod corpora;
mod figures;
mod measure;
mod ours;
mod place;
mod postgres;
mod rounds;
mod tables;
mod targets;

use std::path::{Path, PathBuf};

use contenders::{CONTENDERS, Contender, versions};
use corpora::{CORPORA, GROWTH, many};
use figures::Figures;
use ours::Ours;
use rounds::Arena;

use super::tables::machine;
use crate::{
    block::Block,
    run::{Outcome, root},
    scratch::Scratch,
    volsnap,
};

/// What is measured, by its name on the command line, and where its figures stand in the document. Each is a run of its
/// own, so that one of them can be measured again.
pub const PARTS: [(&str, Block); CORPORA.len() + 1] = [
    part("small", "bench archive small", "cargo xtask bench archive --corpus small --own-disk --write"),
    part("big", "bench archive big", "cargo xtask bench archive --corpus big --own-disk --write"),
    part("source", "bench archive source", "cargo xtask bench archive --corpus source --own-disk --write"),
    part("postgres", "bench archive postgres", "cargo xtask bench archive --corpus postgres --own-disk --write"),
    part(LINEAR, "bench archive linear", "cargo xtask bench archive --corpus linear --own-disk --write"),
];

const fn part(corpus: &'static str, name: &'static str, command: &'static str) -> (&'static str, Block) {
    (corpus, Block { name, command })
}

/// The document.
pub const DOCUMENT: &str = "adapters/disk/README.md";

const ROUNDS: usize = 5;
/// With the most files one round has to do.
const GROWTH_ROUNDS: [usize; GROWTH.len()] = [3, 3, 1];
/// The name of the growing number of files on the command line.
const LINEAR: &str = "linear";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    write: bool,
    /// One corpus, or all.
    corpus: Option<String>,
    rounds: usize,
    /// A directory on the filesystem to be measured.
    place: Option<PathBuf>,
    own_disk: bool,
    memory_disk: bool,
    /// One in so many of the data, for trying it out.
    scale: u64,
}

impl Options {
    fn parse(mut words: &[&str]) -> Outcome<Self> {
        let mut options = Options {
            write: false,
            corpus: None,
            rounds: ROUNDS,
            place: None,
            own_disk: false,
            memory_disk: false,
            scale: 1,
        };
        while let [option, rest @ ..] = words {
            words = rest;
            let flag = match *option {
                "--write" => Some(&mut options.write),
                "--own-disk" => Some(&mut options.own_disk),
                "--memory-disk" => Some(&mut options.memory_disk),
                _ => None,
            };
            if let Some(flag) = flag {
                *flag = true;
                continue;
            }
            let [value, rest @ ..] = words else { return Err(format!("{option} is unknown, or needs a value")) };
            words = rest;
            let number = || value.parse().ok().filter(|number| *number > 0).ok_or(format!("{value} is no number"));
            match *option {
                "--corpus" => options.corpus = Some((*value).to_string()),
                "--rounds" => options.rounds = usize::try_from(number()?).unwrap_or(ROUNDS),
                "--where" => options.place = Some(value.into()),
                "--scale" => options.scale = number()?,
                _ => return Err(format!("{option} is unknown")),
            }
        }
        options.check().map(|()| options)
    }

    fn check(&self) -> Outcome {
        let mut names: Vec<&str> = CORPORA.iter().map(|corpus| corpus.name).chain([LINEAR]).collect();
        if let Some(name) = &self.corpus
            && !names.contains(&name.as_str())
        {
            let last = names.pop().unwrap_or_default();
            return Err(format!("there is no corpus {name}; there are {} and {last}", names.join(", ")));
        }
        // Files that were removed before must not matter, which on a filesystem that was found they may.
        if self.write && !self.own_disk {
            return Err("the document has the figures of a disk of its own: --own-disk".to_string());
        }
        if self.write && (self.scale > 1 || self.rounds != ROUNDS) {
            return Err("the document has the figures of all data, in the usual number of rounds".to_string());
        }
        if [self.memory_disk, self.own_disk, self.place.is_some()].into_iter().filter(|place| *place).count() > 1 {
            return Err("--memory-disk, --own-disk and --where are different places".to_string());
        }
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        self.corpus.as_ref().is_none_or(|wanted| wanted == name)
    }
}

/// Measures, prints, and with `--write` puts what it printed into the document. A missed target is an error, told after
/// the figures.
pub fn archive(arguments: &[&str]) -> Outcome {
    let options = Options::parse(arguments)?;
    eprintln!("building the release binary (minutes the first time)");
    let binary = volsnap::build()?;
    let scratch = Scratch::new("bench")?;
    let dir = match &options.place {
        _ if options.memory_disk || options.own_disk => place::own_disk(scratch.path(), options.memory_disk)?,
        Some(base) => scratch.elsewhere(base)?,
        None => scratch.path().to_path_buf(),
    };
    place::check_space(&dir, options.scale)?;
    let mut machine = machine(&dir);
    machine.push_str(match (options.memory_disk, options.own_disk) {
        (true, _) => " with a journal on a loop device in memory",
        (_, true) => " with a journal on a loop device on the disk",
        _ if place::forgets_slowly(&dir)? => {
            " without a journal, where files that were removed before slow each new one: see --own-disk"
        }
        _ => "",
    });
    if options.scale > 1 {
        machine.push_str(&format!("; ONE {}TH OF THE DATA, FOR TRYING IT OUT", options.scale));
    }
    let measuring = Measuring { dir: &dir, binary: &binary, options: &options };
    let mut missed = Vec::new();
    for (name, block) in PARTS.iter().filter(|(name, _)| options.wants(name)) {
        let blank =
            Figures { rounds: options.rounds, versions: versions(), machine: machine.clone(), ..Figures::default() };
        let figures = measuring.part(name, blank)?;
        let text = tables::markdown(&figures);
        println!("{text}\n");
        // At once: what is measured is kept, whatever becomes of the rest.
        if options.write {
            block.write(&root().join(DOCUMENT), &text)?;
        }
        let targets = targets::targets(&figures).into_iter().filter(|target| !target.met);
        missed.extend(targets.map(|t| format!("{}: {}: {}", t.data, t.promise, t.measured)));
    }
    scratch.close()?;
    if missed.is_empty() { Ok(()) } else { Err(format!("targets missed: {}", missed.join("; "))) }
}

struct Measuring<'a> {
    dir: &'a Path,
    binary: &'a Path,
    options: &'a Options,
}

impl Measuring<'_> {
    fn part(&self, name: &str, mut figures: Figures) -> Outcome<Figures> {
        let installed: Vec<&Contender> = CONTENDERS.iter().filter(|contender| contender.missing().is_none()).collect();
        match CORPORA.iter().find(|corpus| corpus.name == name) {
            Some(corpus) => {
                let arena = self.arena(installed, self.options.rounds);
                let measured = arena.run(corpus.title, &|dir| (corpus.fill)(dir, self.options.scale), Some(corpus))?;
                figures.corpora.push((corpus.title.to_string(), measured));
            }
            None => {
                // Only what the ratios are of: the others have nothing to do with how the cost grows.
                let base: Vec<&Contender> = installed.into_iter().filter(|c| c.name == CONTENDERS[0].name).collect();
                for (files, rounds) in GROWTH.into_iter().zip(GROWTH_ROUNDS) {
                    let files = files / self.options.scale;
                    let arena = self.arena(base.clone(), rounds.min(self.options.rounds));
                    let title = format!("{} files of 1 KiB", tables::grouped(files));
                    figures.growth.push(arena.run(&title, &|dir| many(dir, files), None)??);
                }
            }
        }
        Ok(figures)
    }

    fn arena(&self, contenders: Vec<&'static Contender>, rounds: usize) -> Arena<'_> {
        Arena { dir: self.dir, ours: Ours::new(self.binary, self.dir), contenders, rounds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_in_any_order() {
        let parsed = Options::parse(&["--rounds", "3", "--memory-disk", "--corpus", "big"]).unwrap();
        assert_eq!((parsed.rounds, parsed.memory_disk, parsed.corpus.as_deref()), (3, true, Some("big")));
        assert!(Options::parse(&["--write", "--own-disk"]).unwrap().write);
        assert!(parsed.wants("big") && !parsed.wants("small"));
    }

    #[test]
    fn nonsense_is_refused_before_anything_is_measured() {
        for words in [
            &["--corpus", "huge"][..],
            &["--corpus"],
            &["--rounds", "0"],
            &["--fast"],
            &["--write"],
            &["--own-disk", "--write", "--scale", "10"],
            &["--memory-disk", "--write"],
            &["--memory-disk", "--where", "."],
            &["--memory-disk", "--own-disk"],
        ] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
