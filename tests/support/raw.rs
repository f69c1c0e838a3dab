//! A raw socket: sends and reads requests and frames as bytes, valid or not.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd as _;
use std::thread;
use std::time::Duration;

pub use game_client::handshake::ACCEPT;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn};

use nix::sys::socket::{setsockopt, sockopt};

use super::DEADLINE;
use super::http::{self, Response};

/// FIN bit of a frame's first byte: the last fragment of its message.
pub const FIN: u8 = 0x80;
/// Opcode of a continuation frame; the others follow.
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

const MASKED: u8 = 0x80;

/// Mask of every frame sent. Its value is arbitrary.
const MASK: [u8; 4] = [0x1c, 0xe2, 0x53, 0x9d];

/// Host header of upgrades, without a port, so that all servers of a cluster share a cookie.
pub const HOST: &str = "localhost";

/// Name of the session cookie for [`HOST`].
pub const COOKIE: &str = "pixi_resume_80";

/// A cookie of no session.
pub const MADE_UP_COOKIE: &str = "pixi_resume_80=0123456789abcdef0123456789abcdef";

/// A WebSocket upgrade request to [`HOST`].
pub const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub fn upgrade_with(headers: &[&str]) -> String {
    let lines = headers.iter().map(|line| format!("{line}\r\n")).collect::<Vec<_>>().concat();
    UPGRADE.replacen("Connection:", &format!("{lines}Connection:"), 1)
}

pub fn upgrade_with_cookie(cookie: &str) -> String {
    upgrade_with(&[&format!("Cookie: {cookie}")])
}

#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// First byte: FIN, reserved bits and opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

/// A blocking connection.
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Raw {
        Raw::over(TcpStream::connect(address).expect("the server accepts"))
    }

    /// Sends a request on a new connection, and reads the response.
    pub fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
        let mut raw = Raw::connect(address);
        raw.send(request.as_ref());
        raw.response()
    }

    pub fn over(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a write timeout");
        Raw { stream, unread: Vec::new() }
    }

    /// Connects from a given loopback address, `127.x.y.z`.
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Raw {
        let SocketAddr::V4(to) = address else { panic!("an IPv4 address") };
        let kind = (AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC);
        let socket = socket::socket(kind.0, kind.1, kind.2, None).expect("a socket");
        let source = SockaddrIn::from(SocketAddrV4::new(source, 0));
        socket::bind(socket.as_raw_fd(), &source).expect("every 127.x.y.z address can be bound");
        socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to)).expect("the server accepts");
        Raw::over(TcpStream::from(socket))
    }

    /// Connects and upgrades to a WebSocket.
    pub fn upgraded(address: SocketAddr) -> Raw {
        let mut raw = Raw::connect(address);
        raw.send(UPGRADE.as_bytes());
        let response = raw.response();
        assert_eq!(response.status, 101, "{response:?}");
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
        raw
    }

    /// Returns a second handle to the same connection, for a thread that only writes.
    pub fn writer(&self) -> Raw {
        Raw { stream: self.stream.try_clone().expect("another handle"), unread: Vec::new() }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes bytes. Returns false if the server has closed the connection; reading then returns the reason.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => false,
            Err(error) => panic!("can't send: {error}"),
        }
    }

    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&masked(first, payload));
    }

    /// Writes bytes and shuts down the sending side. The kernel puts short data and the FIN into one segment.
    pub fn send_and_shut_down_write(&mut self, bytes: &[u8]) {
        let sent =
            socket::send(self.stream.as_raw_fd(), bytes, MsgFlags::from_bits_retain(nix::libc::MSG_MORE))
                .expect("room in the send buffer");
        assert_eq!(sent, bytes.len());
        self.shut_down_write();
    }

    pub fn shut_down_write(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads one HTTP response. A response to HEAD has no body; use [`Raw::head_response`].
    pub fn response(&mut self) -> Response {
        let mut response = self.head_response();
        let length = response.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        response.body = self.take(length);
        response
    }

    pub fn head_response(&mut self) -> Response {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.take(end + 4);
                return http::parse_head(&String::from_utf8(head).expect("a head of text"));
            }
            assert!(self.fill(), "the connection ended before a response: {:?}", self.unread);
        }
    }

    /// Reads one frame; `None` if the connection ends first.
    pub fn frame(&mut self) -> Option<Frame> {
        while self.unread.len() < 2 {
            if !self.fill() {
                return None;
            }
        }
        let head = self.take(2);
        assert_eq!(head[1] & 0x80, 0, "the server must not mask");
        let length = match head[1] {
            126 => u16::from_be_bytes(self.take(2).try_into().expect("two bytes")).into(),
            127 => u64::from_be_bytes(self.take(8).try_into().expect("eight bytes")) as usize,
            short => short.into(),
        };
        Some(Frame { first: head[0], payload: self.take(length) })
    }

    /// Skips frames up to the first frame with this opcode.
    pub fn next_frame_of(&mut self, opcode: u8) -> Frame {
        loop {
            let frame = self.frame().unwrap_or_else(|| panic!("the connection ended before opcode {opcode}"));
            if frame.first & 0xf == opcode {
                return frame;
            }
        }
    }

    /// Reads up to the Close and the end of the connection. Returns the close code, or 1005 if there is none.
    pub fn close_code(&mut self) -> u16 {
        let close = self.next_frame_of(CLOSE);
        assert_eq!(self.frame(), None, "nothing follows a Close");
        close.payload.get(..2).map_or(1005, |code| u16::from_be_bytes(code.try_into().expect("two bytes")))
    }

    /// Reads and discards up to `most` bytes. Returns their number, which is 0 at the end of the connection.
    pub fn read_some(&mut self, most: usize) -> usize {
        if self.unread.is_empty() {
            let mut bytes = vec![0; most];
            return match self.stream.read(&mut bytes) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                Err(error) => panic!("read failed: {error}"),
            };
        }
        let count = most.min(self.unread.len());
        self.unread.drain(..count);
        count
    }

    /// Reads and discards `length` bytes in pieces with pauses. Returns their number, less if the connection ends.
    pub fn read_slowly(&mut self, length: usize, piece: usize, pause: Duration) -> usize {
        let mut read = 0;
        while read < length {
            match self.read_some(piece.min(length - read)) {
                0 => break,
                count => read += count,
            }
            thread::sleep(pause);
        }
        read
    }

    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.unread)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.fill(), "the connection ended before the expected bytes");
        }
        let read_to_end = self.unread.split_off(count);
        std::mem::replace(&mut self.unread, read_to_end)
    }

    /// Reads more bytes into `unread`. Returns false at the end of the connection.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            return match self.stream.read(&mut bytes) {
                Ok(0) => false,
                Ok(count) => {
                    self.unread.extend(&bytes[..count]);
                    true
                }
                // SIGCHLD for a process of another test may interrupt a read with a timeout.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
                Err(error) => panic!("read failed: {error}"),
            };
        }
    }
}

/// Makes closing the last handle of the connection send a TCP reset.
pub fn reset(stream: &TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(stream, sockopt::Linger, &linger).expect("SO_LINGER");
}

/// Encodes a masked client frame with the shortest length field.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(MASKED + short as u8),
        medium @ 126..=0xffff => {
            frame.push(MASKED + 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(MASKED + 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
