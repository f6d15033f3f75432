//! The catalog: the Store port on SQLite.
