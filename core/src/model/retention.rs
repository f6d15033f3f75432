//! Which snapshots are kept, and by which rule.
