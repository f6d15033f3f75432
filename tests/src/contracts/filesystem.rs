//! What every implementation of the filesystem port must do.
