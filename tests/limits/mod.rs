//! How many may come in: all together, and from one address.

mod address;
mod storm;
