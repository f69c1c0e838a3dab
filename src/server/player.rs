//! A player's bytes: frames, events, acks. Input is applied when it is read, and its ack leaves at the end of the same
//! batch of events.

use mio::Token;

use super::Server;
use super::connection::Phase;
use super::game::{Ending, ending_of, flood};
use crate::metrics::FrameOut;
use crate::rate::Verdict;
use crate::wire::websocket::Event;

impl Server {
    pub(super) fn receive_from_player(&mut self, token: Token, bytes: &[u8]) {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player(player) = &mut connection.phase else { return };
        let out = &mut connection.outbox.bytes;
        let mut input = bytes;
        let limit = self.game.rate_limit();
        let ending = if player.limiter.judge_bytes(limit, now_ms, bytes.len()) == Verdict::Flood {
            // What floods is not taken apart any more.
            Some(flood(&mut self.metrics))
        } else {
            loop {
                match player.session.next_event(&mut input, out) {
                    Ok(Some(event)) => {
                        connection.heard_ms = now_ms;
                        let verdict = match event {
                            Event::Close => Verdict::Accept,
                            _ => player.limiter.judge(limit, now_ms),
                        };
                        let ending = self.game.act(player.slot, &event, verdict, out, &mut self.metrics);
                        if ending.is_some() {
                            break ending;
                        }
                    }
                    Ok(None) => break None,
                    Err(failure) => break Some(ending_of(failure, &mut self.metrics)),
                }
            }
        };
        if let Some(Ending { close: Some((code, reason)), .. }) = ending {
            player.session.close(code, reason, out);
            self.metrics.frames_out[FrameOut::Close] += 1;
        }
        if !connection.outbox.is_empty() {
            self.list_as_replied(token);
        }
        if let Some(ending) = ending {
            self.end_player(token, ending.reason);
        }
    }
}
