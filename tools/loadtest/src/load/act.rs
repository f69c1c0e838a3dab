//! Due actions of players, and sending.

use arrayvec::ArrayVec;
use game_client::codec::CLIENT_MESSAGE_BYTES_MAX;
use game_client::frame::{MASKED_HEAD_BYTES, Opcode, masked};
use game_client::{ClientMessage, Vector};

use super::{Load, TASKS_PER_ITERATION};
use crate::behaviour::{Action, SECOND_NS};
use crate::connection::Phase;
use crate::schedule::{Entry, Task};

/// Interval between two reads of a slow reader, in nanoseconds, unless it is given.
pub const SLOW_READ_INTERVAL_NS: u64 = 10 * SECOND_NS;

/// Longest lateness at which a due action is still performed, in nanoseconds. A longer one means that this program was
/// starved or stopped. Real players would not send the missed actions in a burst, and the rate limit would drop them.
const MAKE_UP_NS_MAX: u64 = SECOND_NS;

/// Payload of a close frame: code 1001 (going away), as from a closed tab.
pub const GOING_AWAY: [u8; 2] = 1001u16.to_be_bytes();

/// Messages of a player in one write: a turn and an action.
const MESSAGES_PER_WRITE_MAX: usize = 2;

/// Bytes of a player's messages in one write.
const WRITE_BYTES_MAX: usize = MESSAGES_PER_WRITE_MAX * (MASKED_HEAD_BYTES + CLIENT_MESSAGE_BYTES_MAX);

impl Load {
    /// Performs due tasks, at most one iteration's worth.
    pub(super) fn act(&mut self) {
        for _ in 0..TASKS_PER_ITERATION {
            let Some(entry) = self.tasks.take_due(self.clock.now_ns()) else { return };
            let client = &self.clients[entry.client];
            if client.connection.generation != entry.generation || client.phase != Phase::Playing {
                continue;
            }
            match entry.task {
                // A stopped player performs no further actions.
                Task::Play if client.stop_sequence.is_some() => {}
                Task::Play if self.is_postponed(entry) => {}
                Task::Play => self.play(&entry),
                Task::Stop => self.stop(&entry),
                Task::Read => {
                    // A small receive buffer refills while it is drained, so a short read does not mean drained.
                    self.read(entry.client, self.options.read_every.is_none());
                    self.tasks.add(Entry { due_ns: entry.due_ns + self.read_interval_ns(), ..entry });
                }
            }
        }
    }

    /// Returns the interval between two reads of a slow reader, in nanoseconds.
    pub(super) fn read_interval_ns(&self) -> u64 {
        self.options.read_every.map_or(SLOW_READ_INTERVAL_NS, |interval| interval.as_nanos() as u64)
    }

    /// Postpones an action that is too late, and records its lateness.
    fn is_postponed(&mut self, entry: Entry<Task>) -> bool {
        let now_ns = self.clock.now_ns();
        let is_postponed = now_ns > entry.due_ns + MAKE_UP_NS_MAX;
        if is_postponed {
            self.postponed += 1;
            self.measures.sent(entry.due_ns, now_ns);
            self.tasks.add(Entry { due_ns: now_ns, ..entry });
        }
        is_postponed
    }

    fn play(&mut self, entry: &Entry<Task>) {
        let due_ns = entry.due_ns;
        let client = &mut self.clients[entry.client];
        let claims = client.claims;
        let Some(avatar) = &mut client.avatar else { return };
        let decision = client.behaviour.act(due_ns, avatar.position(), &mut client.random);
        let facing = decision.facing.map(|facing| avatar.face(facing));
        let action = match decision.action {
            Action::Rest => None,
            Action::SetVector(vector) => Some(avatar.set_vector(vector, claims, due_ns)),
            Action::Step(vector) => Some(avatar.step(vector, claims, due_ns)),
            Action::Attack => Some(avatar.attack(due_ns)),
            Action::AttackEnd => Some(ClientMessage::AttackEnd),
        };
        if decision.next_ns < u64::MAX {
            self.tasks.add(Entry { due_ns: decision.next_ns, ..*entry });
        }
        match (facing, action) {
            (Some(facing), Some(action)) => self.send(entry.client, &[facing, action], due_ns),
            (Some(message), None) | (None, Some(message)) => self.send(entry.client, &[message], due_ns),
            (None, None) => {}
        }
    }

    /// Sends the final MOVE. Its ack gives the player's final position.
    fn stop(&mut self, entry: &Entry<Task>) {
        let client = &mut self.clients[entry.client];
        let claims = client.claims;
        let Some(avatar) = &mut client.avatar else { return };
        let message = avatar.set_vector(Vector::ZERO, claims, entry.due_ns);
        if let ClientMessage::Move { sequence, .. } = message {
            client.stop_sequence = Some(sequence);
        }
        self.send(entry.client, &[message], entry.due_ns);
    }

    /// Sends messages that were due at `intended_ns`, in one write.
    pub(super) fn send(&mut self, index: usize, messages: &[ClientMessage], intended_ns: u64) {
        let mut outgoing = ArrayVec::<u8, WRITE_BYTES_MAX>::new();
        let client = &mut self.clients[index];
        let sent_ns = self.clock.now_ns();
        for message in messages {
            outgoing.extend(masked(Opcode::Binary, &message.to_bytes(), client.random.u32(..)));
            if let ClientMessage::Move { sequence, .. } = *message {
                client.sent(sequence, intended_ns, sent_ns);
                self.moves.missing += 1;
                self.tally.moves += 1;
            }
            if let Some(viewer) = client.viewer {
                self.viewers.sent(viewer, message);
            }
        }
        self.measures.sent(intended_ns, sent_ns);
        self.tally.frames_out += messages.len() as u64;
        self.write(index, &outgoing);
    }

    /// Sends a pong or a close frame. After the latter, the caller may wait for the server's.
    pub(super) fn send_control(&mut self, index: usize, opcode: Opcode, payload: &[u8]) {
        let frame = masked(opcode, payload, self.random.u32(..));
        self.tally.frames_out += 1;
        self.write(index, &frame);
    }

    fn write(&mut self, index: usize, bytes: &[u8]) {
        self.tally.bytes_out += bytes.len() as u64;
        if let Err(error) = self.clients[index].connection.write(bytes) {
            self.lose(index, &error.to_string());
        }
    }
}
