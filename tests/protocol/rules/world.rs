//! Rule 10: the bounds of the world, the spawn area, and the walking speed.

use std::time::{Duration, Instant};

use game_client::Vector;

use super::VIEWER;
use crate::support::client::replica_options;
use crate::support::walker::walk;
use crate::support::{Client, Server, Settings, observe, wait_for};

#[test]
fn players_reach_the_world_bounds_and_stop_there() {
    let corners = [(12, 8, -1, (0, 0)), (1_988, 1_992, 1, (2_000, 2_000))];
    for (x, y, direction, corner) in corners {
        let server = Settings::new().spawn_at(x, y).start();
        let mut clients = vec![Client::join(&server)];
        let vector = Vector::new(direction, direction).unwrap();
        walk(&mut clients, VIEWER, vector, 12);
        assert_eq!(clients[VIEWER].acknowledged(), corner, "by claims");
        clients[VIEWER].send_short_move(vector, 50);
        observe(&mut clients, Duration::from_millis(300));
        clients[VIEWER].send_short_move(Vector::ZERO, 51);
        wait_for(&mut clients[VIEWER], "the ack", Client::is_answered);
        assert_eq!(clients[VIEWER].acknowledged(), corner, "by extrapolation");
    }
}

#[test]
fn world_bounds_follow_the_settings() {
    let server = Settings::new()
        .set("WORLD_WIDTH", 1_000)
        .set("WORLD_HEIGHT", 600)
        .set("SPAWN_MIN_X", 980)
        .set("SPAWN_MAX_X", 981)
        .set("SPAWN_MIN_Y", 590)
        .set("SPAWN_MAX_Y", 591)
        .start();
    let mut clients = vec![Client::join(&server)];
    clients[VIEWER].send_short_move(Vector::new(1, 1).unwrap(), 1);
    observe(&mut clients, Duration::from_millis(500));
    clients[VIEWER].send_short_move(Vector::ZERO, 2);
    wait_for(&mut clients[VIEWER], "the ack", Client::is_answered);
    assert_eq!(clients[VIEWER].acknowledged(), (1_000, 600));
}

#[test]
fn players_spawn_all_over_the_spawn_area_and_nowhere_else() {
    let server = Server::start();
    let clients = Client::join_many(&server, 60, replica_options());
    let spawns: Vec<_> = clients.iter().map(Client::position).collect();
    assert!(spawns.iter().all(|(x, y)| (100..900).contains(x) && (100..900).contains(y)), "{spawns:?}");
    for axis in [|at: &(i32, i32)| at.0, |at: &(i32, i32)| at.1] {
        let low = spawns.iter().map(axis).min().unwrap();
        let high = spawns.iter().map(axis).max().unwrap();
        assert!(low < 300 && high > 700, "60 players only between {low} and {high}");
    }
}

#[test]
fn spawns_depend_only_on_the_seed() {
    let spawns = |seed: u64| {
        let server = Settings::new().set("SPAWN_SEED", seed).start();
        let clients: Vec<_> = (0..8).map(|_| Client::join(&server)).collect();
        clients.iter().map(Client::position).collect::<Vec<_>>()
    };
    assert_eq!(spawns(7), spawns(7));
    assert_ne!(spawns(7), spawns(8));
}

#[test]
fn players_walk_96_units_per_second_at_every_tick_rate() {
    for tick_rate in [20, 60, 128] {
        assert_speed(Settings::new().set("TICK_RATE", tick_rate), 96.0);
    }
    assert_speed(Settings::new().set("PLAYER_SPEED", 8), 192.0);
}

/// Measures a walk between two acked MOVEs. The server applied each MOVE after it was sent and before its ack was read.
/// These times bound the walked time from both sides, however busy the machine is.
fn assert_speed(settings: Settings, units_per_s: f64) {
    // Positions are integers that change once a tick; the slowest server here has 20 ticks a second.
    let slack = units_per_s / 20.0 + 2.0;
    let server = settings.spawn_at(100, 500).start();
    let mut client = Client::join(&server);
    let first_sent = Instant::now();
    client.send_short_move(Vector::RIGHT, 1);
    wait_for(&mut client, "the first ack", Client::is_answered);
    let first_answered = Instant::now();
    wait_for(&mut client, "a walk", |_| first_answered.elapsed() > Duration::from_millis(1_500));
    let last_sent = Instant::now();
    client.send_short_move(Vector::ZERO, 2);
    wait_for(&mut client, "the last ack", Client::is_answered);
    let walked = f64::from(client.acknowledged().0 - 100);
    let at_least = (last_sent - first_answered).as_secs_f64() * units_per_s;
    let at_most = first_sent.elapsed().as_secs_f64() * units_per_s;
    assert!(walked >= at_least - slack && walked <= at_most + slack, "{walked} of {at_least} to {at_most}");
}
