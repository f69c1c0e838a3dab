//! One connection: its socket, what it is, and the few bytes of framing that acks need.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

/// Where a player is who claims to be nowhere else, as two 16-bit coordinates.
const SOMEWHERE: [u8; 4] = [244, 1, 244, 1];

/// An unmasked binary frame of 13 bytes.
const ACK_HEAD: [u8; 2] = [0x82, 13];

const MOVE: u8 = 3;
const ACK: u8 = 8;

/// Bytes of a client's frame before its payload: head and mask.
const MASKED_HEAD_BYTES: usize = 6;

/// One connection.
#[derive(Debug)]
pub struct Peer {
    /// Its socket.
    pub stream: TcpStream,
    /// Its player's id once it is upgraded.
    pub id: Option<u32>,
    /// The request head so far, then the beginning of a frame that has not arrived whole.
    pub inbox: Vec<u8>,
    /// What is to be written.
    pub outbox: Vec<u8>,
    /// The kernel may take more.
    pub writable: bool,
    /// It is in the list of those with something to write.
    pub is_listed: bool,
    /// It goes once everything is written.
    pub is_leaving: bool,
}

/// What a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// A MOVE of this sequence, and the position it claims, as an ack carries it: who is put elsewhere goes back, and
    /// sends other MOVEs than to a game server.
    Move(u32, [u8; 4]),
    Close,
    Other,
}

impl Peer {
    /// A connection just accepted.
    pub fn new(stream: TcpStream) -> Peer {
        Peer {
            stream,
            id: None,
            inbox: Vec::new(),
            outbox: Vec::new(),
            writable: true,
            is_listed: false,
            is_leaving: false,
        }
    }

    /// Reads once: the bytes read, none for now, or an error where the peer has ended its side or the socket failed.
    ///
    /// # Errors
    /// The connection is over.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Answers every MOVE among these bytes in the outbox.
    ///
    /// # Errors
    /// What no client sends; the connection is worth nothing any more.
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

    /// Writes these bytes, unless something waits already or the kernel takes nothing: then they are skipped, as a
    /// flush that comes again may be.
    ///
    /// # Errors
    /// The connection is over.
    pub fn flush(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = self.write_once(bytes)?;
        if taken > 0 {
            self.outbox.extend_from_slice(&bytes[taken..]);
        }
        Ok(())
    }

    /// Whether a flush would be written.
    pub fn takes_flush(&self) -> bool {
        self.id.is_some() && self.writable && self.outbox.is_empty() && !self.is_leaving
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// The connection is over.
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

/// Takes one masked frame off the front, and how many bytes it occupies; nothing while it is incomplete.
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
            // Coordinates are claimed in 32 bits; the world needs 16.
            let position = if length >= 14 { [6, 7, 10, 11].map(byte) } else { SOMEWHERE };
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

/// The first full state of a client: itself and nobody else.
pub fn append_first_state(out: &mut Vec<u8>, id: u32) {
    out.extend_from_slice(&[0x82, 16, 7, 1, 0, 0, 0]);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&SOMEWHERE);
    out.extend_from_slice(&[0, 0, 0x80]);
}

/// The bytes of one flush: as many frames of `PLAYER_MOVEMENT` as fit.
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
    fn moves_of_both_lengths_are_told_with_their_sequence_and_place() {
        let short = masked(0x82, &[3, 5, 1, 2, 3, 4]);
        assert_eq!(split(&short).unwrap(), Some((Frame::Move(0x0403_0201, SOMEWHERE), 12)));
        let long = masked(0x82, &[3, 5, 7, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0]);
        assert_eq!(split(&long).unwrap(), Some((Frame::Move(7, [1, 2, 3, 4]), 20)));
        for length in 0..short.len() {
            assert_eq!(split(&short[..length]).unwrap(), None);
        }
    }

    #[test]
    fn other_frames_are_taken_whole_and_broken_ones_refused() {
        assert_eq!(split(&masked(0x82, &[6])).unwrap(), Some((Frame::Other, 7)));
        assert_eq!(split(&masked(0x8a, &[])).unwrap(), Some((Frame::Other, 6)));
        assert_eq!(split(&masked(0x88, &[3, 0xe9])).unwrap(), Some((Frame::Close, 8)));
        assert!(split(&[0x82, 5]).is_err(), "not masked");
        assert!(split(&[0x82, 0xfe]).is_err(), "longer than any message");
    }

    #[test]
    fn an_ack_is_a_frame_of_fifteen_bytes() {
        let mut out = Vec::new();
        append_ack(&mut out, 1004, SOMEWHERE, 1);
        assert_eq!(out, [0x82, 13, 8, 0xec, 3, 0, 0, 244, 1, 244, 1, 1, 0, 0, 0]);
        assert_eq!(flush_of(95).len(), 90);
        assert!(flush_of(0).is_empty());
    }
}
