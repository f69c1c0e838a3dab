//! Limits per address: simultaneous and new connections. Loopback has sixteen million addresses.

use std::net::Ipv4Addr;

use crate::support::http::{Response, request_text};
use crate::support::raw::{Raw, UPGRADE, upgrade_with_cookie};
use crate::support::wait::wait_until;
use crate::support::{Server, Settings};

const ALICE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const BOB: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 2);

fn upgrade(server: &Server, source: Ipv4Addr) -> (Raw, Response) {
    let mut raw = Raw::connect_from(source, server.address());
    raw.send(UPGRADE.as_bytes());
    let response = raw.response();
    (raw, response)
}

fn assert_refused(response: &Response) {
    assert_eq!(response.status, 429, "{response:?}");
    let seconds = response.header("retry-after").expect("a retry time");
    assert!(seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{seconds}");
}

fn refused(server: &Server, reason: &str) -> u64 {
    server.metrics()["refused"][reason].as_u64().expect("a count")
}

#[test]
fn an_address_holds_at_most_its_limit_of_connections() {
    let server = Settings::new().set("MAX_CONNS_PER_IP", 3).start();
    let mut alices: Vec<_> = (0..3).map(|_| upgrade(&server, ALICE)).collect();
    assert!(alices.iter().all(|(_, response)| response.status == 101));
    for _ in 0..5 {
        assert_refused(&upgrade(&server, ALICE).1);
    }
    assert_eq!(upgrade(&server, BOB).1.status, 101, "another address");
    assert_eq!(refused(&server, "address_connections"), 5);
    alices.pop();
    wait_until("the freed slot", || upgrade(&server, ALICE).1.status == 101);
}

#[test]
fn every_end_of_a_connection_frees_its_slot() {
    let server = Settings::new().set("MAX_CONNS_PER_IP", 2).start();
    let get = request_text("GET", "/health", &["Connection: close"]);
    // The bytes sent, and the expected status; 0 means that the client leaves before a response.
    let ends = [("", 0), ("GET / HT", 0), ("nonsense\r\n\r\n", 400), (get.as_str(), 200), (UPGRADE, 101)];
    for (request, status) in ends.into_iter().cycle().take(40) {
        wait_until("a free slot", || {
            let mut raw = Raw::connect_from(ALICE, server.address());
            raw.send(request.as_bytes());
            // The server may not have noticed yet that earlier connections are gone.
            status == 0 || raw.response().status == status
        });
    }
    // Takes both slots, so that the test notices a leaked one.
    wait_until("both slots", || {
        let pair = [(); 2].map(|()| upgrade(&server, ALICE));
        pair.iter().all(|(_, response)| response.status == 101)
    });
}

#[test]
fn an_address_opens_connections_up_to_its_rate() {
    let server = Settings::new().set("IP_CONN_RATE", 1).set("IP_CONN_BURST", 10).start();
    let answers: Vec<_> = (0..40).map(|_| upgrade(&server, ALICE)).collect();
    let refusals: Vec<_> = answers.iter().filter(|(_, response)| response.status != 101).collect();
    // The rate adds one connection per second, and the machine may be slow.
    assert!((10..=25).contains(&(40 - refusals.len())), "{} refused", refusals.len());
    for (_, response) in &refusals {
        assert_refused(response);
    }
    assert_eq!(refused(&server, "address_rate"), refusals.len() as u64);
    assert_eq!(upgrade(&server, BOB).1.status, 101, "another address");
    wait_until("the rate to allow one more", || upgrade(&server, ALICE).1.status == 101);
}

#[test]
fn loopback_has_no_rate_unless_one_is_set() {
    let server = Server::start();
    for _ in 0..300 {
        let mut raw = Raw::connect_from(ALICE, server.address());
        raw.send(request_text("GET", "/health", &["Connection: close"]).as_bytes());
        assert_eq!(raw.response().status, 200);
    }
}

/// An upgrade with the cookie of an earlier connection.
fn upgrade_from(server: &Server, source: Ipv4Addr, cookie: &str) -> (Raw, Response) {
    let mut raw = Raw::connect_from(source, server.address());
    raw.send(upgrade_with_cookie(cookie).as_bytes());
    let response = raw.response();
    (raw, response)
}

fn cookie_of(response: &Response) -> String {
    let cookie = response.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("name and value").to_owned()
}

#[test]
fn a_reconnecting_player_reuses_its_slot_at_the_limit() {
    let server = Settings::new().set("MAX_CONNS_PER_IP", 1).start();
    let (_silent, response) = upgrade(&server, ALICE);
    assert_refused(&upgrade(&server, ALICE).1);
    let (_back, returned) = upgrade_from(&server, ALICE, &cookie_of(&response));
    assert_eq!(returned.status, 101);
    assert_eq!((server.metrics()["resumes"]["taken_over"].as_u64(), server.count("players")), (Some(1), 1));
    // The connection holds the only slot of its address; another address is unaffected.
    assert_refused(&upgrade(&server, ALICE).1);
    let (_bob, response) = upgrade(&server, BOB);
    assert_eq!(response.status, 101);
    assert_refused(&upgrade_from(&server, ALICE, &cookie_of(&response)).1);
}
