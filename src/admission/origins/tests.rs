//! Lists read and refused, origins checked, and the laws that no list may break.

use proptest::prelude::*;

use super::*;

fn allows(list: &str, origin: &str) -> bool {
    AllowedOrigins::parse(list).expect(list).check(Some(origin), false).is_ok()
}

#[test]
fn an_exact_origin_matches_in_scheme_host_and_port() {
    let list = "https://game.example:8443, http://localhost,https://[::1]:9000";
    for origin in [
        "https://game.example:8443",
        "HTTPS://Game.EXAMPLE:8443",
        "http://localhost",
        "http://localhost:80",
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
fn default_ports_are_the_same_as_none() {
    for (with, without) in
        [("https://a:443", "https://a"), ("http://a:80", "http://a"), ("ws://a:80", "ws://a")]
    {
        assert!(allows(with, without) && allows(without, with), "{with}");
    }
    assert!(!allows("http://a:443", "http://a"));
    assert!(!allows("capacitor://localhost", "capacitor://localhost:80"), "no default is known");
    assert!(allows("capacitor://localhost", "capacitor://localhost"));
}

#[test]
fn a_wildcard_stands_for_subdomains_at_any_depth_and_nothing_else() {
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
    assert!(!allows("null", "NULL"), "browsers write it in lower case");
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
fn a_missing_origin_is_refused_only_where_one_is_required() {
    for list in ["*", "https://a", "null"] {
        let list = AllowedOrigins::parse(list).unwrap();
        assert_eq!(list.check(None, false), Ok(()));
        assert_eq!(list.check(None, true), Err(Refusal::Missing));
    }
    assert_eq!(AllowedOrigins::All.check(Some("https://a"), true), Ok(()));
}

#[test]
fn several_origins_are_refused_even_where_all_are_allowed() {
    for list in ["*", "https://a,https://b"] {
        let list = AllowedOrigins::parse(list).unwrap();
        assert_eq!(list.check(Some("https://a,https://b"), false), Err(Refusal::Repeated));
        assert_eq!(list.check(Some(","), false), Err(Refusal::Repeated));
    }
}

#[test]
fn what_is_no_list_of_origins_is_refused() {
    for list in [
        "",
        " ",
        "example.com",
        "*.example.com",
        "https://",
        "file:",
        "file:///",
        "file://*.",
        "file:///home/me/page.html",
        "https://a/",
        "https://a/path",
        "https://a,",
        "https://a;https://b",
        "https://a https://b",
        "https://*",
        "https://*.",
        "https://*.*.example.com",
        "https://a.*.example.com",
        "https://*.[::1]",
        "https://a:0x50",
        "https://a:65536",
        "https://b\u{fc}cher.example",
        "*,https://a",
        "NULL",
        "1http://a",
        "https://[::1",
        "https://::1",
    ] {
        assert_eq!(AllowedOrigins::parse(list), None, "{list}");
    }
}

#[test]
fn the_value_shown_is_normalised() {
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
    fn the_value_shown_means_the_same(patterns in proptest::collection::vec(pattern(), 1..4)) {
        let list = AllowedOrigins::parse(&patterns.join(",")).unwrap();
        prop_assert_eq!(AllowedOrigins::parse(&list.to_string()), Some(list));
    }

    #[test]
    fn what_is_listed_exactly_matches_in_any_case(host in host(), port in 1u16..) {
        let origin = format!("https://{host}:{port}");
        prop_assert!(allows(&origin, &origin) && allows(&origin, &origin.to_ascii_uppercase()));
        prop_assert!(allows(&origin.to_ascii_uppercase(), &origin));
    }

    #[test]
    fn a_wildcard_matches_whoever_owns_the_domain(parent in host(), label in "[a-z0-9]{1,9}", other in host()) {
        let list = format!("https://*.{parent}");
        let is_allowed = |host: &str| allows(&list, &format!("https://{host}"));
        let below = format!(".{parent}");
        prop_assert!(is_allowed(&[&label, below.as_str()].concat()));
        prop_assert!(!is_allowed(&parent), "itself");
        let glued = [label.as_str(), &parent].concat();
        prop_assert_eq!(is_allowed(&glued), glued.ends_with(&below));
        let foreign = [&label, below.as_str(), ".", &other].concat();
        prop_assert_eq!(is_allowed(&foreign), foreign.ends_with(&below));
    }

    #[test]
    fn nothing_in_a_header_panics_or_slips_through(header in "\\PC{0,40}") {
        let exact = AllowedOrigins::parse("https://game.example").unwrap();
        let allowed = exact.check(Some(&header), false).is_ok();
        let normal = header.to_ascii_lowercase();
        prop_assert_eq!(allowed, normal == "https://game.example" || normal == "https://game.example:443");
    }
}
