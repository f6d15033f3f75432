//! A Docker Engine of our own that a test may kill and restart.
