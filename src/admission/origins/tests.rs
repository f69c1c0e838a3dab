//! Parsing of lists, checks of origins, and properties that hold for every list.

use proptest::prelude::*;

use super::*;

fn allows(list: &str, origin: &str) -> bool {
    AllowedOrigins::parse(list).expect(list).check(Some(origin), false).is_ok()
}

#[test]
fn an_exact_origin_matches_in_scheme_host_and_port() {
    let list = "https://game.example:8443, http://localhost,https://[::1]:9000";
    for origin in [
        "https://game.example:8443", "HTTPS://Game.EXAMPLE:8443", "http://localhost", "http://localhost:80",
        "https://[::1]:9000",
    ] {
        assert!(allows(list, origin), "{origin}");
    }
    for origin in [
        "http://game.example:8443",
        "https://game.example",
        "https://game.example:84430",
        "https://game.example:8443/",
        "https://game.example:8443.evil",
        "https://user@game.example:8443",
        "https://game.example.:8443",
        "https://game.example:8443 ",
        "http://localhost:8080",
        "http://localhost:",
        "http://localhost:+80",
        "http://[::1]",
        "null",
        "",
        "game.example:8443",
        "://game.example:8443",
    ] {
        assert!(!allows(list, origin), "{origin}");
    }
}

#[test]
fn a_default_port_equals_no_port() {
    for (with, without) in
        [("https://a:443", "https://a"), ("http://a:80", "http://a"), ("ws://a:80", "ws://a")]
    {
        assert!(allows(with, without) && allows(without, with), "{with}");
    }
    assert!(!allows("http://a:443", "http://a"));
    assert!(!allows("capacitor://localhost", "capacitor://localhost:80"), "the scheme has no default port");
    assert!(allows("capacitor://localhost", "capacitor://localhost"));
}

#[test]
fn a_wildcard_matches_only_subdomains_at_any_depth() {
    let list = "https://*.example.com";
    for origin in ["https://a.example.com", "https://a.b.example.com", "https://A.Example.Com:443"] {
        assert!(allows(list, origin), "{origin}");
    }
    for origin in [
        "https://example.com",
        "https://evilexample.com",
        "https://example.com.evil",
        "https://a.example.com.evil",
        "https://.example.com",
        "https://a..example.com",
        "https://*.example.com",
        "http://a.example.com",
        "https://a.example.com:8443",
        "https://a.example.com@evil.example",
        "https://evil.example/https://a.example.com",
        "null",
    ] {
        assert!(!allows(list, origin), "{origin}");
    }
    assert!(allows("https://*.example.com:8443", "https://a.example.com:8443"));
    assert!(allows("https://*.example.com,https://example.com", "https://example.com"));
}

#[test]
fn null_must_be_listed() {
    assert!(allows("null", "null") && allows("https://a,null", "null") && allows("*", "null"));
    assert!(!allows("https://a", "null") && !allows("https://null", "null"));
    assert!(!allows("null", "NULL"), "browsers send lower case");
}

#[test]
fn local_files_must_be_listed() {
    assert!(
        allows("file://", "file://") && allows("https://a, file://", "file://") && allows("*", "file://")
    );
    for list in ["https://a", "null", "https://*.example.com"] {
        assert!(!allows(list, "file://"), "{list}");
    }
    for origin in ["null", "file:///", "file://a", "file:", "FILE://", "file:///home/me/page.html"] {
        assert!(!allows("file://", origin), "{origin}");
    }
}

#[test]
fn a_missing_origin_is_refused_only_if_required() {
    for list in ["*", "https://a", "null"] {
        let list = AllowedOrigins::parse(list).unwrap();
        assert_eq!(list.check(None, false), Ok(()));
        assert_eq!(list.check(None, true), Err(Refusal::Missing));
    }
    assert_eq!(AllowedOrigins::All.check(Some("https://a"), true), Ok(()));
}

#[test]
fn several_origins_are_refused_even_if_all_are_allowed() {
    for list in ["*", "https://a,https://b"] {
        let list = AllowedOrigins::parse(list).unwrap();
        assert_eq!(list.check(Some("https://a,https://b"), false), Err(Refusal::Repeated));
        assert_eq!(list.check(Some(","), false), Err(Refusal::Repeated));
    }
}

#[test]
fn rejects_malformed_lists() {
    for list in [
        "", " ", "example.com", "*.example.com", "https://", "file:", "file:///", "file://*.",
        "file:///home/me/page.html", "https://a/", "https://a/path", "https://a,", "https://a;https://b",
        "https://a https://b", "https://*", "https://*.", "https://*.*.example.com",
        "https://a.*.example.com", "https://*.[::1]", "https://a:0x50", "https://a:65536",
        "https://b\u{fc}cher.example", "*,https://a", "NULL", "1http://a", "https://[::1", "https://::1",
    ] {
        assert_eq!(AllowedOrigins::parse(list), None, "{list}");
    }
}

#[test]
fn the_displayed_value_is_normalized() {
    let list = AllowedOrigins::parse(" HTTPS://*.Example.com:443 , null,file:// ,http://a:81").unwrap();
    assert_eq!(list.to_string(), "https://*.example.com,null,file://,http://a:81");
    assert_eq!(AllowedOrigins::parse("*").unwrap().to_string(), "*");
}

fn host() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9-]{0,6}(\\.[a-z0-9]{1,5}){0,3}"
}

fn pattern() -> impl Strategy<Value = String> {
    let port = prop_oneof![Just(String::new()), (0u16..).prop_map(|port| format!(":{port}"))];
    let written = ("(http|https|app)", "(\\*\\.)?", host(), port)
        .prop_map(|(scheme, wildcard, host, port)| format!("{scheme}://{wildcard}{host}{port}"));
    prop_oneof![9 => written, 1 => Just("null".to_owned())]
}

proptest! {
    #[test]
    fn the_displayed_value_parses_to_the_same_list(patterns in proptest::collection::vec(pattern(), 1..4)) {
        let list = AllowedOrigins::parse(&patterns.join(",")).unwrap();
        prop_assert_eq!(AllowedOrigins::parse(&list.to_string()), Some(list));
    }

    #[test]
    fn an_exact_pattern_matches_in_any_case(host in host(), port in 1u16..) {
        let origin = format!("https://{host}:{port}");
        prop_assert!(allows(&origin, &origin) && allows(&origin, &origin.to_ascii_uppercase()));
        prop_assert!(allows(&origin.to_ascii_uppercase(), &origin));
    }

    #[test]
    fn a_wildcard_matches_only_subdomains_of_its_domain(parent in host(), label in "[a-z0-9]{1,9}", other in host()) {
        let list = format!("https://*.{parent}");
        let is_allowed = |host: &str| allows(&list, &format!("https://{host}"));
        let below = format!(".{parent}");
        prop_assert!(is_allowed(&[&label, below.as_str()].concat()));
        prop_assert!(!is_allowed(&parent), "the domain itself");
        let glued = [label.as_str(), &parent].concat();
        prop_assert_eq!(is_allowed(&glued), glued.ends_with(&below));
        let foreign = [&label, below.as_str(), ".", &other].concat();
        prop_assert_eq!(is_allowed(&foreign), foreign.ends_with(&below));
    }

    #[test]
    fn arbitrary_headers_neither_panic_nor_match(header in "\\PC{0,40}") {
        let exact = AllowedOrigins::parse("https://game.example").unwrap();
        let allowed = exact.check(Some(&header), false).is_ok();
        let normal = header.to_ascii_lowercase();
        prop_assert_eq!(allowed, normal == "https://game.example" || normal == "https://game.example:443");
    }
}
