//! Who may connect: limits, proxies and origins.

pub mod proxies;
