//! A player's bytes: frames, messages, inputs, acks. Input is applied when it is read, and its ack leaves at the end of
//! the same batch of events.

use mio::Token;

use super::connection::Phase;
use super::{Game, Server};
use crate::game::{Input, Vector};
use crate::metrics::{Closed, FrameOut, Metrics, ProtocolFault};
use crate::rate::Verdict;
use crate::wire::message::{self, ClientMessage, DecodeError, Facing};
use crate::wire::websocket::{Code, Event, Failure};

/// How a connection ends by what its player sent.
struct Ending {
    reason: Closed,
    /// What to send; nothing when the peer's close has been answered already.
    close: Option<(Code, &'static str)>,
}

impl Server {
    pub(super) fn receive_from_player(&mut self, token: Token, bytes: &[u8]) {
        let now_ms = self.now_ms();
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player(player) = &mut connection.phase else { return };
        let out = &mut connection.outbox.bytes;
        let mut input = bytes;
        let ending = loop {
            match player.session.next_event(&mut input, out) {
                Ok(Some(event)) => {
                    let verdict = match event {
                        Event::Close => Verdict::Accept,
                        _ => player.limiter.judge(self.game.rate_limit, now_ms),
                    };
                    let ending = self.game.act(player.slot, &event, verdict, out, &mut self.metrics);
                    if ending.is_some() {
                        break ending;
                    }
                }
                Ok(None) => break None,
                Err(failure) => break Some(ending_of(failure, &mut self.metrics)),
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

impl Game {
    /// Acts on one event of a player; `Some` when it is the last.
    fn act(
        &mut self,
        slot: u32,
        event: &Event,
        verdict: Verdict,
        out: &mut Vec<u8>,
        metrics: &mut Metrics,
    ) -> Option<Ending> {
        let is_message = matches!(event, Event::Message(_) | Event::Malformed(_));
        metrics.messages_in_total += u64::from(is_message);
        metrics.frames_out[FrameOut::Pong] += u64::from(*event == Event::Ping);
        match verdict {
            Verdict::Accept => {}
            Verdict::Drop => {
                metrics.rate_limited_total += u64::from(is_message);
                return None;
            }
            Verdict::Flood => {
                metrics.protocol_errors[ProtocolFault::RateFlood] += 1;
                return Some(Ending {
                    reason: Closed::Flood,
                    close: Some((Code::Policy, "too many messages")),
                });
            }
        }
        match *event {
            Event::Message(message) => self.act_on_message(slot, message, out, metrics),
            Event::Malformed(error) => {
                let fault = match error {
                    DecodeError::Length => ProtocolFault::MessageLength,
                    DecodeError::UnknownType => ProtocolFault::MessageType,
                    DecodeError::Value => ProtocolFault::MessageValue,
                };
                metrics.protocol_errors[fault] += 1;
                None
            }
            Event::Ping | Event::Pong => None,
            Event::Close => {
                metrics.frames_out[FrameOut::Close] += 1;
                Some(Ending { reason: Closed::ByPeer, close: None })
            }
        }
    }

    fn act_on_message(
        &mut self,
        slot: u32,
        message: ClientMessage,
        out: &mut Vec<u8>,
        metrics: &mut Metrics,
    ) -> Option<Ending> {
        let input = match message {
            ClientMessage::Join => return None,
            ClientMessage::Leave => {
                return Some(Ending { reason: Closed::Left, close: Some((Code::Normal, "goodbye")) });
            }
            ClientMessage::Viewport { width, height } => {
                let scene = self.scene.as_ref().expect("the scene is here between fan-outs");
                self.views.set_viewport(scene, slot, width, height);
                return None;
            }
            ClientMessage::Move(step) => {
                let vector = Vector::new(step.vector.dx(), step.vector.dy());
                let input = Input::Move { vector, claim: step.claim.map(|claim| (claim.x, claim.y)) };
                if let Some(ack) = self.scene_mut().world.apply(slot, input) {
                    message::ack(out, ack.id, ack.position.x, ack.position.y, step.sequence);
                    metrics.frames_out[FrameOut::Ack] += 1;
                    metrics.messages_out_total += 1;
                }
                return None;
            }
            ClientMessage::Direction(facing) => Input::Face { right: facing == Facing::Right },
            ClientMessage::Attack => Input::Attack,
            ClientMessage::AttackEnd => Input::AttackEnd,
        };
        self.scene_mut().world.apply(slot, input);
        None
    }
}

fn ending_of(failure: Failure, metrics: &mut Metrics) -> Ending {
    let (fault, reason, why) = match failure {
        Failure::Text => (ProtocolFault::Text, Closed::Text, "text messages are not understood here"),
        Failure::TooLong => (ProtocolFault::TooLong, Closed::TooLong, "no message is that long"),
        Failure::Framing => (ProtocolFault::Framing, Closed::ProtocolError, "broken framing"),
    };
    metrics.protocol_errors[fault] += 1;
    Ending { reason, close: Some((failure.code(), why)) }
}
