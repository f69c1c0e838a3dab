//! Fuzz target: a client's bytes after the upgrade. The properties are in `properties/websocket_read.rs`.

#![no_main]

#[path = "../properties/websocket_read.rs"]
mod websocket_read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| websocket_read::check(bytes));
