//! Receiving: reads bytes on readiness, timestamps them at the read, and splits them into frames.

use game_client::ServerMessage;
use game_client::frame::{Frame, Opcode};

use super::Load;
use super::stage::Stage;
use crate::client::Acked;
use crate::connection::{Phase, ReadOutcome};
use crate::measure::{PING, frame_kind};

impl Load {
    /// Handles a writable socket: flushes, or finishes the connect.
    pub(super) fn writable(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.phase == Phase::Connecting {
            return self.finish_connect(index);
        }
        client.connection.writable = true;
        if let Err(error) = client.connection.flush() {
            self.lose(index, &error.to_string());
        }
    }

    /// Handles a readable socket. `ended` means that the stream's end is pending, so a short read is not the last.
    pub(super) fn readable(&mut self, index: usize, ended: bool) {
        let client = &self.clients[index];
        let waits = client.is_slow && client.phase == Phase::Playing && self.stage.is_active();
        if client.phase == Phase::Connecting || (waits && !ended) {
            return;
        }
        self.read(index, ended);
    }

    /// Reads until a short read, or with `to_the_last` until the socket would block.
    pub(super) fn read(&mut self, index: usize, to_the_last: bool) {
        let mut scratch = std::mem::take(&mut self.scratch);
        loop {
            match self.clients[index].connection.read(&mut scratch) {
                ReadOutcome::Bytes(count) => {
                    let now_ns = self.clock.now_ns();
                    self.tally.bytes_in += count as u64;
                    self.take_bytes(index, &scratch[..count], now_ns);
                    // A short read means that the socket is drained.
                    if count < scratch.len() && !to_the_last {
                        break;
                    }
                }
                ReadOutcome::Empty => break,
                ReadOutcome::End => {
                    self.end(index, "closed without a close frame");
                    break;
                }
                ReadOutcome::Failed(error) => {
                    self.end(index, &error);
                    break;
                }
            }
        }
        self.scratch = scratch;
    }

    /// Handles the end of the server's stream.
    fn end(&mut self, index: usize, reason: &str) {
        self.connections.unclosed += usize::from(self.clients[index].phase == Phase::Closing);
        self.lose(index, reason);
    }

    fn take_bytes(&mut self, index: usize, bytes: &[u8], now_ns: u64) {
        match self.clients[index].phase {
            Phase::Disconnected | Phase::Connecting => {}
            Phase::Upgrading => self.take_head(index, bytes, now_ns),
            Phase::Joining | Phase::Playing | Phase::Closing => self.take_stream(index, bytes, now_ns),
        }
    }

    fn take_head(&mut self, index: usize, bytes: &[u8], now_ns: u64) {
        let client = &mut self.clients[index];
        match client.connection.take_head(bytes) {
            Ok(None) => {}
            Err(reason) => self.fail(index, &reason),
            Ok(Some(frames)) => {
                client.phase = Phase::Joining;
                self.take_stream(index, &frames, now_ns);
            }
        }
    }

    fn take_stream(&mut self, index: usize, bytes: &[u8], now_ns: u64) {
        let connection = &mut self.clients[index].connection;
        let (mut inbox, generation) = (std::mem::take(&mut connection.inbox), connection.generation);
        let result = inbox.receive(bytes, |frame| self.take_frame(index, frame, now_ns));
        let client = &mut self.clients[index];
        // Unless one of the frames disconnected the client.
        if client.phase != Phase::Disconnected && client.connection.generation == generation {
            client.connection.inbox = inbox;
        }
        if let Err(error) = result {
            self.lose(index, &error.to_string());
        }
    }

    /// Handles one frame. Returns `false` if it was the connection's last.
    fn take_frame(&mut self, index: usize, frame: Frame<'_>, now_ns: u64) -> bool {
        // Handling the previous frame may have disconnected the client.
        if self.clients[index].phase == Phase::Disconnected {
            return false;
        }
        match frame {
            Frame::Binary(payload) => {
                self.tally.frames_in[frame_kind(payload.first())] += 1;
                self.take_message(index, payload, now_ns)
            }
            Frame::Ping(payload) => {
                self.tally.frames_in[PING] += 1;
                self.send_control(index, Opcode::Pong, payload);
                true
            }
            Frame::Pong(_) => true,
            Frame::Close(code) => {
                self.lose(index, &format!("closed by the server with {code}"));
                false
            }
        }
    }

    fn take_message(&mut self, index: usize, payload: &[u8], now_ns: u64) -> bool {
        if self.clients[index].phase == Phase::Joining && !self.enter(index, payload, now_ns) {
            return false;
        }
        if let Some(viewer) = self.clients[index].viewer {
            let (clients, players) = (&self.clients, &self.players);
            let window = self.measures.window;
            self.viewers
                .receive(viewer, payload, now_ns, window, |id| clients[*players.get(&id)?].avatar.as_ref());
        }
        // Other messages are only counted by kind.
        if payload.first() == Some(&8)
            && let Ok(ServerMessage::MoveAck { id, x, y, sequence }) = ServerMessage::decode(payload)
        {
            self.take_ack(index, id, Acked { sequence, x, y }, now_ns);
        }
        true
    }

    fn take_ack(&mut self, index: usize, id: u32, acked: Acked, now_ns: u64) {
        let client = &mut self.clients[index];
        let pending = if id == client.id { client.answered(acked.sequence) } else { None };
        let Some(pending) = pending else {
            self.moves.unexpected += 1;
            return;
        };
        self.moves.answered += 1;
        self.moves.missing -= 1;
        client.acked = Some(acked);
        if let Some(avatar) = &mut client.avatar {
            avatar.acknowledged(acked.sequence, acked.x, acked.y, now_ns);
        }
        // Round trips of slow readers measure their own delay.
        if !client.is_slow {
            self.measures.answered(&pending, now_ns, self.stage == Stage::Connecting);
            if let Some(storm) = &mut self.storm {
                storm.answered(&pending, client.began_ns, now_ns);
            }
        }
    }
}
