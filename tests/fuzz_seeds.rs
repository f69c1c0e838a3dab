//! Regression tests: runs the properties of the fuzz targets over their seeds.

use std::fs;
use std::path::Path;

use crate::simulation::machine;

#[path = "../fuzz/properties/client_message.rs"]
mod client_message;
#[path = "../fuzz/properties/connection_script.rs"]
mod connection_script;
#[path = "../fuzz/properties/http_head.rs"]
mod http_head;
#[path = "../fuzz/properties/websocket_read.rs"]
mod websocket_read;
#[path = "../fuzz/properties/world_inputs.rs"]
mod world_inputs;

/// Runs every seed of a target. Prints the path of each seed, so that the last line before a panic names it.
fn run_seeds(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&directory).expect("a directory of seeds") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        check(&fs::read(&path).expect("a file"));
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds in {}", directory.display());
}

#[test]
fn request_heads_parse_the_same_however_they_are_split() {
    run_seeds("http_head", http_head::check);
}

#[test]
fn frames_decode_the_same_however_they_are_split() {
    run_seeds("websocket_read", websocket_read::check);
}

#[test]
fn client_messages_decode_exactly() {
    run_seeds("client_message", client_message::check);
}

#[test]
fn any_player_input_keeps_the_world_rules() {
    run_seeds("world_inputs", world_inputs::check);
}

#[test]
fn connections_receive_whole_frames_in_order() {
    run_seeds("connection_script", connection_script::check);
}
