//! Fuzz target: whole connections. The properties are in `properties/connection_script.rs`.

#![no_main]

#[path = "../properties/connection_script.rs"]
mod connection_script;
/// The simulation uses more of it.
#[allow(dead_code)]
#[path = "../../tests/simulation/machine/mod.rs"]
mod machine;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| connection_script::check(bytes));
