//! The catalog: the Store port on SQLite.

mod aside;
mod birth;
mod fault;
mod open;
mod reserve;
mod rows;
mod schema;
mod store;

pub use store::SqliteStore;
