//! The wire: every message and everything that is none, frames right and wrong, closing, and the rate limit.

mod closing;
mod conformance;
mod framing;
mod messages;
mod rate_limit;
mod replay;
mod rules;
mod vectors;
