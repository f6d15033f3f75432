//! Values that worlds share until one of them changes its own, each with its fingerprint once it was asked for.
//!
//! A run of an engine keeps the whole world before each of its changes; what did not change in between is one value in
//! memory, and is hashed once.

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A hash that is the same in every process, so that a seed makes the same run everywhere.
#[must_use]
pub fn fingerprint(of: &(impl Hash + ?Sized)) -> u64 {
    foldhash::quality::FixedState::default().hash_one(of)
}

/// Copied on write. Its [`Hash`] writes the fingerprint of the value, which is computed once.
pub(crate) struct Shared<T>(Arc<Node<T>>);

struct Node<T> {
    value: T,
    /// 0 until it is asked for.
    fingerprint: AtomicU64,
}

impl<T> Shared<T> {
    pub fn new(value: T) -> Self {
        Shared(Arc::new(Node { value, fingerprint: AtomicU64::new(0) }))
    }
}

impl<T: Clone> Shared<T> {
    /// The value of this owner alone.
    pub fn get_mut(&mut self) -> &mut T {
        let node = Arc::make_mut(&mut self.0);
        *node.fingerprint.get_mut() = 0;
        &mut node.value
    }
}

impl<T: Hash> Shared<T> {
    pub fn fingerprint(&self) -> u64 {
        match self.0.fingerprint.load(Ordering::Relaxed) {
            0 => {
                let fingerprint = fingerprint(&self.0.value).max(1);
                self.0.fingerprint.store(fingerprint, Ordering::Relaxed);
                fingerprint
            }
            known => known,
        }
    }
}

impl<T: Clone> Clone for Node<T> {
    fn clone(&self) -> Self {
        Node { value: self.value.clone(), fingerprint: AtomicU64::new(0) }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint());
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Shared::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_of_one_owner_alone_and_changes_its_fingerprint() {
        let mut one = Shared::new(vec![1, 2]);
        let other = one.clone();
        assert_eq!(one.fingerprint(), other.fingerprint());
        one.get_mut().push(3);
        assert_eq!((&**one, &**other), (&[1, 2, 3][..], &[1, 2][..]));
        assert_ne!(one.fingerprint(), other.fingerprint());
        one.get_mut().pop();
        assert_eq!(one.fingerprint(), other.fingerprint());
    }
}
