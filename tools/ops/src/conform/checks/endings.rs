//! Checks of close codes.

use std::net::SocketAddr;

use game_client::ClientMessage;
use game_client::frame::Opcode;

use super::{Check, expect, needed, promised};
use crate::conform::player::Player;

const PART: &str = "endings";

/// First byte of a text message.
const TEXT: u8 = 0x81;

#[rustfmt::skip] // One row per check.
pub const CHECKS: &[Check] = &[
    needed(PART, "LEAVE closes with 1000", leave),
    needed(PART, "the client's close is answered", close),
    promised(PART, "close codes registered with IANA are echoed", registered),
    promised(PART, "close codes that must not be sent are answered with 1002", forbidden),
    promised(PART, "a text message closes with 1003", text),
    promised(PART, "a message over 64 bytes closes with 1009", long),
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
    let code = player.close_with(1000)?;
    expect(code == Some(1000), || format!("a close with 1000: closed with {code:?}"))
}

/// Codes that a close frame may carry: RFC 6455, section 7.4, and IANA's registry.
const REGISTERED: &[u16] =
    &[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];

/// First and last code of each range that a close frame must not carry.
const FORBIDDEN: &[u16] = &[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535];

fn registered(server: SocketAddr) -> Result<(), String> {
    REGISTERED.iter().try_for_each(|&code| {
        let answer = Player::join(server)?.close_with(code)?;
        expect(answer == Some(code), || format!("{code}: answered with {answer:?}"))
    })
}

fn forbidden(server: SocketAddr) -> Result<(), String> {
    FORBIDDEN.iter().try_for_each(|&code| {
        let answer = Player::join(server)?.close_with(code)?;
        expect(answer == Some(1002), || format!("{code}: answered with {answer:?}"))
    })
}

fn text(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    player.send_frame(TEXT, b"hello")?;
    ends_with(&mut player, "text", 1003)
}

fn long(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    player.send_frame(Opcode::Binary as u8, &[3; 65])?;
    ends_with(&mut player, "65 bytes", 1009)
}
