//! `bench downtime`: the figures that the README promises, measured on this machine and never typed.

mod figures;
mod memory;
mod tables;
mod world;

use std::fs;

use figures::Figures;
use world::Arena;

use crate::{
    engine::Engine,
    run::{Outcome, root},
    scratch::Scratch,
    volsnap,
};

/// Restores of each world; the median of them counts.
pub const ROUNDS: usize = 5;

/// Where the figures stand in the README.
const BEGIN: &str = "<!-- bench downtime: written by `cargo xtask bench downtime --write` -->";
const END: &str = "<!-- end of bench downtime -->";

/// Measures, prints, and with `write` puts what it printed into the README. A missed target is an error, told after the
/// figures.
pub fn downtime(write: bool) -> Outcome {
    eprintln!("building the release binary (minutes the first time)");
    let binary = volsnap::build()?;
    let scratch = Scratch::new("bench")?;
    let arena = Arena::fill(scratch.path(), &binary)?;
    let directories = arena.measure(None)?;
    let containers = match Engine::at_hand(scratch.path()) {
        Ok(engine) => {
            engine.import_image(scratch.path())?;
            Ok(arena.measure(Some(&engine))?)
        }
        Err(why) if write => return Err(format!("the README needs the figures of a container too: {why}")),
        Err(why) => Err(why),
    };
    scratch.close()?;
    let figures = Figures { directories, containers };
    let block = tables::markdown(&figures);
    println!("{block}");
    if write {
        let readme = root().join("README.md");
        let text = fs::read_to_string(&readme).map_err(|e| format!("cannot read the README: {e}"))?;
        fs::write(&readme, replaced(&text, &block)?).map_err(|e| format!("cannot write the README: {e}"))?;
    }
    let missed = figures.missed();
    if missed.is_empty() { Ok(()) } else { Err(format!("targets missed: {}", missed.join("; "))) }
}

/// The text with `block` between the markers.
fn replaced(text: &str, block: &str) -> Outcome<String> {
    let parts = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = parts.ok_or_else(|| format!("the README has no block between `{BEGIN}` and `{END}`"))?;
    Ok(format!("{head}{BEGIN}\n{block}\n{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::{world::WORLDS, *};

    #[test]
    fn the_readme_keeps_everything_outside_the_block() {
        let text = format!("before\n{BEGIN}\nold\nfigures\n{END}\nafter\n");
        let once = replaced(&text, "new").unwrap();
        assert_eq!(once, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replaced(&once, "new").unwrap(), once);
    }

    #[test]
    fn a_readme_without_the_block_is_refused() {
        assert!(replaced("no block", "new").is_err());
        assert!(replaced(&format!("{END} {BEGIN}"), "new").is_err());
    }

    #[test]
    fn the_readme_of_this_repository_has_the_block() {
        let text = fs::read_to_string(root().join("README.md")).unwrap();
        assert!(replaced(&text, "").is_ok());
    }

    #[test]
    fn every_world_is_measured_against_the_first() {
        assert!(
            WORLDS.len() >= 3 && WORLDS[1..].iter().all(|w| w.bytes > WORLDS[0].bytes || w.files > WORLDS[0].files)
        );
    }
}
