//! What runs out: descriptors, memory for sockets, ports, room on the disk. The server says so, serves whom it can, and
//! goes on when there is more.

mod addresses;
mod descriptors;
mod log_file;
mod open_files;

use std::path::PathBuf;

use crate::support::{Client, pump};

/// Waits until all players are on all pictures. Whoever is about to leave them unread for a while does this first, or
/// entrances and exits would seem to come at the same moment.
fn see_each_other(players: &mut [Client]) {
    let others = players.len() - 1;
    pump(players, "everybody to see everybody", |players| {
        players.iter().all(|player| player.picture.own_id().is_some() && player.visible().len() == others)
    });
}

/// An empty folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}
