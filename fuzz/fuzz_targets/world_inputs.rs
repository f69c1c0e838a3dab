//! Fuzz target: inputs of players in the world. The properties are in `properties/world_inputs.rs`.

#![no_main]

#[path = "../properties/world_inputs.rs"]
mod world_inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| world_inputs::check(bytes));
