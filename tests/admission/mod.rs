//! Connections that the server admits or refuses.
//!
//! - `address_limits`, `browsers`: limits per peer address, and thirty browsers behind one address
//! - `handshake_storm`: `MAX_CONNECTIONS` under simultaneous upgrades
//! - `origins`: the pages that may open a game connection
//! - `proxies`: the peer address behind trusted proxies

mod address_limits;
mod browsers;
mod handshake_storm;
mod origins;
pub mod proxies;
