//! Frames read one by one as they are asked for, or ahead where it is known which will be.

use std::thread::Scope;

use super::{
    decompress::{self, Content, Unpacker},
    open::Archive,
    pipeline::Drain,
    stream::Frames,
};

/// The frames of an archive from one of them on.
pub(super) struct Picked<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    archive: &'scope Archive,
    base: usize,
    /// A frame and where it begins in the file, to count on from.
    known: (usize, u64),
    unpacker: Unpacker,
    /// What is read ahead: which frames are still to come, the next one last, and where they come from.
    ahead: Option<(Vec<usize>, Drain<Content>)>,
}

impl<'scope, 'env> Picked<'scope, 'env> {
    /// Asking for number 0 means frame `base`.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, archive: &'scope Archive, base: usize) -> Self {
        let known = (base, archive.index.offset(base));
        Picked { scope, archive, base, known, unpacker: Unpacker::new(), ahead: None }
    }

    /// These will be asked for, in this order.
    pub(super) fn expect(&mut self, numbers: impl Iterator<Item = usize>) {
        let mut numbers: Vec<usize> = numbers.map(|number| self.base + number).collect();
        // A single frame is not worth any threads.
        if numbers.len() > 1 {
            let drain = decompress::start(self.scope, self.archive, numbers.clone());
            numbers.reverse();
            self.ahead = Some((numbers, drain));
        }
    }

    fn read(&mut self, number: usize) -> Content {
        let (from, offset) = self.known;
        let passed = &self.archive.index.frames[from..number];
        let offset = offset + passed.iter().map(|frame| u64::from(frame.stored_bytes)).sum::<u64>();
        self.known = (number, offset);
        self.unpacker.read(&self.archive.stored(number, offset)).map(Into::into)
    }
}

impl Frames for Picked<'_, '_> {
    fn take(&mut self, number: usize) -> Option<Content> {
        let number = self.base + number;
        if let Some((numbers, drain)) = &mut self.ahead
            && numbers.last() == Some(&number)
        {
            numbers.pop();
            return drain.next();
        }
        Some(self.read(number))
    }
}
