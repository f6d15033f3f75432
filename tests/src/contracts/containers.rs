//! What every implementation of the containers port must do.
