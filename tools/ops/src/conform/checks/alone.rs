//! Checks with one client: its identity, and the replies to its own messages.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use game_client::frame::Opcode;
use game_client::line::Event;
use game_client::{ClientMessage, Facing, STEPS_PER_S, ServerMessage, Vector};

use super::{Check, Question, expect, needed, promised};
use crate::conform::player::{PATIENCE, Player};

const PART: &str = "alone";

/// First byte of a ping.
const PING: u8 = 0x89;

#[rustfmt::skip] // One row per check.
pub const CHECKS: &[Check] = &[
    needed(PART, "the first message is a GAME_STATE with the player in it", first),
    needed(PART, "its highest id is the player's own, and ids only grow", grow),
    needed(PART, "players start inside the world", start),
    needed(PART, "a MOVE of 6 bytes is acked with its number", short),
    needed(PART, "a MOVE of 14 bytes is acked at the position it claims", long),
    promised(PART, "a claim far away is acked at the server's position", far),
    needed(PART, "MOVEs in a row are all acked, in order", row),
    promised(PART, "a number sent twice is acked twice", twice),
    Check {
        part: PART,
        name: "a walking player moves 24 steps a second",
        is_needed: false,
        is_long: false,
        question: Question::OfSpeed(speed),
    },
    needed(PART, "JOIN, DIRECTION, ATTACK, ATTACK_END and VIEWPORT are accepted", others),
    needed(PART, "a ping is answered with its payload", ping),
    promised(PART, "unknown types and wrong lengths are ignored", invalid),
];

/// The world's longer side, in units, as the client clamps it.
const WORLD_SIDE: u16 = 2_000;

/// Duration of a walk.
const WALK: Duration = Duration::from_secs(1);

/// Allowed error of a speed: a few ticks of movement.
const TOLERANCE: f64 = 0.15;

fn first(server: SocketAddr) -> Result<(), String> {
    Player::join(server).map(|_| ())
}

fn grow(server: SocketAddr) -> Result<(), String> {
    let (one, two) = (Player::join(server)?, Player::join(server)?);
    let highest = two.first_state.iter().map(|entry| entry.id).max();
    expect(two.id() > one.id() && highest == Some(two.id()), || format!("{} then {}", one.id(), two.id()))
}

fn start(server: SocketAddr) -> Result<(), String> {
    let own = Player::join(server)?.own;
    expect(own.x <= WORLD_SIDE && own.y <= WORLD_SIDE, || format!("({}, {})", own.x, own.y))
}

fn short(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    let sequence = player.step(Vector::RIGHT)?;
    player.acked(sequence).map(|_| ())
}

/// Sends a MOVE with this claim. Returns the acked position.
fn claim(player: &mut Player, x: u16, y: u16) -> Result<(u16, u16), String> {
    let claim = Some((u32::from(x), u32::from(y)));
    player.send(ClientMessage::Move { vector: Vector::ZERO, sequence: 7, claim })?;
    player.acked(7)
}

fn long(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    let wanted = (player.own.x + 4, player.own.y);
    let acked = claim(&mut player, wanted.0, wanted.1)?;
    expect(acked == wanted, || format!("claimed {wanted:?}, acked {acked:?}"))
}

fn far(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    let own = (player.own.x, player.own.y);
    let acked = claim(&mut player, own.0 + 500, own.1)?;
    expect(acked == own, || format!("was at {own:?}, claimed 500 units farther, acked {acked:?}"))
}

fn row(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    let sent = (0..20).map(|_| player.step(Vector::DOWN)).collect::<Result<Vec<u32>, _>>()?;
    let mut acked = Vec::new();
    player.wait_for(PATIENCE, "twenty acks", |message| {
        if let ServerMessage::MoveAck { sequence, .. } = message {
            acked.push(*sequence);
        }
        (acked.len() == sent.len()).then_some(())
    })?;
    expect(acked == sent, || format!("sent {sent:?}, acked {acked:?}"))
}

fn twice(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    for _ in 0..2 {
        player.send(ClientMessage::Move { vector: Vector::ZERO, sequence: 5, claim: None })?;
        player.acked(5)?;
    }
    Ok(())
}

/// Bounds the server's walking time by the times of sending and receiving, so that a busy machine changes no result.
fn speed(server: SocketAddr, step_units: f64) -> Result<(), String> {
    let units_per_s = step_units * STEPS_PER_S;
    let mut player = Player::join(server)?;
    let sent = Instant::now();
    let begin = player.step(Vector::RIGHT)?;
    let (from, _) = player.acked(begin)?;
    let acked = Instant::now();
    std::thread::sleep(WALK);
    let least_s = acked.elapsed().as_secs_f64();
    let end = player.step(Vector::ZERO)?;
    let (to, _) = player.acked(end)?;
    let most_s = sent.elapsed().as_secs_f64();
    let walked = f64::from(to.abs_diff(from));
    let allowed = least_s * units_per_s * (1.0 - TOLERANCE)..=most_s * units_per_s * (1.0 + TOLERANCE);
    expect(allowed.contains(&walked), || format!("{walked} units in {least_s:.2} to {most_s:.2} s"))
}

fn others(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    for message in [
        ClientMessage::Join,
        ClientMessage::Direction(Facing::Left),
        ClientMessage::Attack { aim: Some((512.0, 384.0)) },
        ClientMessage::AttackEnd,
        ClientMessage::Attack { aim: None },
        ClientMessage::AttackEnd,
        ClientMessage::Viewport { width: 1920, height: 1080 },
    ] {
        player.send(message)?;
    }
    still_plays(&mut player)
}

/// Checks that the player's MOVEs are still acked.
fn still_plays(player: &mut Player) -> Result<(), String> {
    let sequence = player.step(Vector::ZERO)?;
    player.acked(sequence).map(|_| ())
}

fn ping(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    player.send_frame(PING, b"are you there")?;
    let payload = player.wait(PATIENCE, "a pong", |event| match event {
        Event::Pong(payload) => Some(payload.clone()),
        _ => None,
    })?;
    expect(payload == b"are you there", || format!("{payload:?}"))
}

fn invalid(server: SocketAddr) -> Result<(), String> {
    let mut player = Player::join(server)?;
    for bytes in [&[99][..], &[], &[3], &[3, 0xff, 0, 0, 0, 0], &[4], &[4, 7], &[13, 0], &[9; 20]] {
        player.send_frame(Opcode::Binary as u8, bytes)?;
    }
    still_plays(&mut player)
}
