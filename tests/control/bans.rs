//! Bans: exact, for every way in which a client's address becomes known, and across restarts.

use std::fs;

use super::{Subject, ids};
use crate::support::http::{get, get_with};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::wait::wait_until;
use crate::support::{Client, Settings, folder};

#[test]
fn a_ban_closes_and_refuses_its_network_only() {
    let subject = Subject::start("control-ban", Settings::new());
    let address = subject.server.address();
    let _player = Client::join(&subject.server);
    assert_eq!(subject.control("ban 192.0.2.0/24 --for 1h")["kicked"], 0);
    assert_eq!(ids(&subject.control("players")).len(), 1);
    assert_eq!(subject.control("ban 127.0.0.0/8")["kicked"], 1);
    assert_eq!(get(address, "/health").status, 403);
    subject.log_has("bans 127.0.0.0/8 for good: 1 connections");
    let bans = subject.control("bans");
    assert_eq!(
        (&bans["bans"][1]["network"], &bans["bans"][1]["seconds_left"]),
        (&"127.0.0.0/8".into(), &().into())
    );
    assert!(subject.refusal("unban 127.0.0.1").contains("network 127.0.0.1: not banned"));
    subject.control("unban 127.0.0.0/8");
    let metrics = subject.server.metrics();
    assert_eq!((&metrics["closed"]["banned"], &metrics["refused"]["banned"]), (&1.into(), &1.into()));
    drop(Client::join(&subject.server));
}

#[test]
fn a_ban_ends_by_itself() {
    let subject = Subject::start("control-ban-end", Settings::new());
    subject.control("ban 127.0.0.1 --for 1s");
    wait_until("the end of the ban", || get(subject.server.address(), "/health").status == 200);
    assert_eq!(subject.control("bans")["bans"], serde_json::json!([]));
}

#[test]
fn a_ban_applies_to_the_client_behind_a_proxy() {
    let settings = Settings::new().set("TRUSTED_PROXIES", "127.0.0.0/8");
    let subject = Subject::start("control-ban-forwarded", settings);
    let address = subject.server.address();
    subject.control("ban 198.51.100.0/24");
    let status = |client: &str| get_with(address, "/health", &[&format!("X-Forwarded-For: {client}")]).status;
    assert_eq!((status("198.51.100.7"), status("198.51.101.7")), (403, 200));
    // The next request on the proxy's connection is another client's.
    let mut proxy = Raw::connect(address);
    for (client, expected) in [("198.51.100.7", 403), ("192.0.2.1", 200), ("198.51.100.8", 403)] {
        proxy
            .send(format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n\r\n").as_bytes());
        assert_eq!(proxy.response().status, expected, "{client}");
    }

    let settings = Settings::new().set("TRUSTED_PROXIES", "127.0.0.0/8").set("PROXY_PROTOCOL", "true");
    let subject = Subject::start("control-ban-proxy", settings);
    subject.control("ban 198.51.100.0/24");
    for (client, expected) in [("198.51.100.7", 403), ("192.0.2.1", 101)] {
        let mut proxy = Raw::connect(subject.server.address());
        proxy.send(format!("PROXY TCP4 {client} 127.0.0.1 80 80\r\n{UPGRADE}").as_bytes());
        assert_eq!(proxy.response().status, expected, "{client}");
    }
}

#[test]
fn bans_outlive_a_restart() {
    use std::os::unix::fs::PermissionsExt as _;
    let state = folder("control-state");
    let file = state.join("bans.json");
    let settings = Settings::new().set("STATE_DIR", state.to_str().expect("UTF-8"));
    let mut subject = Subject::start("control-restart", settings.clone());
    subject.control("ban 198.51.100.0/24");
    subject.control("ban 192.0.2.7 --for 2h");
    subject.server.terminate();
    assert_eq!(fs::metadata(&file).expect("the bans").permissions().mode() & 0o777, 0o600);
    let subject = Subject::start("control-restarted", settings.clone());
    let bans = subject.control("bans")["bans"].as_array().expect("a list").len();
    assert_eq!(bans, 2);
    drop(subject);
    // A damaged file is set aside.
    fs::write(&file, "nonsense").expect("a file");
    let subject = Subject::start("control-damaged", settings);
    assert_eq!(subject.control("bans")["bans"], serde_json::json!([]));
    subject.log_has("nobody is banned");
    assert!(state.join("bans.json.broken").exists());
}
