//! Fuzz target: game messages from a client. The properties are in `properties/client_message.rs`.

#![no_main]

#[path = "../properties/client_message.rs"]
mod client_message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| client_message::check(bytes));
