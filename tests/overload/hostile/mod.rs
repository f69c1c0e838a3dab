//! Slow, silent and flooding peers, and a suspended server: other players are unaffected, and nothing leaks.

mod garbage;
mod half_open;
mod pipelining;
mod places;
mod send_buffer;
mod slow;
mod suspended;
mod unread;

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};

use crate::support::raw::{BINARY, FIN, masked};

/// Requested receive buffer, in bytes. The kernel doubles it and enforces a minimum.
const TINY_BUFFER_BYTES: usize = 1_024;

/// Segment size that keeps the server's send buffer for the peer small, in bytes.
const SMALL_SEGMENT_BYTES: u32 = 536;

/// Most growth of memory, in bytes: more than any run without a leak, far less than an unbounded queue.
const GROWTH_BYTES_MAX: u64 = 32 << 20;

/// MOVEs without a step, with these sequence numbers.
fn moves(sequences: std::ops::Range<u32>) -> Vec<u8> {
    let step = |sequence: u32| {
        let bytes = sequence.to_le_bytes();
        masked(FIN | BINARY, &[3, 0b0101, bytes[0], bytes[1], bytes[2], bytes[3]])
    };
    sequences.flat_map(step).collect()
}

/// A blocking connection whose receive window closes after a few unread bytes.
fn connect_narrow(address: SocketAddr) -> TcpStream {
    let flags = SockFlag::SOCK_CLOEXEC;
    let descriptor: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
    setsockopt(&descriptor, sockopt::RcvBuf, &TINY_BUFFER_BYTES).expect("a small buffer");
    setsockopt(&descriptor, sockopt::TcpMaxSeg, &SMALL_SEGMENT_BYTES).expect("a small segment");
    connect(descriptor.as_raw_fd(), &SockaddrStorage::from(address)).expect("the server accepts");
    TcpStream::from(descriptor)
}
