//! Crash-safe snapshot and restore of container volumes: the library that hosts embed, and the command line.
