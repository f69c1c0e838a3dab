//! A player's bytes: frames, events, acks. Input is applied when it is read, and its ack leaves at the end of the same
//! batch of events.

use mio::Token;

use super::Server;
use super::connection::{Phase, Player};
use super::flush::Reply;
use super::game::{Ending, Game, ending_of, flood};
use crate::metrics::{FrameOut, Metrics};
use crate::rate::Verdict;
use crate::wire::websocket::Event;

impl Server {
    pub(super) fn receive_from_player(&mut self, token: Token, bytes: &[u8]) {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { slot, player } = &mut connection.phase else { return };
        // Replies wait for the end of the batch in a buffer that all share, in front of everything that comes later;
        // a connection that has something waiting already gets them behind it.
        let (shared, own) = (&mut self.reply_bytes, &mut connection.outbox);
        let is_first = !connection.is_listed && own.is_empty();
        let out = if is_first { shared } else { own.bytes() };
        let start = out.len();
        let ending = take_bytes(&mut self.game, *slot, player, bytes, out, now_ms, &mut self.metrics);
        let replies = start..out.len();
        if is_first && !replies.is_empty() {
            connection.is_listed = true;
            self.replied.push(Reply { token, bytes: replies });
        } else if !is_first {
            self.list_as_replied(token);
        }
        if let Some(ending) = ending {
            self.end_player(token, ending.reason);
        }
    }
}

/// Takes apart what a player sent, and acts on it; `Some` when it was the last. Replies are appended to `out`.
fn take_bytes(
    game: &mut Game,
    slot: u32,
    player: &mut Player,
    bytes: &[u8],
    out: &mut Vec<u8>,
    now_ms: u64,
    metrics: &mut Metrics,
) -> Option<Ending> {
    let limit = game.rate_limit();
    let ending = if player.limiter.judge_bytes(limit, now_ms, bytes.len()) == Verdict::Flood {
        // What floods is not taken apart any more.
        Some(flood(metrics))
    } else {
        let mut input = bytes;
        loop {
            match player.session.next_event(&mut input, out) {
                Ok(Some(event)) => {
                    player.heard_ms = now_ms;
                    let verdict = match event {
                        Event::Close => Verdict::Accept,
                        _ => player.limiter.judge(limit, now_ms),
                    };
                    let ending = game.act(slot, &event, verdict, out, metrics);
                    if ending.is_some() {
                        break ending;
                    }
                }
                Ok(None) => break None,
                Err(failure) => break Some(ending_of(failure, metrics)),
            }
        }
    };
    if let Some(Ending { close: Some((code, reason)), .. }) = ending {
        player.session.close(code, reason, out);
        metrics.frames_out[FrameOut::Close] += 1;
    }
    ending
}
