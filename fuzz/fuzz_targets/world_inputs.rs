//! Fuzz target: what players do in the world. What must hold is in `properties/world_inputs.rs`.

#![no_main]

#[path = "../properties/world_inputs.rs"]
mod world_inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| world_inputs::check(bytes));
