//! Fuzz target: the game messages of a client. What must hold is in `properties/client_message.rs`.

#![no_main]

#[path = "../properties/client_message.rs"]
mod client_message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| client_message::check(bytes));
