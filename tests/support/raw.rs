//! A bare socket: requests and frames as bytes, right or wrong.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn};

use nix::sys::socket::{setsockopt, sockopt};

use super::DEADLINE;
use super::http::{self, Response};

/// First byte of a frame: the final one of its message.
pub const FIN: u8 = 0x80;
/// Opcode of a frame that continues a message.
pub const CONTINUATION: u8 = 0x0;
/// Opcode of a text message.
pub const TEXT: u8 = 0x1;
/// Opcode of a binary message.
pub const BINARY: u8 = 0x2;
/// Opcode of a Close.
pub const CLOSE: u8 = 0x8;
/// Opcode of a ping.
pub const PING: u8 = 0x9;
/// Opcode of a pong.
pub const PONG: u8 = 0xa;

/// In a frame's second byte, beside the length: the payload is masked.
const MASKED: u8 = 0x80;

/// The mask of every frame sent; any four bytes will do.
const MASK: [u8; 4] = [0x1c, 0xe2, 0x53, 0x9d];

/// The host that upgrades address. It has no port, and so is the same for all servers of a world, as behind a balancer.
pub const HOST: &str = "localhost";

/// The name of the session cookie for [`HOST`].
pub const COOKIE: &str = "pixi_resume_80";

/// A request that upgrades to a WebSocket, at [`HOST`].
pub const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What [`UPGRADE`] must be answered with, by RFC 6455.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// [`UPGRADE`] with further header lines.
pub fn upgrade_with(headers: &[&str]) -> String {
    let lines = headers.iter().map(|line| format!("{line}\r\n")).collect::<Vec<_>>().concat();
    UPGRADE.replacen("Connection:", &format!("{lines}Connection:"), 1)
}

/// [`UPGRADE`] with a cookie.
pub fn upgrade_with_cookie(cookie: &str) -> String {
    upgrade_with(&[&format!("Cookie: {cookie}")])
}

/// A frame the server sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// The first byte: FIN, reserved bits and opcode.
    pub first: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

/// A blocking connection.
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Raw {
        Raw::over(TcpStream::connect(address).expect("the server accepts"))
    }

    /// Takes a connection.
    pub fn over(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a write timeout");
        Raw { stream, unread: Vec::new() }
    }

    /// Connects from one of loopback's many addresses, `127.x.y.z`.
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Raw {
        let SocketAddr::V4(to) = address else { panic!("an IPv4 address") };
        let kind = (AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC);
        let socket = socket::socket(kind.0, kind.1, kind.2, None).expect("a socket");
        let source = SockaddrIn::from(SocketAddrV4::new(source, 0));
        socket::bind(socket.as_raw_fd(), &source).expect("loopback has all these addresses");
        socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to)).expect("the server accepts");
        Raw::over(TcpStream::from(socket))
    }

    /// Connects and upgrades.
    pub fn upgraded(address: SocketAddr) -> Raw {
        let mut raw = Raw::connect(address);
        raw.send(UPGRADE.as_bytes());
        let response = raw.response();
        assert_eq!(response.status, 101, "{response:?}");
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
        raw
    }

    /// A second handle to the same connection, for a thread that only writes.
    pub fn writer(&self) -> Raw {
        Raw { stream: self.stream.try_clone().expect("another handle"), unread: Vec::new() }
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes bytes. Returns whether they were taken; if the server has closed, what is read tells more.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => false,
            Err(error) => panic!("can't send: {error}"),
        }
    }

    /// Sends one masked frame.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&masked(first, payload));
    }

    /// Writes bytes and the end of this side, which the kernel puts into one segment if it is short.
    pub fn send_and_shut_down_write(&mut self, bytes: &[u8]) {
        let sent =
            socket::send(self.stream.as_raw_fd(), bytes, MsgFlags::from_bits_retain(nix::libc::MSG_MORE))
                .expect("room for it");
        assert_eq!(sent, bytes.len());
        self.shut_down_write();
    }

    /// Says that nothing more will be sent.
    pub fn shut_down_write(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads one HTTP response. One to a HEAD request has no body, see [`Raw::head_response`].
    pub fn response(&mut self) -> Response {
        let mut response = self.head_response();
        let length = response.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        response.body = self.take(length);
        response
    }

    /// Reads the head of one HTTP response.
    pub fn head_response(&mut self) -> Response {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.take(end + 4);
                return http::parse_head(&String::from_utf8(head).expect("a head of text"));
            }
            assert!(self.fill(), "the connection ended before a response: {:?}", self.unread);
        }
    }

    /// Reads one frame; none if the connection ended before it.
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

    /// Reads on to the first frame with this opcode.
    pub fn next_frame_of(&mut self, opcode: u8) -> Frame {
        loop {
            let frame = self.frame().unwrap_or_else(|| panic!("the connection ended before opcode {opcode}"));
            if frame.first & 0xf == opcode {
                return frame;
            }
        }
    }

    /// Reads on to the Close and to the end of the connection, and gives the code; 1005 if there was none.
    pub fn close_code(&mut self) -> u16 {
        let close = self.next_frame_of(CLOSE);
        assert_eq!(self.frame(), None, "nothing follows a Close");
        close.payload.get(..2).map_or(1005, |code| u16::from_be_bytes(code.try_into().expect("two bytes")))
    }

    /// Takes some bytes, up to so many, and returns how many; none at the end of the connection.
    pub fn read_some(&mut self, most: usize) -> usize {
        if self.unread.is_empty() {
            let mut bytes = vec![0; most];
            return match self.stream.read(&mut bytes) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                Err(error) => panic!("nothing came: {error}"),
            };
        }
        let count = most.min(self.unread.len());
        self.unread.drain(..count);
        count
    }

    /// Reads to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.unread)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.fill(), "the connection ended in the middle of something");
        }
        let rest = self.unread.split_off(count);
        std::mem::replace(&mut self.unread, rest)
    }

    /// Reads some bytes more; false at the end of the connection.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            return match self.stream.read(&mut bytes) {
                Ok(0) => false,
                Ok(count) => {
                    self.unread.extend(&bytes[..count]);
                    true
                }
                // The end of a process that another test has started may interrupt a read with a timeout.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
                Err(error) => panic!("nothing came: {error}"),
            };
        }
    }
}

/// Makes the end of a connection, once its last handle is dropped, a reset.
pub fn reset(stream: &TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(stream, sockopt::Linger, &linger).expect("SO_LINGER");
}

/// A client's frame. Lengths are written in the shortest form.
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
