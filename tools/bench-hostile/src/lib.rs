//! What the programs of this package share.
//!
//! `bench-hostile` measures what healthy players notice of hostile peers, `bench-amplification` what one client's bytes cost the server.

pub mod stand;
