//! Request heads: complete, split, pipelined and damaged. `tests/http/smuggling.rs` has the hostile ones.

use proptest::prelude::*;

use super::*;

pub(super) fn request(head: &str) -> Request {
    match parse_request(head.as_bytes()) {
        Ok(Parsed::Complete { request, consumed }) if consumed == head.len() => request,
        other => panic!("{head:?} gave {other:?}"),
    }
}

fn refused_head(head: &str) -> u16 {
    parse_request(head.as_bytes()).expect_err(head).status().code()
}

#[test]
fn the_port_is_that_of_the_host_or_the_default_of_the_scheme() {
    for (host, plain, secure) in [
        ("game.example:8108", 8108, 8108),
        ("game.example", 80, 443),
        ("game.example:", 80, 443),
        ("game.example:65535", 65_535, 65_535),
        ("game.example:0443", 443, 443),
        ("127.0.0.1:8109", 8109, 8109),
        ("[::1]:8108", 8108, 8108),
        ("[::1]", 80, 443),
        ("::1", 80, 443),
        ("game.example:0", 80, 443),
        ("game.example:65536", 80, 443),
        ("game.example:+80", 80, 443),
        ("game.example:8108:1", 80, 443),
    ] {
        let request = request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!((request.port(false), request.port(true)), (Some(plain), Some(secure)), "{host}");
    }
    for head in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n"] {
        assert_eq!(request(head).port(false), None, "{head}");
    }
    let absolute = request("GET http://a:81?x HTTP/1.1\r\nHost: b:82\r\n\r\n");
    assert_eq!(absolute.port(false), Some(81), "the target wins over the field");
}

#[test]
fn reads_target_and_headers() {
    let got = request(
        "\r\nGET /a%20b?c=d?e HTTP/1.1\r\nhost:a\r\nACCEPT: text/plain \r\nAccept: */*\r\n\
         If-None-Match: \"1\"\r\n\r\n",
    );
    assert_eq!((got.method, got.path.as_str()), (Method::Get, "/a%20b"));
    assert_eq!(got.query.as_deref(), Some("c=d?e"));
    assert_eq!(got.accept.as_deref(), Some("text/plain,*/*"));
    assert_eq!(got.preconditions.if_none_match.as_deref(), Some("\"1\""));
}

#[test]
fn accepts_absolute_targets() {
    for (target, path) in
        [("http://a/b", "/b"), ("HTTPS://a:1", "/"), ("http://a?q", "/"), ("/http://a", "/http://a")]
    {
        assert_eq!(request(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).path, path);
    }
    for target in ["http:///b", "http://?q", "ftp://a/b", "*", "b", "a:1", "/#top"] {
        assert_eq!(refused_head(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), 400, "{target}");
    }
    assert_eq!(request("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").method, Method::Other);
}

#[test]
fn raw_utf_8_in_a_target_is_percent_encoded() {
    let got = request("GET /d\u{e9}j\u{e0}%20vu?q=\u{1f600}&r=%C3%A9 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((&*got.path, got.query.as_deref()), ("/d%C3%A9j%C3%A0%20vu", Some("q=%F0%9F%98%80&r=%C3%A9")));
    assert_eq!(request("GET http://b/\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n").path, "/%C3%BC");
    for broken in [&b"\xe9"[..], b"\xc3", b"\xc3\x28", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"?\xff"] {
        let head = [&b"GET /"[..], broken, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert!(matches!(parse_request(&head), Err(HttpError::Malformed(_))), "{broken:x?}");
    }
}

#[test]
fn options_accepts_the_asterisk_form() {
    let whole = request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((whole.method, &*whole.path, whole.keep_alive), (Method::Options, "*", true));
    assert_eq!(request("OPTIONS /a?b HTTP/1.1\r\nHost: a\r\n\r\n").path, "/a");
    for target in ["*?", "*/", "**", "a"] {
        assert_eq!(refused_head(&format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n")), 400, "{target}");
    }
    assert_eq!(refused_head("OPTIONS / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"), 413);
}

#[test]
fn keep_alive_follows_the_version_and_the_connection_header() {
    for (version, connection, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: foo , Close\r\n", false),
        ("1.1", "Connection: foo\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = format!("HEAD / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
        assert_eq!(request(&head).keep_alive, keep_alive, "{head}");
    }
}

#[test]
fn keep_alive_is_off_where_a_proxy_could_expect_another_protocol() {
    for (start, field) in [
        ("POST /", ""),
        ("CONNECT a:1", ""),
        ("GET /", "Upgrade: websocket\r\nConnection: upgrade, keep-alive\r\n"),
        ("GET /", "Upgrade: h2c\r\n"),
    ] {
        assert!(
            !request(&format!("{start} HTTP/1.1\r\nHost: a\r\n{field}\r\n")).keep_alive,
            "{start} {field}"
        );
    }
}

/// A valid head in an unusual form.
fn valid_head() -> impl Strategy<Value = String> {
    let field = "[A-Za-z!#$%&'*+.^_`|~-]{1,9}:[ \t]{0,2}([!-~]([ -~]{0,20}[!-~])?)?[ \t]{0,2}\r\n"
        .prop_filter("a field that the server reads", |line| {
            !["host", "connection", "upgrade", "accept"]
                .iter()
                .any(|name| line.to_lowercase().starts_with(name))
        });
    let fields = prop::collection::vec(field, 0..8);
    ("(\r\n)?(GET|HEAD|POST|BREW)", "/[!-\"$->@-~]{0,20}(\\?[!-\"$-~]{0,9})?", fields).prop_map(
        |(method, target, fields)| {
            format!("{method} {target} HTTP/1.1\r\nHost: game.example\r\n{}\r\n", fields.concat())
        },
    )
}

proptest! {
    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_request(&bytes);
    }

    #[test]
    fn never_panics_on_damaged_heads(
        head in valid_head(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)
    ) {
        let mut bytes = head.into_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(Parsed::Complete { request, consumed }) = parse_request(&bytes) {
            prop_assert!(consumed <= bytes.len());
            let _ = upgrade(&request);
        }
    }

    #[test]
    fn every_proper_prefix_of_a_head_is_incomplete(head in valid_head()) {
        for end in 0..head.len() {
            prop_assert_eq!(parse_request(&head.as_bytes()[..end]), Ok(Parsed::Incomplete));
        }
        request(&head);
    }

    #[test]
    fn pipelined_heads_take_exactly_their_bytes(heads in prop::collection::vec(valid_head(), 1..5)) {
        let all = heads.concat();
        let mut rest = all.as_bytes();
        for head in &heads {
            let Ok(Parsed::Complete { request, consumed }) = parse_request(rest) else {
                panic!("{head:?} is not accepted");
            };
            prop_assert_eq!(consumed, head.len());
            prop_assert_eq!(Ok(Parsed::Complete { request, consumed }), parse_request(head.as_bytes()));
            rest = &rest[consumed..];
        }
        prop_assert!(rest.is_empty());
    }
}
