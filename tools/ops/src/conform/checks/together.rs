//! Checks with two clients: one acts, and the other receives messages.

use std::net::SocketAddr;

use game_client::{ClientMessage, Facing, PlayerId, ServerMessage, Vector};

use super::{Check, expect, long, needed, promised};
use crate::conform::player::{LONG_PATIENCE, PATIENCE, Player};

const PART: &str = "together";

#[rustfmt::skip] // One row per check.
pub const CHECKS: &[Check] = &[
    needed(PART, "a new player is sent the players around it", present),
    needed(PART, "PLAYER_JOINED reports a new player", joined),
    needed(PART, "PLAYER_MOVEMENT reports a changed vector", movement),
    promised(PART, "PLAYER_MOVEMENT is not repeated for each MOVE", quiet),
    needed(PART, "PLAYER_DIRECTION reports a turn", direction),
    needed(PART, "PLAYER_ATTACK reports an attack and its position", attack),
    long(needed(PART, "GAME_STATE is repeated with current positions", state)),
    long(promised(PART, "later GAME_STATEs omit the player itself", itself)),
    needed(PART, "PLAYER_LEFT reports a LEAVE", leave),
    needed(PART, "PLAYER_LEFT reports a broken connection", breaks),
];

/// Joins a viewer and an actor, and waits until the viewer sees the actor.
fn pair(server: SocketAddr) -> Result<(Player, Player), String> {
    let mut viewer = Player::join(server)?;
    let actor = Player::join(server)?;
    enters(&mut viewer, actor.id())?;
    Ok((viewer, actor))
}

/// Waits until the viewer sees the player.
fn enters(viewer: &mut Player, id: PlayerId) -> Result<(), String> {
    let what = format!("PLAYER_JOINED of {id}");
    viewer.wait_for(PATIENCE, &what, |message| match message {
        ServerMessage::Joined(entry) if entry.id == id => Some(()),
        ServerMessage::GameState(entries) if entries.iter().any(|entry| entry.id == id) => Some(()),
        _ => None,
    })
}

fn present(server: SocketAddr) -> Result<(), String> {
    let one = Player::join(server)?;
    let mut two = Player::join(server)?;
    if two.first_state.iter().any(|entry| entry.id == one.id()) {
        return Ok(());
    }
    enters(&mut two, one.id())
}

fn joined(server: SocketAddr) -> Result<(), String> {
    pair(server).map(|_| ())
}

fn moves(viewer: &mut Player, id: PlayerId, wanted: Vector) -> Result<(), String> {
    let what = format!("PLAYER_MOVEMENT {wanted} of {id}");
    viewer.wait_for(PATIENCE, &what, |message| match message {
        ServerMessage::Movement { id: who, vector } if (*who, *vector) == (id, wanted) => Some(()),
        _ => None,
    })
}

fn movement(server: SocketAddr) -> Result<(), String> {
    let (mut viewer, mut actor) = pair(server)?;
    let id = actor.id();
    for vector in [Vector::RIGHT, Vector::DOWN, Vector::ZERO] {
        actor.step(vector)?;
        moves(&mut viewer, id, vector)?;
    }
    Ok(())
}

fn quiet(server: SocketAddr) -> Result<(), String> {
    let (mut viewer, mut actor) = pair(server)?;
    let id = actor.id();
    for _ in 0..24 {
        actor.step(Vector::RIGHT)?;
        std::thread::sleep(std::time::Duration::from_millis(1_000 / 24));
    }
    actor.step(Vector::ZERO)?;
    let mut told = 0;
    viewer.wait_for(PATIENCE, "the end of the walk", |message| match message {
        ServerMessage::Movement { id: who, vector } if *who == id => {
            told += 1;
            (*vector == Vector::ZERO).then_some(())
        }
        _ => None,
    })?;
    // The change, its repetitions within two seconds after the player entered, one with a snapshot, and the stop.
    expect(told <= 6, || format!("sent {told} times in a second of walking"))
}

fn direction(server: SocketAddr) -> Result<(), String> {
    let (mut viewer, mut actor) = pair(server)?;
    let id = actor.id();
    for wanted in [Facing::Left, Facing::Right] {
        actor.send(ClientMessage::Direction(wanted))?;
        let what = format!("PLAYER_DIRECTION {wanted:?} of {id}");
        viewer.wait_for(PATIENCE, &what, |message| match message {
            ServerMessage::Direction { id: who, facing } if (*who, *facing) == (id, wanted) => Some(()),
            _ => None,
        })?;
    }
    Ok(())
}

fn attack(server: SocketAddr) -> Result<(), String> {
    let (mut viewer, mut actor) = pair(server)?;
    let own = actor.own;
    actor.send(ClientMessage::Attack { aim: Some((1.0, 2.0)) })?;
    let (x, y) = viewer.wait_for(PATIENCE, "PLAYER_ATTACK", |message| match message {
        ServerMessage::Attack { id, x, y } if *id == own.id => Some((*x, *y)),
        _ => None,
    })?;
    expect((x, y) == (own.x, own.y), || format!("is at ({}, {}), sent ({x}, {y})", own.x, own.y))
}

/// Waits for a later `GAME_STATE` that lists this player. Returns all its entries.
fn later_state(viewer: &mut Player, id: PlayerId) -> Result<Vec<game_client::Entry>, String> {
    viewer.wait_for(LONG_PATIENCE, "another GAME_STATE", |message| match message {
        ServerMessage::GameState(entries) if entries.iter().any(|entry| entry.id == id) => {
            Some(entries.clone())
        }
        _ => None,
    })
}

fn state(server: SocketAddr) -> Result<(), String> {
    let (mut viewer, mut actor) = pair(server)?;
    let id = actor.id();
    actor.step(Vector::RIGHT)?;
    std::thread::sleep(std::time::Duration::from_millis(250));
    let stop = actor.step(Vector::ZERO)?;
    let stands = actor.acked(stop)?;
    moves(&mut viewer, id, Vector::ZERO)?;
    let told = later_state(&mut viewer, id)?;
    let told = told.iter().find(|entry| entry.id == id).map(|entry| (entry.x, entry.y));
    expect(told == Some(stands), || format!("is at {stands:?}, sent {told:?}"))
}

fn itself(server: SocketAddr) -> Result<(), String> {
    let (mut viewer, mut actor) = pair(server)?;
    actor.step(Vector::RIGHT)?;
    actor.step(Vector::ZERO)?;
    let (own, id) = (viewer.id(), actor.id());
    let entries = later_state(&mut viewer, id)?;
    expect(entries.iter().all(|entry| entry.id != own), || format!("player {own} is sent itself"))
}

fn leaves(viewer: &mut Player, id: PlayerId) -> Result<(), String> {
    viewer.wait_for(PATIENCE, &format!("PLAYER_LEFT of {id}"), |message| {
        (*message == ServerMessage::Left(id)).then_some(())
    })
}

fn leave(server: SocketAddr) -> Result<(), String> {
    let (mut viewer, mut actor) = pair(server)?;
    let id = actor.id();
    actor.send(ClientMessage::Leave)?;
    leaves(&mut viewer, id)
}

fn breaks(server: SocketAddr) -> Result<(), String> {
    let (mut viewer, actor) = pair(server)?;
    let id = actor.id();
    drop(actor);
    leaves(&mut viewer, id)
}
