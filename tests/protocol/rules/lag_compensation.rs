//! Rule 8: claims near the server's own position are believed, as long as a signed budget pays for their lead.

use std::time::{Duration, Instant};

use game_client::Vector;

use super::{OTHER, VIEWER};
use crate::support::{Client, Server, Settings, poll_until, wait_for, wait_for_acks};

/// Speed of an honest client, in units a second.
const SPEED: f64 = 96.0;
/// How much lead is forgiven, in units a second and at once.
const REFILL: f64 = 24.0;
const BUDGET: f64 = 50.0;

fn alone_at(x: u16, y: u16) -> (Server, Client) {
    let server = Settings::new().spawn_at(x, y).start();
    let client = Client::join(&server);
    (server, client)
}

/// Sends one claim and gives the position it is answered with.
fn claim(client: &mut Client, sequence: u32, vector: Vector, x: i32, y: i32) -> (i32, i32) {
    client.send_claim(vector, sequence, x, y);
    wait_for(client, "the answer to a claim", Client::is_answered);
    client.acknowledged()
}

#[test]
fn a_claim_within_fifty_units_is_adopted_as_claimed() {
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
fn the_budget_is_spent_by_leads_and_refills() {
    let (_server, mut client) = alone_at(500, 500);
    assert_eq!(claim(&mut client, 1, Vector::ZERO, 548, 500), (548, 500));
    assert_eq!(claim(&mut client, 2, Vector::ZERO, 596, 500), (548, 500), "nothing left for 48 units");
    let mut sequence = 2;
    poll_until(std::slice::from_mut(&mut client), "a refill of 24 units", |clients| {
        // Asked about 20 times a second: the rate limit allows it.
        std::thread::sleep(Duration::from_millis(50));
        sequence += 1;
        claim(&mut clients[0], sequence, Vector::ZERO, 572, 500) == (572, 500)
    });
}

/// Walks right at a multiple of the honest speed for some seconds, from wherever the server has the player, as one
/// does who has changed his client. Returns how many claims were refused, how far it came, and in how long.
fn race(factor: f64, seconds: f64) -> (usize, f64, f64) {
    const CLAIMS_PER_S: f64 = 24.0;
    let (_server, mut client) = alone_at(100, 500);
    let (start, mut sent, mut refused) = (Instant::now(), 0, 0);
    let (mut x, mut walked_s) = (100.0, 0.0);
    while walked_s < seconds {
        let due_s = f64::from(sent) / CLAIMS_PER_S;
        wait_for(&mut client, "the next step", |_| start.elapsed().as_secs_f64() >= due_s);
        // By the clock, not by the count of claims: a test that was held up must not seem to jump.
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
    let came = f64::from(client.acknowledged().0 - 100);
    (refused, came, start.elapsed().as_secs_f64())
}

#[test]
fn a_client_a_quarter_too_fast_is_never_refused() {
    let (refused, came, seconds) = race(1.25, 4.0);
    assert_eq!(refused, 0, "in {came} units");
    assert!(came > SPEED * 1.25 * 3.9, "{came} units in {seconds} s");
}

#[test]
fn a_client_half_too_fast_is_held() {
    let (refused, came, seconds) = race(1.5, 5.0);
    assert!(refused > 0, "{came} units in {seconds} s");
    let allowed = (SPEED + REFILL) * seconds + BUDGET;
    assert!(came <= allowed + 4.0, "{came} units in {seconds} s, and {allowed} allowed");
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
fn teleports_to_the_side_are_refused() {
    let (_server, mut client) = alone_at(500, 500);
    let start = Instant::now();
    for sequence in 0..30 {
        let before = if sequence == 0 { (500, 500) } else { client.acknowledged() };
        claim(&mut client, sequence, Vector::RIGHT, before.0, before.1 + 30);
    }
    let drifted = f64::from(client.acknowledged().1 - 500);
    // A diagonal step counts once, so walking right pays for as much to the side.
    let allowed = BUDGET + (SPEED + REFILL) * start.elapsed().as_secs_f64();
    assert!(drifted <= allowed + 4.0, "{drifted} units to the side, {allowed} allowed");
}

#[test]
fn an_honest_client_whose_steps_arrive_in_bursts_is_never_refused() {
    /// Six steps at a time: the first claim lies 20 units behind the server, which walked on, and the last in line.
    /// Were a lag not given back, three bursts would spend the budget.
    const STEPS_PER_BURST: u32 = 6;
    const STEP_S: f64 = 1.0 / 24.0;
    let (_server, mut client) = alone_at(100, 500);
    let (start, mut taken) = (Instant::now(), 0);
    while taken < 96 {
        let due_s = f64::from(taken + STEPS_PER_BURST) * STEP_S;
        wait_for(&mut client, "the next burst", |_| start.elapsed().as_secs_f64() >= due_s);
        for _ in 0..STEPS_PER_BURST {
            client.step(Vector::RIGHT);
        }
        taken += STEPS_PER_BURST;
    }
    wait_for(&mut client, "the last answers", Client::is_answered);
    assert_eq!(client.replica.own().corrections(), 0);
    assert_eq!(client.acknowledged(), (100 + 96 * 4, 500));
}

#[test]
fn one_cheat_does_not_cost_another_player() {
    let server = Settings::new().spawn_at(500, 500).start();
    let mut clients = vec![Client::join(&server), Client::join(&server)];
    clients[VIEWER].send_claim(Vector::ZERO, 1, 550, 500);
    clients[OTHER].send_claim(Vector::ZERO, 1, 500, 550);
    wait_for_acks(&mut clients);
    assert_eq!(clients[VIEWER].acknowledged(), (550, 500));
    assert_eq!(clients[OTHER].acknowledged(), (500, 550));
}
