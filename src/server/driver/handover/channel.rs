//! A connection between two processes that carries lines, descriptors and bytes, with one deadline for all.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::CONTROL_LINE_BYTES_MAX;

/// Most descriptors in one message: `SCM_MAX_FD` of Linux.
const DESCRIPTORS_PER_MESSAGE: usize = 253;

/// Bytes that the sender may be ahead of the receiver.
const BUFFER_BYTES: usize = 4 << 20;

/// The new process has everything.
const COMMIT: u8 = 1;

/// The old process goes on.
const GIVE_UP: u8 = 0;

/// The connection. Every call fails with [`ErrorKind::TimedOut`] or [`ErrorKind::WouldBlock`] once the deadline has passed.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    deadline: Instant,
}

impl Channel {
    /// Returns a channel that ends after `limit`.
    pub fn new(stream: UnixStream, limit: Duration) -> Self {
        // The kernel may grant less, which costs time only.
        let _ = sockopt::set_socket_send_buffer_size(&stream, BUFFER_BYTES);
        Self { stream, deadline: Instant::now() + limit }
    }

    /// Sends a line of JSON.
    ///
    /// # Errors
    /// The other process is gone, or the deadline has passed.
    pub fn send_line(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.send(&line)
    }

    /// Receives a line of JSON.
    ///
    /// # Errors
    /// The other process is gone, the deadline has passed, or the line is too long or not such a message.
    pub fn receive_line<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = Vec::new();
        // Byte by byte: what follows the line is not read.
        while line.last() != Some(&b'\n') {
            if line.len() > CONTROL_LINE_BYTES_MAX {
                return Err(io::Error::new(ErrorKind::InvalidData, "a line is too long"));
            }
            let mut byte = [0];
            self.receive(&mut byte)?;
            line.extend(byte);
        }
        Ok(serde_json::from_slice(&line)?)
    }

    /// Sends all bytes.
    ///
    /// # Errors
    /// The other process is gone, or the deadline has passed.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            self.stream.set_write_timeout(Some(self.time_left()?))?;
            match self.stream.write(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => left = &left[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills the buffer.
    ///
    /// # Errors
    /// The other process is gone, or the deadline has passed.
    pub fn receive(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            self.stream.set_read_timeout(Some(self.time_left()?))?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends duplicates of these descriptors.
    ///
    /// # Errors
    /// The other process is gone, the deadline has passed, or too many descriptors are in flight.
    pub fn send_descriptors(&mut self, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        for batch in descriptors.chunks(DESCRIPTORS_PER_MESSAGE) {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(batch)), "the space is that of a batch");
            self.stream.set_write_timeout(Some(self.time_left()?))?;
            sendmsg(&self.stream, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
        }
        Ok(())
    }

    /// Receives this number of descriptors, in the order in which they were sent.
    ///
    /// # Errors
    /// The other process is gone, the deadline has passed, or this process may open no more descriptors.
    pub fn receive_descriptors(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        let mut received = Vec::with_capacity(count);
        while received.len() < count {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            self.stream.set_read_timeout(Some(self.time_left()?))?;
            let mut byte = [0];
            let buffers = &mut [IoSliceMut::new(&mut byte)];
            let message = recvmsg(&self.stream, buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let before = received.len();
            for part in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                    received.extend(descriptors);
                }
            }
            if message.bytes == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if message.flags.contains(ReturnFlags::CTRUNC) || received.len() == before {
                return Err(io::Error::other("this process may open no more descriptors"));
            }
        }
        Ok(received)
    }

    /// Takes the sockets away from the old process, which then exits. If it has died instead of giving up, nobody else has
    /// them.
    ///
    /// # Errors
    /// The old process has given up, and goes on: this one must not touch the sockets.
    pub fn commit(&mut self) -> io::Result<()> {
        let Err(error) = self.send(&[COMMIT]) else { return Ok(()) };
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => Ok(()),
            _ => Err(error),
        }
    }

    /// Waits for the byte that commits the handover. Afterwards the byte has arrived, or never will.
    ///
    /// # Errors
    /// The new process is gone, or the deadline has passed: this process goes on.
    pub fn await_commit(&mut self) -> io::Result<()> {
        let mut byte = [0];
        let Err(error) = self.receive(&mut byte) else { return Ok(()) };
        // Tells the new process that this one lives. Once its input is shut down, the new process can't send; it may have
        // sent before.
        let _ = self.stream.write(&[GIVE_UP]);
        self.stream.shutdown(Shutdown::Both)?;
        match self.stream.read(&mut byte) {
            Ok(1) => Ok(()),
            _ => Err(error),
        }
    }

    /// Waits until the new process needs this one no longer, or is gone, or the deadline passes.
    pub fn await_release(&mut self) {
        let _ = self.receive(&mut [0]);
    }

    fn time_left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}
