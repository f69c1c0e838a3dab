//! A player's bytes, from its socket to what they come to. Input is applied when it is read, and its ack leaves at the
//! end of the same batch of events.

use mio::Token;

use super::Server;
use super::connection::{Phase, Player};
use super::engine::Game;
use super::flush::Reply;
use super::input::Sender;
use crate::ops::metrics::Metrics;

impl Player {
    /// What of it a message needs.
    pub fn sender(&mut self, slot: u32) -> Sender<'_> {
        Sender {
            slot,
            session: &mut self.session,
            limiter: &mut self.limiter,
            postponed: &mut self.postponed,
        }
    }
}

impl Server {
    pub(super) fn receive_from_player(&mut self, token: Token, bytes: &[u8]) {
        let (now_ms, uptime_ms, quiet_ms) = (self.now_ms(), self.uptime_ms(), self.quiet_ms());
        let Some(connection) = self.table.get(token) else { return };
        let is_read_to_the_end = !connection.readable;
        let intake = self.reply(token, |game, slot, player, out, metrics| {
            let arrival = player.limiter.arrival(quiet_ms, uptime_ms);
            player.limiter.note_read(arrival, is_read_to_the_end);
            let intake = game.take_in(player.sender(slot), bytes, arrival, out, metrics);
            if intake.heard {
                player.last_frame_ms = now_ms;
            }
            intake
        });
        let Some(intake) = intake else { return };
        if intake.postpones {
            self.list_as_postponed(token);
        }
        if let Some(reason) = intake.ending {
            self.end_player(token, reason);
        }
    }

    /// Lets a player's input lead to replies. They wait for the end of the batch in a buffer that all share, in front of
    /// everything that comes later; a connection that has something waiting already gets them behind it.
    pub(super) fn reply<R>(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut Game, u32, &mut Player, &mut Vec<u8>, &mut Metrics) -> R,
    ) -> Option<R> {
        let connection = self.table.get_mut(token)?;
        let Phase::Player { slot, player } = &mut connection.phase else { return None };
        let (shared, own) = (&mut self.reply_bytes, &mut connection.outbox);
        let is_first = !connection.is_listed && own.is_empty();
        let out = if is_first { shared } else { own.bytes() };
        let start = out.len();
        let outcome = act(&mut self.game, *slot, player, out, &mut self.metrics);
        let replies = start..out.len();
        if is_first && !replies.is_empty() {
            connection.is_listed = true;
            self.replied.push(Reply { token, bytes: replies });
        } else if !is_first {
            self.list_as_replied(token);
        }
        Some(outcome)
    }
}
