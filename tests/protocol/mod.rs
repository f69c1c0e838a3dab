//! The game protocol on real sockets.
//!
//! - `messages`, `vectors`: valid and malformed messages, the test vectors of the browser client
//! - `framing`, `closing`: the pace of frames, and the end of a connection
//! - `rate_limit`: the rate limit of a client
//! - `conformance`: RFC 6455, case by case
//! - `rules`: the requirements of the browser client, rule by rule
//! - `replay`: recordings of real browsers

mod closing;
mod conformance;
mod framing;
mod messages;
mod rate_limit;
mod replay;
mod rules;
mod vectors;
