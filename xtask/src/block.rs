//! Figures in a document: printed by a command, between two markers that name the command.

use std::{fs, path::Path};

use crate::run::Outcome;

/// A part of a document that a command writes.
pub struct Block {
    /// What it holds.
    pub name: &'static str,
    /// What writes it.
    pub command: &'static str,
}

impl Block {
    /// Puts `text` between the markers in the file.
    pub fn write(&self, file: &Path, text: &str) -> Outcome {
        let name = file.display();
        let old = fs::read_to_string(file).map_err(|e| format!("cannot read {name}: {e}"))?;
        let new = self.replaced(&old, text).map_err(|e| format!("{name}: {e}"))?;
        fs::write(file, new).map_err(|e| format!("cannot write {name}: {e}"))
    }

    /// The document with `text` between the markers.
    fn replaced(&self, document: &str, text: &str) -> Outcome<String> {
        let begin = format!("<!-- {}: written by `{}` -->", self.name, self.command);
        let end = format!("<!-- end of {} -->", self.name);
        let parts = document.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
        let (head, tail) = parts.ok_or_else(|| format!("there is no block between `{begin}` and `{end}`"))?;
        Ok(format!("{head}{begin}\n{text}\n{end}{tail}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bench, crash::figures, run::root};

    const BLOCK: Block = Block { name: "it", command: "do it" };

    #[test]
    fn a_document_keeps_everything_outside_the_block() {
        let text = "before\n<!-- it: written by `do it` -->\nold\nfigures\n<!-- end of it -->\nafter\n";
        let once = BLOCK.replaced(text, "new").unwrap();
        assert_eq!(once, "before\n<!-- it: written by `do it` -->\nnew\n<!-- end of it -->\nafter\n");
        assert_eq!(BLOCK.replaced(&once, "new").unwrap(), once);
    }

    #[test]
    fn a_document_without_the_block_is_refused() {
        assert!(BLOCK.replaced("no block", "new").is_err());
        assert!(BLOCK.replaced("<!-- end of it --> <!-- it: written by `do it` -->", "new").is_err());
    }

    #[test]
    fn the_documents_of_this_repository_have_their_blocks() {
        let archives = bench::archive::PARTS.map(|(_, block)| (bench::archive::DOCUMENT, block));
        let others = [
            ("README.md", bench::BLOCK),
            ("adapters/disk/README.md", bench::freeze::BLOCK),
            ("README.md", figures::LINES),
            ("tests/README.md", figures::LINES),
            ("tests/README.md", figures::MUTANTS),
        ];
        for (file, block) in archives.into_iter().chain(others) {
            let text = fs::read_to_string(root().join(file)).unwrap();
            assert!(block.replaced(&text, "").is_ok(), "{file} has no block of {}", block.name);
        }
    }
}
