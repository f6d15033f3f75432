//! The command line on plain directories, through the real binary and without a container engine.
