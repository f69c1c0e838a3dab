//! Fuzz target: whole connections. The properties are in `properties/connection_script.rs`.

#![no_main]

#[path = "../properties/connection_script.rs"]
mod connection_script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| connection_script::check(bytes));
