//! One hostile peer, with at most one connection at a time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use game_client::frame::Frame;
use mio::{Registry, Token};

use super::kind::Kind;
use super::script::Script;
use super::tally::End;
use crate::connection::{Connection, Phase, ReadOutcome};

/// Maximum bytes queued for a server that does not read. At this limit the peer produces no output.
const QUEUED_BYTES_MAX: usize = 8 * 1024;

/// Maximum consecutive reads of one peer.
const CONSECUTIVE_READS_MAX: usize = 4;

/// Result of a read from an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing happened; more bytes may be available.
    More,
    /// The socket is empty.
    Drained,
    /// The connection has been upgraded.
    Upgraded,
}

/// A peer.
#[derive(Debug)]
pub struct Peer {
    /// Its behavior.
    pub kind: Kind,
    /// The script of its current connection.
    pub script: Script,
    /// The phase of its current connection. It is never joining or closing.
    pub phase: Phase,
    /// Its current connection.
    pub connection: Connection,
    /// Whether a read is scheduled.
    pub is_read_planned: bool,
    /// Code of the received close frame.
    close_code: Option<u16>,
}

impl Peer {
    /// Creates a disconnected peer.
    pub fn new(kind: Kind, script: Script) -> Peer {
        let connection = Connection::default();
        Peer {
            kind,
            script,
            phase: Phase::Disconnected,
            connection,
            is_read_planned: false,
            close_code: None,
        }
    }

    /// Starts another connection.
    ///
    /// # Errors
    /// See [`Connection::begin`].
    pub fn begin(
        &mut self,
        server: SocketAddr,
        source: Option<Ipv4Addr>,
        registry: &Registry,
        token: Token,
        script: Script,
    ) -> io::Result<()> {
        self.script = script;
        self.connection.begin(server, source, self.kind.receive_buffer_bytes(), registry, token)?;
        (self.phase, self.is_read_planned, self.close_code) = (Phase::Connecting, false, None);
        Ok(())
    }

    /// Whether it has stopped reading.
    pub fn is_deaf(&self) -> bool {
        self.phase == Phase::Playing && self.kind.is_deaf()
    }

    /// Whether more output may be queued.
    pub fn has_room(&self) -> bool {
        self.connection.queued_bytes() < QUEUED_BYTES_MAX
    }

    /// Reads up to the maximum of consecutive reads.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn receive(&mut self, scratch: &mut [u8]) -> Result<Received, End> {
        for _ in 0..CONSECUTIVE_READS_MAX {
            let received = match self.connection.read(scratch) {
                ReadOutcome::End => return Err(End::Closed(self.close_code)),
                ReadOutcome::Failed(_) => return Err(self.end_by_reset()),
                ReadOutcome::Empty => Received::Drained,
                ReadOutcome::Bytes(count) if self.phase == Phase::Playing => {
                    self.take_frames(&scratch[..count])?
                }
                ReadOutcome::Bytes(count) => self.take_head(&scratch[..count])?,
            };
            if received != Received::More {
                return Ok(received);
            }
        }
        Ok(Received::More)
    }

    /// Reads the remaining bytes of a connection that can't send, and returns how it ended.
    pub fn last_words(&mut self, scratch: &mut [u8]) -> End {
        // The rest of a receive buffer is bounded, so the number of reads is too.
        for _ in 0..64 {
            match self.receive(scratch) {
                Err(end) => return end,
                Ok(Received::Drained) => break,
                Ok(Received::More | Received::Upgraded) => {}
            }
        }
        self.end_by_reset()
    }

    /// A reset after a close frame counts as a close.
    fn end_by_reset(&self) -> End {
        self.close_code.map_or(End::Reset, |code| End::Closed(Some(code)))
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<Received, End> {
        let head = self.connection.take_head(bytes);
        let head = head.map_err(|reason| status_of(&reason).map_or(End::Garbled, End::Refused))?;
        let Some(frames) = head else { return Ok(Received::More) };
        self.phase = Phase::Playing;
        self.take_frames(&frames)?;
        Ok(Received::Upgraded)
    }

    fn take_frames(&mut self, bytes: &[u8]) -> Result<Received, End> {
        let code = &mut self.close_code;
        if code.is_none() {
            let result = self.connection.inbox.receive(bytes, |frame| {
                if let Frame::Close(said) = frame {
                    *code = Some(said);
                }
                code.is_none()
            });
            result.map_err(|_| End::Garbled)?;
        }
        Ok(Received::More)
    }

    /// Closes the connection. Tasks of the old connection are void.
    pub fn leave(&mut self) {
        self.connection.leave();
        self.connection.generation += 1;
        self.phase = Phase::Disconnected;
    }
}

/// The number in `HTTP 503 Service Unavailable`.
fn status_of(reason: &str) -> Option<u16> {
    reason.strip_prefix("HTTP ")?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn peer() -> Peer {
        let script = Script::new(Kind::Silent, 0, 240.0, &mut Rng::with_seed(1));
        Peer { phase: Phase::Upgrading, ..Peer::new(Kind::Silent, script) }
    }

    #[test]
    fn a_close_frame_is_remembered_until_the_end_of_the_connection() {
        let mut peer = peer();
        assert_eq!(peer.take_head(UPGRADED.as_bytes()), Ok(Received::Upgraded));
        assert_eq!(peer.end_by_reset(), End::Reset);
        assert_eq!(peer.take_frames(&[0x82, 1, 8, 0x88, 2, 3]), Ok(Received::More));
        assert_eq!(peer.take_frames(&[0xf0]), Ok(Received::More));
        assert_eq!(peer.end_by_reset(), End::Closed(Some(1008)));
    }

    #[test]
    fn a_close_frame_directly_after_the_upgrade_is_found() {
        let mut peer = peer();
        let bytes = [UPGRADED.as_bytes(), &[0x88, 2, 3, 0xf5]].concat();
        assert_eq!(peer.take_head(&bytes), Ok(Received::Upgraded));
        assert_eq!(peer.end_by_reset(), End::Closed(Some(1013)));
        let bytes = [UPGRADED.as_bytes(), &[0x81, 0]].concat();
        assert_eq!(self::peer().take_head(&bytes), Err(End::Garbled), "text is no game message");
    }
}
