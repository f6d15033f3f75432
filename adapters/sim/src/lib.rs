//! All four ports in memory, with faults and crashes.
