//! Who may connect: limits, proxies and origins.

mod address_limits;
mod browsers;
mod handshake_storm;
mod origins;
pub mod proxies;
