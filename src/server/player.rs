//! A player's bytes, from its socket to what they come to. Input is applied when it is read, and its ack leaves at the
//! end of the same batch of events.

use mio::Token;

use super::Server;
use super::connection::Phase;
use super::flush::Reply;
use super::intake::Sender;

impl Server {
    pub(super) fn receive_from_player(&mut self, token: Token, bytes: &[u8]) {
        let (now_ms, uptime_ms, quiet_ms) = (self.now_ms(), self.uptime_ms(), self.quiet_ms());
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { slot, player } = &mut connection.phase else { return };
        // Replies wait for the end of the batch in a buffer that all share, in front of everything that comes later;
        // a connection that has something waiting already gets them behind it.
        let (shared, own) = (&mut self.reply_bytes, &mut connection.outbox);
        let is_first = !connection.is_listed && own.is_empty();
        let out = if is_first { shared } else { own.bytes() };
        let start = out.len();
        let arrival = player.limiter.arrival(quiet_ms, uptime_ms);
        player.limiter.note_read(arrival, !connection.readable);
        let sender = Sender { slot: *slot, session: &mut player.session, limiter: &mut player.limiter };
        let intake = self.game.take_in(sender, bytes, arrival, out, &mut self.metrics);
        let replies = start..out.len();
        if intake.heard {
            player.heard_ms = now_ms;
        }
        if is_first && !replies.is_empty() {
            connection.is_listed = true;
            self.replied.push(Reply { token, bytes: replies });
        } else if !is_first {
            self.list_as_replied(token);
        }
        if let Some(reason) = intake.ending {
            self.end_player(token, reason);
        }
    }
}
