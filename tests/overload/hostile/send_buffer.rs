//! A peer that does not read: the kernel buffers little for it, so that the server soon notices.

use nix::sys::socket::{setsockopt, sockopt};

use super::moves;
use crate::support::Settings;
use crate::support::raw::{Raw, UPGRADE};
use crate::support::wait::wait_until;

/// MOVEs whose acks are not read: 300 kB of frames, several times the kernel's buffers.
const MOVES: u32 = 20_000;

/// Receive buffer of the peer, in bytes. The kernel's minimum is two kilobytes.
const NARROW_BYTES: usize = 2_048;

#[test]
fn the_kernel_buffers_little_for_a_peer_that_does_not_read() {
    let settings = Settings::new().set("RATE_LIMIT_MSG_SEC", 10_000).set("RATE_LIMIT_BURST", 100_000);
    let server = settings.start();
    let mut peer = Raw::connect(server.address());
    setsockopt(peer.stream(), sockopt::RcvBuf, &NARROW_BYTES).expect("a small receive buffer");
    peer.send(UPGRADE.as_bytes());
    assert_eq!(peer.response().status, 101);
    peer.send(&moves(1..MOVES + 1));
    wait_until("a stalled write", || server.count("write_stalls_total") > 0);
    assert!(server.count("messages_in_total") < u64::from(MOVES), "the server stops reading from the peer");
}
