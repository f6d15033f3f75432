//! Memory that is used again.
//!
//! Each fresh page costs a fault and its zeroing. For the contents of frames, 4 MiB each, that was a fifth of the
//! processors' time of a check.

use std::{
    mem::take,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use super::zeros::ZEROS;

/// Memory that nobody needs at the moment. It never holds more than was in use at one time.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    /// Some memory, empty; fresh if there is none.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Bytes whose memory comes back when they are dropped.
    pub(super) fn lend(&self, bytes: Vec<u8>) -> Buffer {
        Buffer { bytes, home: Some(self.clone()), zeros: 0 }
    }
}

/// Some bytes.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    home: Option<Pool>,
    /// It is so many zeros, and has no bytes of its own.
    zeros: usize,
}

impl Buffer {
    /// A whole frame of zeros.
    pub(super) fn zeros() -> Self {
        Buffer { bytes: Vec::new(), home: None, zeros: ZEROS.len() }
    }

    /// Whether it is known to be that, without a look.
    pub(super) fn is_zeros(&self) -> bool {
        self.zeros > 0
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Buffer { bytes, home: None, zeros: 0 }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.zeros > 0 { &ZEROS[..self.zeros] } else { &self.bytes }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            let mut bytes = take(&mut self.bytes);
            bytes.clear();
            home.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_empty_and_is_used_again() {
        let pool = Pool::default();
        let mut bytes = pool.take();
        bytes.extend([7; 1000]);
        let at = bytes.as_ptr();
        let lent = pool.lend(bytes);
        assert_eq!(&lent[..3], [7; 3]);
        assert!(pool.take().capacity() == 0, "what is lent is not given twice");
        drop(lent);
        let again = pool.take();
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
    }
}
