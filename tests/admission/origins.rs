//! Allowed web pages, by the `Origin` header of the handshake.

use crate::support::http::{Response, get_with};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::{Client, Server, Settings};

/// The response to a handshake with these `Origin` headers.
fn handshake(server: &Server, origins: &[&str]) -> Response {
    let headers = origins.iter().fold(String::new(), |headers, origin| headers + "\r\nOrigin: " + origin);
    Raw::exchange(server.address(), UPGRADE.replacen("\r\nUpgrade:", &format!("{headers}\r\nUpgrade:"), 1))
}

fn status(server: &Server, origins: &[&str]) -> u16 {
    handshake(server, origins).status
}

fn refused(server: &Server, reason: &str) -> u64 {
    server.metrics()["refused"][reason].as_u64().unwrap_or_else(|| panic!("refused.{reason} is counted"))
}

#[test]
fn every_origin_is_allowed_by_default() {
    let server = Server::start();
    for origins in [&[][..], &["https://anything.example"], &["null"], &["no origin at all"]] {
        assert_eq!(status(&server, origins), 101, "{origins:?}");
    }
    assert_eq!(status(&server, &["https://a.example", "https://a.example"]), 403);
    assert_eq!(refused(&server, "origin_repeated"), 1);
}

#[test]
fn unlisted_origins_receive_a_403_with_a_reason() {
    let server = Settings::new()
        .set("ALLOWED_ORIGINS", "https://game.example:8443,https://*.example.com,http://localhost")
        .start();
    for origin in [
        "https://game.example:8443", "HTTPS://GAME.EXAMPLE:8443", "https://a.example.com",
        "https://a.b.example.com:443", "http://localhost:80",
    ] {
        assert_eq!(status(&server, &[origin]), 101, "{origin}");
    }
    let strangers = [
        "https://game.example", "http://game.example:8443", "https://example.com", "https://evilexample.com",
        "https://example.com.evil", "https://a.example.com.evil", "https://a.example.com:8443", "null", "",
    ];
    for origin in strangers {
        let response = handshake(&server, &[origin]);
        assert_eq!(response.status, 403, "{origin}");
        assert_eq!(response.text(), "pages of this origin may not play here\n", "{origin}");
    }
    assert_eq!(status(&server, &["https://game.example:8443", "https://evil.example"]), 403);
    assert_eq!(status(&server, &["https://game.example:8443, https://evil.example"]), 403);
    assert_eq!(refused(&server, "origin_not_allowed"), strangers.len() as u64);
    assert_eq!(refused(&server, "origin_repeated"), 2);
    assert_eq!(server.count("players"), 0, "all players have left");
}

#[test]
fn a_missing_origin_is_allowed_unless_one_is_required() {
    let listed = Settings::new().set("ALLOWED_ORIGINS", "https://game.example");
    let server = listed.clone().start();
    let _native = Client::join(&server);
    let strict = listed.set("REQUIRE_ORIGIN", true).start();
    let response = handshake(&strict, &[]);
    assert_eq!((response.status, response.text()), (403, "an Origin header is required here\n"));
    assert_eq!(status(&strict, &["https://game.example"]), 101);
    assert_eq!(refused(&strict, "origin_missing"), 1);
    let any = Settings::new().set("REQUIRE_ORIGIN", true).start();
    assert_eq!((status(&any, &[]), status(&any, &["https://anything.example"])), (403, 101));
}

#[test]
fn file_origins_must_be_listed() {
    let server = Settings::new().set("ALLOWED_ORIGINS", "file://,https://game.example").start();
    for (origin, expected) in
        [("file://", 101), ("https://game.example", 101), ("null", 403), ("file:///", 403), ("file://a", 403)]
    {
        assert_eq!(status(&server, &[origin]), expected, "{origin}");
    }
    let strict = Settings::new().set("ALLOWED_ORIGINS", "https://game.example,null").start();
    assert_eq!((status(&strict, &["file://"]), status(&strict, &["null"])), (403, 101));
}

#[test]
fn a_refused_origin_may_still_use_plain_http() {
    let server = Settings::new().set("ALLOWED_ORIGINS", "https://game.example").start();
    assert_eq!(status(&server, &["https://evil.example"]), 403);
    for path in ["/", "/health"] {
        assert_eq!(get_with(server.address(), path, &["Origin: https://evil.example"]).status, 200, "{path}");
    }
}
