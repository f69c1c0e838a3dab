//! Peers that are slow, silent or greedy, and a server that was suspended: the others notice nothing, and nothing leaks.

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

/// Smallest receive buffer asked for, in bytes; the kernel doubles it and has a floor of its own.
const TINY_BUFFER_BYTES: usize = 1_024;

/// A segment size that keeps the server's send buffer for this peer small, in bytes.
const SMALL_SEGMENT_BYTES: u32 = 536;

/// More than any leak-free run grows by, far less than a queue without a bound, in bytes.
const GROWTH_BYTES_MAX: u64 = 32 << 20;

/// A blocking connection whose window closes after few bytes that nobody reads.
fn connect_narrow(address: SocketAddr) -> TcpStream {
    let flags = SockFlag::SOCK_CLOEXEC;
    let descriptor: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
    setsockopt(&descriptor, sockopt::RcvBuf, &TINY_BUFFER_BYTES).expect("a small buffer");
    setsockopt(&descriptor, sockopt::TcpMaxSeg, &SMALL_SEGMENT_BYTES).expect("a small segment");
    connect(descriptor.as_raw_fd(), &SockaddrStorage::from(address)).expect("the server accepts");
    TcpStream::from(descriptor)
}
