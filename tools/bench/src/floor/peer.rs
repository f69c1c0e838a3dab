//! One connection: its socket, its buffers, and the framing that acks need.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

/// The position of a player without a claim, as two 16-bit coordinates.
const DEFAULT_POSITION: [u8; 4] = [244, 1, 244, 1];

/// Header of an unmasked binary frame of 13 bytes.
const ACK_HEAD: [u8; 2] = [0x82, 13];

const MOVE: u8 = 3;
const ACK: u8 = 8;

/// Length of a client's frame header with its mask, in bytes.
const MASKED_HEAD_BYTES: usize = 6;

/// One connection.
#[derive(Debug)]
pub struct Peer {
    /// Its socket.
    pub stream: TcpStream,
    /// Its player's id, once upgraded.
    pub id: Option<u32>,
    /// The request head so far; after the upgrade, an incomplete frame.
    pub inbox: Vec<u8>,
    /// Bytes to write.
    pub outbox: Vec<u8>,
    /// Whether the socket may accept more bytes.
    pub writable: bool,
    /// Whether it is closed once everything is written.
    pub is_leaving: bool,
}

/// A client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// A MOVE with its sequence number and claimed position. The ack echoes the claim, because a correction would make
    /// the client send other MOVEs than to a game server.
    Move(u32, [u8; 4]),
    Close,
    Other,
}

impl Peer {
    /// Returns a newly accepted connection.
    pub fn new(stream: TcpStream) -> Peer {
        Peer { stream, id: None, inbox: Vec::new(), outbox: Vec::new(), writable: true, is_leaving: false }
    }

    /// Reads once. Returns the number of bytes, or `None` if the read would block.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Appends an ack to the outbox for every MOVE in these bytes.
    ///
    /// # Errors
    /// The client sent an invalid frame. The connection is unusable.
    pub fn answer(&mut self, bytes: &[u8], id: u32) -> io::Result<()> {
        let held = std::mem::take(&mut self.inbox);
        let joined;
        let mut rest = if held.is_empty() {
            bytes
        } else {
            joined = [held.as_slice(), bytes].concat();
            joined.as_slice()
        };
        while let Some((frame, length)) = split(rest)? {
            rest = &rest[length..];
            match frame {
                Frame::Move(sequence, position) => append_ack(&mut self.outbox, id, position, sequence),
                Frame::Close => {
                    self.outbox.extend_from_slice(&[0x88, 0]);
                    self.is_leaving = true;
                }
                Frame::Other => {}
            }
        }
        self.inbox.extend_from_slice(rest);
        Ok(())
    }

    /// Writes these bytes. If the kernel accepts none, they are skipped, since the next flush replaces them.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn flush(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = self.write_once(bytes)?;
        if taken > 0 {
            self.outbox.extend_from_slice(&bytes[taken..]);
        }
        Ok(())
    }

    /// Whether a flush can be written.
    pub fn takes_flush(&self) -> bool {
        self.id.is_some() && self.writable && self.outbox.is_empty() && !self.is_leaving
    }

    /// Writes the outbox.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn write_outbox(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.outbox);
        let taken = self.write_once(&waiting)?;
        self.outbox = waiting;
        self.outbox.drain(..taken);
        Ok(())
    }

    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            result => result?,
        };
        self.writable = taken == bytes.len();
        Ok(taken)
    }
}

/// Parses the first masked frame. Returns it with its length in bytes, or `None` while it is incomplete.
fn split(bytes: &[u8]) -> io::Result<Option<(Frame, usize)>> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    let length = usize::from(second & 0x7f);
    if second & 0x80 == 0 || length > 125 {
        return Err(ErrorKind::InvalidData.into());
    }
    let whole = MASKED_HEAD_BYTES + length;
    if bytes.len() < whole {
        return Ok(None);
    }
    let byte = |at: usize| bytes[MASKED_HEAD_BYTES + at] ^ bytes[2 + at % 4];
    let frame = match first {
        0x82 if length >= 6 && byte(0) == MOVE => {
            // Claims have 32-bit coordinates; the world needs 16.
            let position = if length >= 14 { [6, 7, 10, 11].map(byte) } else { DEFAULT_POSITION };
            Frame::Move(u32::from_le_bytes([2, 3, 4, 5].map(byte)), position)
        }
        0x88 => Frame::Close,
        _ => Frame::Other,
    };
    Ok(Some((frame, whole)))
}

fn append_ack(out: &mut Vec<u8>, id: u32, position: [u8; 4], sequence: u32) {
    out.extend_from_slice(&ACK_HEAD);
    out.push(ACK);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&position);
    out.extend_from_slice(&sequence.to_le_bytes());
}

/// Appends a client's first snapshot, with only its own player.
pub fn append_first_state(out: &mut Vec<u8>, id: u32) {
    out.extend_from_slice(&[0x82, 16, 7, 1, 0, 0, 0]);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&DEFAULT_POSITION);
    out.extend_from_slice(&[0, 0, 0x80]);
}

/// Returns the bytes of one flush: as many frames of `PLAYER_MOVEMENT` as fit.
pub fn flush_of(bytes: usize) -> Vec<u8> {
    [0x82, 7, 255, 0, 0, 0, 0, 0, 0].repeat(bytes / 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [9, 8, 7, 6];
        let masked = payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]);
        [first, 0x80 | payload.len() as u8].into_iter().chain(mask).chain(masked).collect()
    }

    #[test]
    fn parses_sequence_and_claim_of_both_move_lengths() {
        let short = masked(0x82, &[3, 5, 1, 2, 3, 4]);
        assert_eq!(split(&short).unwrap(), Some((Frame::Move(0x0403_0201, DEFAULT_POSITION), 12)));
        let long = masked(0x82, &[3, 5, 7, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0]);
        assert_eq!(split(&long).unwrap(), Some((Frame::Move(7, [1, 2, 3, 4]), 20)));
        for length in 0..short.len() {
            assert_eq!(split(&short[..length]).unwrap(), None);
        }
    }

    #[test]
    fn skips_other_frames_and_rejects_invalid_ones() {
        assert_eq!(split(&masked(0x82, &[6])).unwrap(), Some((Frame::Other, 7)));
        assert_eq!(split(&masked(0x8a, &[])).unwrap(), Some((Frame::Other, 6)));
        assert_eq!(split(&masked(0x88, &[3, 0xe9])).unwrap(), Some((Frame::Close, 8)));
        assert!(split(&[0x82, 5]).is_err(), "not masked");
        assert!(split(&[0x82, 0xfe]).is_err(), "longer than any message");
    }
}
