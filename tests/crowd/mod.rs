//! Three hundred clients on one server: who is who, every answer, and pictures that agree with the truth.

use std::collections::BTreeMap;
use std::time::Instant;

use game_client::{Facing, PictureOptions, PlayerId, Vector};

use crate::support::client::picture_options;
use crate::support::{Client, Server, Settings, observe, pump, settle};

const PLAYERS: usize = 300;

/// How much nearer than a member of a view a newcomer must be to take its place.
const CLEARLY_NEARER: f64 = 0.7;

/// Steps every client takes, one every [`STEP_MS`] milliseconds.
const STEPS: u32 = 24;
const STEP_MS: u64 = 100;

/// Where a player ended, by its own last answer.
type Truth = BTreeMap<PlayerId, (f64, f64)>;

/// Lets everybody join at once.
fn crowd(server: &Server, options: PictureOptions) -> Vec<Client> {
    let mut clients = Client::connect_many(server, PLAYERS, options);
    pump(&mut clients, "everybody's identity", |clients| {
        clients.iter().all(|client| client.picture.own_id().is_some())
    });
    let mut ids: Vec<_> = clients.iter().map(Client::id).collect();
    ids.sort_unstable();
    let expected: Vec<_> = (1001..1001 + PLAYERS as PlayerId).collect();
    assert_eq!(ids, expected, "every client takes itself for somebody else");
    clients
}

/// Lets everybody walk this way and that, and stand still at the end. Returns where they stand.
fn walk_around(clients: &mut [Client]) -> Truth {
    let directions = [Vector::RIGHT, Vector::DOWN, Vector::LEFT, Vector::UP];
    let (start, mut taken) = (Instant::now(), 0);
    pump(clients, "a walk of everybody", |clients| {
        let due = (start.elapsed().as_millis() as u64 / STEP_MS) as u32;
        while taken < due.min(STEPS) {
            for (index, client) in clients.iter_mut().enumerate() {
                client.step(directions[(index + taken as usize / 8) % directions.len()]);
            }
            taken += 1;
        }
        taken == STEPS
    });
    for client in &mut *clients {
        client.step(Vector::ZERO);
    }
    settle(clients);
    for client in &*clients {
        let answered = client.picture.own().answered();
        assert_eq!(answered, u64::from(STEPS) + 1, "every MOVE is answered once");
    }
    let standing = |client: &Client| (f64::from(client.acknowledged().0), f64::from(client.acknowledged().1));
    clients.iter().map(|client| (client.id(), standing(client))).collect()
}

/// Whether everybody on this picture stands where it does in truth.
fn is_true(client: &Client, truth: &Truth) -> bool {
    client.picture.remotes().all(|remote| {
        let at = truth.get(&remote.id).expect("nobody is shown who does not exist");
        remote.shown()
            && (remote.x, remote.y) == *at
            && remote.vector == Vector::ZERO
            && remote.facing == Facing::Right
    })
}

/// Whether this client is shown as many as it may be, and nobody who is left out is clearly nearer than a member.
fn is_nearest(client: &Client, truth: &Truth, visible_max: usize) -> bool {
    let own = truth[&client.id()];
    let distance = |id: &PlayerId| (truth[id].0 - own.0).hypot(truth[id].1 - own.1);
    let (members, others): (Vec<_>, Vec<_>) =
        truth.keys().filter(|id| **id != client.id()).partition(|id| client.sees(**id));
    let farthest = members.iter().copied().map(distance).fold(0.0, f64::max);
    let nearest = others.iter().copied().map(distance).fold(f64::INFINITY, f64::min);
    // A unit for positions rounded and compared as squares.
    members.len() == visible_max.min(truth.len() - 1) && nearest >= CLEARLY_NEARER * farthest - 1.0
}

#[test]
fn a_crowd_sees_the_nearest_where_they_are() {
    const VISIBLE_MAX: usize = 128;
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 2).start();
    let options = PictureOptions { visible_max: Some(VISIBLE_MAX), ..picture_options() };
    let mut clients = crowd(&server, options);
    let truth = walk_around(&mut clients);
    pump(&mut clients, "true pictures of the nearest", |clients| {
        clients.iter().all(|client| is_true(client, &truth) && is_nearest(client, &truth, VISIBLE_MAX))
    });
    // What is true stays true: nobody flickers while everybody stands still.
    let marks: Vec<_> = clients.iter().map(Client::mark).collect();
    observe(&mut clients, std::time::Duration::from_secs(1));
    for (client, mark) in clients.iter().zip(marks) {
        let changes = client.count_since(mark, |message| {
            matches!(message, game_client::ServerMessage::Joined(_) | game_client::ServerMessage::Left(_))
        });
        assert_eq!(changes, 0, "{client:?}");
    }
    assert_eq!(server.protocol_errors(), 0);
    assert_eq!(server.count("players"), PLAYERS as u64);
}

#[test]
fn a_crowd_within_the_cap_sees_everybody_where_they_are() {
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 2).set("MAX_VISIBLE", 400).start();
    let mut clients = crowd(&server, picture_options());
    let truth = walk_around(&mut clients);
    pump(&mut clients, "true pictures of everybody", |clients| {
        clients.iter().all(|client| client.visible().len() == PLAYERS - 1 && is_true(client, &truth))
    });
    for client in &clients {
        assert_eq!(client.picture.doubles(), [] as [PlayerId; 0]);
        for other in truth.keys().filter(|id| **id != client.id()) {
            assert!(client.joins_since(0, *other) <= 1, "{other} entered twice");
        }
    }
    // They leave one half at a time, and the rest is told of each of them.
    let gone: Vec<_> = clients.drain(PLAYERS / 2..).map(|client| client.id()).collect();
    pump(&mut clients, "the exits of one half", |clients| {
        clients.iter().all(|client| client.visible().len() == PLAYERS / 2 - 1)
    });
    assert!(gone.iter().all(|&id| clients[0].leaves_since(0, id) == 1));
}
