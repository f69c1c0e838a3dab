//! Fuzz target: what a client's bytes amount to. What must hold is in `properties/websocket_read.rs`.

#![no_main]

#[path = "../properties/websocket_read.rs"]
mod websocket_read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| websocket_read::check(bytes));
