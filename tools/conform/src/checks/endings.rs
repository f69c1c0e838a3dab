//! How connections end: by the codes that clients are told.

use std::net::SocketAddr;

use game_client::ClientMessage;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, Utf8Bytes};

use super::{Check, Weight, expect};
use crate::player::Player;

const PART: &str = "endings";

pub const CHECKS: &[Check] = &[
    Check { part: PART, name: "LEAVE closes with 1000", weight: Weight::Contract, ask: leave },
    Check { part: PART, name: "the client's close is answered", weight: Weight::Contract, ask: close },
    Check { part: PART, name: "a text message closes with 1003", weight: Weight::Promise, ask: text },
    Check {
        part: PART,
        name: "a message over 64 bytes closes with 1009",
        weight: Weight::Promise,
        ask: long,
    },
];

fn ends_with(player: &mut Player, what: &str, wanted: u16) -> Result<(), String> {
    let code = player.closed(what)?;
    expect(code == Some(wanted), || format!("{what}: closed with {code:?}"))
}

fn leave(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    player.send(ClientMessage::Leave)?;
    ends_with(&mut player, "LEAVE", 1000)
}

fn close(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::from_static("") };
    player.send_any(Message::Close(Some(frame)))?;
    ends_with(&mut player, "a close with 1000", 1000)
}

fn text(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    player.send_any(Message::text("hello"))?;
    ends_with(&mut player, "text", 1003)
}

fn long(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    player.send_bytes(vec![3; 65])?;
    ends_with(&mut player, "65 bytes", 1009)
}
