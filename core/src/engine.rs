//! The only caller of the ports.
