//! The Containers port on a Docker Engine.
