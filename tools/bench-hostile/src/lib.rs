//! Shared code of `bench-hostile`, which measures healthy players beside hostile peers, and `bench-amplification`, which measures the
//! server's cost of one client's bytes.

pub mod stand;
