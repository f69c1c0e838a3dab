//! Memory for the state of the running server, made resident before the pause. The kernel clears each page at its first use, and
//! with huge pages it may move others away first, which takes longer than the rest of the pause.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::control::Command;
use crate::control::ctl::ask;

/// Heap that the image and the state of a player need, in bytes.
const BYTES_PER_PLAYER: usize = 4_500;

/// glibc returns a free block to the kernel if it was larger than any before, up to 32 MiB, or if it is at the end of the heap and
/// larger than twice that.
const BLOCK_BYTES: usize = 31 << 20;

/// Longest time for the number of players.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Makes heap resident for the players of the server at this path. Without an answer, or with another allocator, the pause is longer.
pub(in crate::server::driver) fn warm(path: &Path) {
    let Ok(status) = ask(&Command::Status {}, path, Instant::now() + TIMEOUT) else { return };
    let players = status["players"].as_u64().unwrap_or(0) as usize;
    let bytes = (players * BYTES_PER_PLAYER).min(2 * BLOCK_BYTES - (2 << 20));
    // From now on, smaller blocks come from the heap and stay there.
    drop(black_box(Vec::<u8>::with_capacity(BLOCK_BYTES)));
    let halves = [(); 2].map(|()| vec![1_u8; bytes / 2]);
    drop(black_box(halves));
}
