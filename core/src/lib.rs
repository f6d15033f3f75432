#![doc = include_str!("../README.md")]

pub mod error;
pub mod model;
pub mod restore;

pub mod ports;

pub mod engine;

pub use error::{Code, Error, Result};
