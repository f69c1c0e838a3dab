//! Rule 8: the server accepts claims near its own position while a signed budget covers their lead.

use std::time::{Duration, Instant};

use game_client::Vector;

use super::{OTHER, VIEWER};
use crate::support::{Client, Server, Settings, poll_until, wait_for, wait_for_acks};

/// Speed of an honest client, in units per second.
const SPEED: f64 = 96.0;
/// Refill of the reconciliation budget, in units per second, and its size, in units.
const REFILL: f64 = 24.0;
const BUDGET: f64 = 50.0;

fn alone_at(x: u16, y: u16) -> (Server, Client) {
    let server = Settings::new().spawn_at(x, y).start();
    let client = Client::join(&server);
    (server, client)
}

/// Sends one claim and returns the acked position.
fn claim(client: &mut Client, sequence: u32, vector: Vector, x: i32, y: i32) -> (i32, i32) {
    client.send_claim(vector, sequence, x, y);
    wait_for(client, "the ack of a claim", Client::is_answered);
    client.acknowledged()
}

#[test]
fn a_claim_within_fifty_units_is_accepted_as_claimed() {
    let claims = [(500, 500), (504, 500), (550, 500), (450, 500), (530, 540), (470, 460), (500, 450)];
    for (x, y) in claims {
        let (_server, mut client) = alone_at(500, 500);
        assert_eq!(claim(&mut client, 1, Vector::RIGHT, x, y), (x, y));
    }
}

#[test]
fn a_claim_beyond_fifty_units_is_refused_with_the_servers_own_position() {
    let (_server, mut client) = alone_at(500, 500);
    let claims = [(551, 500), (449, 500), (536, 536), (500, 0), (500, 2_001), (0, 0), (i32::MAX, i32::MIN)];
    for (sequence, (x, y)) in claims.into_iter().enumerate() {
        let answer = claim(&mut client, sequence as u32, Vector::ZERO, x, y);
        assert_eq!(answer, (500, 500), "claim of ({x}, {y})");
    }
    assert_eq!(claim(&mut client, 100, Vector::ZERO, 504, 500), (504, 500), "refusals cost nothing");
}

#[test]
fn leads_spend_the_budget_and_time_refills_it() {
    let (_server, mut client) = alone_at(500, 500);
    assert_eq!(claim(&mut client, 1, Vector::ZERO, 548, 500), (548, 500));
    assert_eq!(
        claim(&mut client, 2, Vector::ZERO, 596, 500),
        (548, 500),
        "the budget does not cover 48 units"
    );
    let mut sequence = 2;
    poll_until(std::slice::from_mut(&mut client), "a refill of 24 units", |clients| {
        // About 20 claims per second, which the rate limit allows.
        std::thread::sleep(Duration::from_millis(50));
        sequence += 1;
        claim(&mut clients[0], sequence, Vector::ZERO, 572, 500) == (572, 500)
    });
}

/// Walks right at a multiple of the honest speed, as a modified client does, always from the server's position.
/// Returns the number of refused claims, the distance, and the time it took.
fn race(factor: f64, seconds: f64) -> (usize, f64, f64) {
    const CLAIMS_PER_S: f64 = 24.0;
    let (_server, mut client) = alone_at(100, 500);
    let (start, mut sent, mut refused) = (Instant::now(), 0, 0);
    let (mut x, mut walked_s) = (100.0, 0.0);
    while walked_s < seconds {
        let due_s = f64::from(sent) / CLAIMS_PER_S;
        wait_for(&mut client, "the time of the next step", |_| start.elapsed().as_secs_f64() >= due_s);
        // Positions follow the clock, not the number of claims: a delayed test must not appear to jump.
        let now_s = start.elapsed().as_secs_f64();
        x += (now_s - walked_s) * SPEED * factor;
        walked_s = now_s;
        sent += 1;
        let claimed = (x as i32, 500);
        let answer = claim(&mut client, sent, Vector::RIGHT, claimed.0, claimed.1);
        if answer != claimed {
            refused += 1;
            x = f64::from(answer.0);
        }
    }
    let distance = f64::from(client.acknowledged().0 - 100);
    (refused, distance, start.elapsed().as_secs_f64())
}

#[test]
fn a_client_a_quarter_too_fast_is_never_refused() {
    let (refused, distance, seconds) = race(1.25, 4.0);
    assert_eq!(refused, 0, "in {distance} units");
    assert!(distance > SPEED * 1.25 * 3.9, "{distance} units in {seconds} s");
}

#[test]
fn a_client_half_too_fast_is_limited() {
    let (refused, distance, seconds) = race(1.5, 5.0);
    assert!(refused > 0, "{distance} units in {seconds} s");
    let allowed = (SPEED + REFILL) * seconds + BUDGET;
    assert!(distance <= allowed + 4.0, "{distance} units in {seconds} s, and {allowed} allowed");
}

#[test]
fn zigzag_teleports_are_refused() {
    const LEAP: i32 = 45;
    let (_server, mut client) = alone_at(1_000, 500);
    let (start, mut accepted) = (Instant::now(), 0);
    for sequence in 0..30 {
        let direction = if sequence % 2 == 0 { 1 } else { -1 };
        let vector = Vector::new(direction, 0).unwrap();
        let before = if sequence == 0 { (1_000, 500) } else { client.acknowledged() };
        let target = before.0 + i32::from(direction) * LEAP;
        accepted += i32::from(claim(&mut client, sequence, vector, target, 500) == (target, 500));
    }
    let allowed = (BUDGET + REFILL * start.elapsed().as_secs_f64()) / f64::from(LEAP);
    assert!(f64::from(accepted) <= allowed + 1.0, "{accepted} leaps accepted, {allowed} allowed");
}

#[test]
fn sideways_teleports_are_refused() {
    let (_server, mut client) = alone_at(500, 500);
    let start = Instant::now();
    for sequence in 0..30 {
        let before = if sequence == 0 { (500, 500) } else { client.acknowledged() };
        claim(&mut client, sequence, Vector::RIGHT, before.0, before.1 + 30);
    }
    let drifted = f64::from(client.acknowledged().1 - 500);
    // A diagonal step counts once, so walking right pays for as much movement sideways.
    let allowed = BUDGET + (SPEED + REFILL) * start.elapsed().as_secs_f64();
    assert!(drifted <= allowed + 4.0, "{drifted} units to the side, {allowed} allowed");
}

#[test]
fn an_honest_client_whose_steps_arrive_in_bursts_is_never_refused() {
    /// Six steps at a time: the first claim is 20 units behind the server, which extrapolated, and the last
    /// is level. If lag were not credited back, three bursts would exhaust the budget.
    const STEPS_PER_BURST: u32 = 6;
    const STEP_S: f64 = 1.0 / 24.0;
    let (_server, mut client) = alone_at(100, 500);
    let (start, mut taken) = (Instant::now(), 0);
    while taken < 96 {
        let due_s = f64::from(taken + STEPS_PER_BURST) * STEP_S;
        wait_for(&mut client, "the time of the next burst", |_| start.elapsed().as_secs_f64() >= due_s);
        for _ in 0..STEPS_PER_BURST {
            client.step(Vector::RIGHT);
        }
        taken += STEPS_PER_BURST;
    }
    wait_for(&mut client, "the last acks", Client::is_answered);
    assert_eq!(client.replica.own().corrections(), 0);
    assert_eq!(client.acknowledged(), (100 + 96 * 4, 500));
}

#[test]
fn a_cheater_does_not_affect_other_players() {
    let server = Settings::new().spawn_at(500, 500).start();
    let mut clients = vec![Client::join(&server), Client::join(&server)];
    clients[VIEWER].send_claim(Vector::ZERO, 1, 550, 500);
    clients[OTHER].send_claim(Vector::ZERO, 1, 500, 550);
    wait_for_acks(&mut clients);
    assert_eq!(clients[VIEWER].acknowledged(), (550, 500));
    assert_eq!(clients[OTHER].acknowledged(), (500, 550));
}
