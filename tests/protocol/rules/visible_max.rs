//! Rule 11: with more players than `MAX_VISIBLE` a client sees the nearest ones, without flicker.

use std::time::Duration;

use game_client::{ClientMessage, ReplicaOptions, ServerMessage};

use super::{VIEWER, let_others_settle};
use crate::support::client::replica_options;
use crate::support::walker::walk_to_x;
use crate::support::{Client, Settings, observe, poll_until};

/// Replica options that check the size of the interest set.
fn capped(visible_max: usize) -> ReplicaOptions {
    ReplicaOptions { visible_max: Some(visible_max), ..replica_options() }
}

fn distance(one: (i32, i32), other: (i32, i32)) -> f64 {
    f64::from(one.0 - other.0).hypot(f64::from(one.1 - other.1))
}

#[test]
fn a_newcomer_sees_only_the_nearest_players() {
    const SHOWN: usize = 5;
    let server = Settings::new().set("MAX_VISIBLE", SHOWN).set("SPAWN_SEED", 5).spawn_anywhere().start();
    let mut clients: Vec<_> = (0..20).map(|_| Client::join_with(&server, capped(SHOWN))).collect();
    let_others_settle(&mut clients);
    let mut newcomer = Client::join_with(&server, capped(SHOWN));
    let ServerMessage::GameState(entries) = &newcomer.received[0].message else { panic!("no GAME_STATE") };
    assert_eq!(entries.len(), SHOWN + 1, "the nearest players and the newcomer itself");
    let is_listed = |client: &Client| entries.iter().any(|entry| entry.id == client.id());
    let (listed, left_out): (Vec<_>, Vec<_>) = clients.iter().partition(|client| is_listed(client));
    let from_newcomer = |client: &&Client| distance(newcomer.position(), client.position());
    let farthest = listed.iter().map(from_newcomer).fold(0.0, f64::max);
    let nearest = left_out.iter().map(from_newcomer).fold(f64::INFINITY, f64::min);
    assert!(
        farthest <= nearest,
        "the farthest visible player is {farthest} units away, the nearest other one {nearest}"
    );

    // The nearest of the other players fills a free slot.
    let next = left_out.iter().min_by(|a, b| from_newcomer(a).total_cmp(&from_newcomer(b))).unwrap().id();
    let gone = listed[0].id();
    clients.retain(|client| client.id() != gone);
    std::mem::swap(&mut clients[VIEWER], &mut newcomer);
    clients.push(newcomer);
    poll_until(&mut clients, "the next nearest player to enter", |clients| {
        !clients[VIEWER].sees(gone) && clients[VIEWER].visible().len() == SHOWN
    });
    assert!(clients[VIEWER].sees(next));
}

#[test]
fn only_a_clearly_nearer_player_replaces_a_visible_one() {
    const MEMBER: usize = 1;
    const RIVAL: usize = 2;
    let server =
        Settings::new().set("MAX_VISIBLE", 1).set("SYNC_INTERVAL_SEC", 300).spawn_at(1_000, 500).start();
    let join = || Client::join_with(&server, capped(1));
    let mut clients = vec![join(), join()];
    let member = clients[MEMBER].id();
    // With a viewport, the first sprite delays no enter.
    clients[VIEWER].send(&ClientMessage::Viewport { width: 4_000, height: 4_000 });
    poll_until(&mut clients, "the only other player to enter", |clients| clients[VIEWER].sees(member));
    walk_to_x(&mut clients, MEMBER, 1_200);
    // At 0 units the rival replaces the member, which is 200 units away.
    clients.push(join());
    let rival = clients[RIVAL].id();
    poll_until(&mut clients, "the rival to replace the member", |clients| {
        clients[VIEWER].visible() == [rival]
    });

    let mark = clients[VIEWER].mark();
    walk_to_x(&mut clients, RIVAL, 760);
    observe(&mut clients, Duration::from_millis(2_500));
    let changes = clients[VIEWER].joins_since(mark, member) + clients[VIEWER].leaves_since(mark, rival);
    assert_eq!(changes, 0, "200 units are not clearly nearer than 240");
    walk_to_x(&mut clients, RIVAL, 680);
    poll_until(&mut clients, "the member to replace the rival", |clients| {
        clients[VIEWER].visible() == [member]
    });
    assert_eq!(clients[VIEWER].leaves_since(mark, rival), 1);
    assert_eq!(clients[VIEWER].joins_since(mark, member), 1);
}

#[test]
fn a_player_that_left_the_set_stays_out_for_two_seconds() {
    const NEAR: usize = 1;
    const MEMBER: usize = 2;
    let server =
        Settings::new().set("MAX_VISIBLE", 2).set("SYNC_INTERVAL_SEC", 300).spawn_at(1_000, 500).start();
    let join = || Client::join_with(&server, capped(2));
    let mut clients = vec![join(), join(), join()];
    // With a viewport, the first sprite delays no enter.
    clients[VIEWER].send(&ClientMessage::Viewport { width: 4_000, height: 4_000 });
    let (near, member) = (clients[NEAR].id(), clients[MEMBER].id());
    walk_to_x(&mut clients, MEMBER, 1_200);
    poll_until(&mut clients, "both players to enter", |clients| {
        clients[VIEWER].sees(near) && clients[VIEWER].sees(member)
    });
    let mark = clients[VIEWER].mark();
    clients.push(join());
    let rival = clients[3].id();
    poll_until(&mut clients, "a nearer player to replace the member", |clients| clients[VIEWER].sees(rival));
    // Its LEFT follows after a second, and the slot is free.
    clients.pop().expect("the rival").close(Some(1001));
    poll_until(&mut clients, "the member to enter again", |clients| clients[VIEWER].sees(member));
    let at = |wanted: &dyn Fn(&ServerMessage) -> bool| {
        let received = &clients[VIEWER].received[mark..];
        received.iter().find(|received| wanted(&received.message)).expect("it was received").at_ms
    };
    let left_ms = at(&|message| matches!(message, ServerMessage::Left(id) if *id == member));
    let free_ms = at(&|message| matches!(message, ServerMessage::Left(id) if *id == rival));
    let back_ms = at(&|message| matches!(message, ServerMessage::Joined(entry) if entry.id == member));
    assert!(free_ms < back_ms, "the slot was free before");
    assert!(back_ms - left_ms >= 1_700, "back after {} ms", back_ms - left_ms);
}
