//! The tokens of handshakes: where they may be, and which are refused.

use serde_json::json;

use super::login::{Login, base64, cookie, now_s, sign, token, token_of_pair};
use crate::support::http::get;
use crate::support::raw::{Raw, UPGRADE, upgrade_with, upgrade_with_cookie};
use crate::support::{Client, Server, Settings};

fn refusals(server: &Server, reason: &str) -> u64 {
    let metrics = server.metrics();
    metrics["refused"][reason].as_u64().unwrap_or_else(|| panic!("no {reason} in {metrics}"))
}

fn upgrade_at(target: &str) -> String {
    UPGRADE.replacen("/ws", target, 1)
}

#[test]
fn a_token_may_be_in_a_cookie_a_header_or_the_query() {
    let login = Login::new("auth-places");
    let server = login.settings().set("AUTH_SESSIONS_PER_SUB", 9).start();
    for request in [
        upgrade_with_cookie(&cookie("anna")),
        upgrade_with_cookie(&format!("theme=dark; {}; pixi_resume_80=x", cookie("anna"))),
        upgrade_with(&["Cookie: theme=dark", &format!("Cookie: {}", cookie("anna"))]),
        upgrade_with(&[&format!("Authorization: Bearer {}", token("anna"))]),
        upgrade_with(&["Authorization: Basic YTpi", &format!("Cookie: {}", cookie("anna"))][1..]),
        upgrade_at(&format!("/ws?token={}", token("anna"))),
        upgrade_at(&format!("/ws?room=1&token={}", token_of_pair("anna"))),
    ] {
        let response = Raw::exchange(server.address(), &request);
        assert_eq!(response.status, 101, "{request}: {response:?}");
    }
    server.wait_for_log("joined: account anna");
    for path in ["/health", "/play", "/metrics"] {
        assert_eq!(get(server.address(), path).status, 200, "{path} needs no token");
    }
    assert_no_token_in(&server.log());
}

/// No token and no part of one is in the log.
fn assert_no_token_in(log: &str) {
    for part in token("anna").split('.').chain(["eyJ", "token="]) {
        assert!(!log.contains(part), "{log}");
    }
}

#[test]
fn hostile_tokens_get_401_and_are_counted_by_reason() {
    let login = Login::new("auth-hostile");
    let server = login.settings().set("AUTH_AUDIENCE", "game").set("AUTH_LEEWAY_SEC", 5).start();
    let header = json!({ "alg": "HS256", "kid": "secret" });
    let exp = now_s() + 600;
    let claims = json!({ "sub": "anna", "exp": exp, "aud": "game" });
    let valid = sign(&header, &claims);
    let of = |claims| sign(&header, &claims);
    let cut = &valid[..valid.len() - 1];
    let cases = [
        ("auth_header", sign(&json!({ "alg": "none" }), &claims)),
        ("auth_header", sign(&json!({ "alg": "HS512", "kid": "secret" }), &claims)),
        ("auth_header", sign(&json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), &claims)),
        ("auth_key", sign(&json!({ "alg": "HS256", "kid": "pair" }), &claims)),
        ("auth_key", sign(&json!({ "alg": "ES256", "kid": "secret" }), &claims)),
        ("auth_key", sign(&json!({ "alg": "HS256", "kid": "retired" }), &claims)),
        ("auth_signature", valid.clone() + "A"),
        ("auth_signature", cut.to_owned()),
        ("auth_expired", of(json!({ "sub": "anna", "exp": now_s() - 6, "aud": "game" }))),
        ("auth_expired", of(json!({ "sub": "anna", "aud": "game" }))),
        ("auth_not_yet_valid", of(json!({ "sub": "anna", "exp": exp, "nbf": now_s() + 60, "aud": "game" }))),
        ("auth_audience", of(json!({ "sub": "anna", "exp": exp, "aud": ["site"] }))),
        ("auth_audience", of(json!({ "sub": "anna", "exp": exp }))),
        ("auth_subject", of(json!({ "sub": "", "exp": exp, "aud": "game" }))),
        ("auth_subject", of(json!({ "exp": exp, "aud": "game" }))),
        ("auth_malformed", of(json!({ "sub": 7, "exp": exp, "aud": "game" }))),
        ("auth_malformed", valid.replacen('.', "", 1)),
        ("auth_malformed", format!("{}.{}", base64("{}"), "x")),
        ("auth_too_long", of(json!({ "sub": "anna", "exp": exp, "aud": "game", "x": "y".repeat(6_000) }))),
    ];
    for (reason, token) in &cases {
        let before = refusals(&server, reason);
        let response = Raw::exchange(server.address(), upgrade_with_cookie(&format!("pixi_auth={token}")));
        assert_eq!(response.status, 401, "{reason}: {token}");
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        assert_eq!(response.text(), "a valid token is required\n", "the client learns no reason");
        assert_eq!(refusals(&server, reason), before + 1, "{reason}: {token}");
    }
    let two = format!("pixi_auth={valid}; pixi_auth={valid}");
    let many = format!("pixi_auth={valid}; ").repeat(12_000 / valid.len());
    let bearer = format!("Authorization: Bearer {valid}");
    for (reason, request) in [
        ("auth_missing", UPGRADE.as_bytes().to_vec()),
        ("auth_missing", upgrade_with_cookie(&format!("other={valid}")).into_bytes()),
        ("auth_missing", upgrade_with_cookie("pixi_auth=").into_bytes()),
        ("auth_repeated", upgrade_with_cookie(&two).into_bytes()),
        ("auth_repeated", upgrade_with_cookie(&many).into_bytes()),
        ("auth_repeated", upgrade_at(&format!("/ws?token={valid}&token={valid}")).into_bytes()),
        ("auth_malformed", upgrade_with(&[&bearer, &bearer]).into_bytes()),
        ("auth_malformed", with_byte_ff(&upgrade_with_cookie(&format!("pixi_auth={valid}~")))),
        ("auth_malformed", with_byte_ff(&upgrade_with(&[&format!("{bearer}~")]))),
        ("auth_malformed", upgrade_at(&format!("/ws?token=%2e{valid}")).into_bytes()),
    ] {
        let before = refusals(&server, reason);
        assert_eq!(Raw::exchange(server.address(), &request).status, 401, "{reason}");
        assert_eq!(refusals(&server, reason), before + 1, "{reason}: {}", String::from_utf8_lossy(&request));
    }
    assert_eq!(server.count("players"), 0);
    for reason in ["the token is malformed", "exp has passed, or is missing", "no token"] {
        server.wait_for_log(&format!("[DEBUG] handshake refused: {reason}"));
    }
    assert_no_token_in(&server.log());
    let valid = upgrade_with_cookie(&format!("pixi_auth={valid}"));
    assert_eq!(Raw::exchange(server.address(), valid).status, 101);
}

/// Replaces the only tilde by a byte that is not UTF-8.
fn with_byte_ff(request: &str) -> Vec<u8> {
    request.bytes().map(|byte| if byte == b'~' { 0xff } else { byte }).collect()
}

#[test]
fn without_authentication_tokens_are_ignored() {
    let server = Settings::new().start();
    for request in [
        upgrade_with_cookie("pixi_auth=x"),
        upgrade_with(&["Authorization: Bearer x"]),
        upgrade_at("/ws?token=x"),
    ] {
        assert_eq!(Raw::exchange(server.address(), request).status, 101);
    }
    let strange = with_byte_ff(&upgrade_with(&["Authorization: Bearer ~"]));
    assert_eq!(Raw::exchange(server.address(), strange).status, 101);
    assert_eq!(Client::join(&server).position().0.signum(), 1);
}

#[test]
fn signatures_are_checked_within_the_rate_of_new_players() {
    const BURST: u64 = 10;
    let login = Login::new("auth-flood");
    let settings = login.settings().set("IP_CONN_RATE", 1).set("IP_CONN_BURST", BURST);
    let server = settings.start();
    let token = token_of_pair("anna");
    let (message, _) = token.rsplit_once('.').expect("three parts");
    let forged = upgrade_with_cookie(&format!("pixi_auth={message}.{}", base64([1; 64])));
    let statuses: Vec<u16> = (0..100).map(|_| Raw::exchange(server.address(), &forged).status).collect();
    let checked = refusals(&server, "auth_signature");
    assert_eq!(statuses.iter().filter(|&&status| status == 401).count() as u64, checked);
    assert!((BURST..BURST + 20).contains(&checked), "{checked} signatures were verified");
    assert_eq!(refusals(&server, "address_rate"), 100 - checked);
    for _ in 0..100 {
        assert_eq!(Raw::exchange(server.address(), UPGRADE).status, 401, "needs no permit of the rate");
    }
}
