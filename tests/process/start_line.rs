//! The last line of a start: the addresses that a browser on this machine can open, as text and as JSON.

use std::fs;

use serde_json::Value;

use crate::support::http::get;
use crate::support::{Server, Settings, folder};

/// The last line of a start. Nothing follows it while no client connects.
fn line(server: &Server) -> String {
    server.log().lines().last().expect("a line").to_owned()
}

/// The names and URLs in a line of text.
fn pages(line: &str) -> Vec<(String, String)> {
    let (_, list) = line.split_once(", ").unwrap_or_default();
    let pages = list.split(", ").filter_map(|page| page.split_once(" at "));
    pages.map(|(name, url)| (name.to_owned(), url.to_owned())).collect()
}

/// Asserts that each URL is served, and returns their names and paths.
fn served(pages: &[(String, String)]) -> Vec<String> {
    let served = pages.iter().map(|(name, url)| {
        let (address, path) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
        let path = format!("/{path}");
        assert_eq!(get(address.parse().expect("an address"), &path).status, 200, "{url}");
        format!("{name} {path}")
    });
    served.collect()
}

const PLAY: &str = "play /play";
const OPERATORS: [&str; 2] = ["dashboard /dashboard", "metrics /metrics"];

#[test]
fn the_start_ends_with_the_addresses_that_are_served() {
    let server = Settings::new().set("HOST", "0.0.0.0").start();
    let last = line(&server);
    let port = server.address().port();
    assert!(
        last.contains(&format!(" listening on http://0.0.0.0:{port}, play at http://127.0.0.1:{port}/play"))
    );
    assert_eq!(served(&pages(&last)), [&[PLAY][..], &OPERATORS].concat(), "{last}");

    let admin = Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start();
    let last = line(&admin);
    assert_eq!(served(&pages(&last)), [&[PLAY][..], &OPERATORS].concat(), "{last}");
    assert!(!last.contains(&format!("{}/metrics", admin.address())), "{last}");
}

#[test]
fn the_game_is_named_if_the_files_have_a_front_page() {
    let site = folder("start-line");
    let settings = || Settings::new().set("STATIC_DIR", site.to_str().expect("UTF-8"));
    fs::write(site.join("other.html"), "other").expect("a file");
    let last = line(&settings().start());
    assert_eq!(pages(&last)[0].0, "play", "{last}");
    fs::write(site.join("index.html"), "game").expect("a file");
    let server = settings().start();
    let last = line(&server);
    assert_eq!(served(&pages(&last)), [&["game /", PLAY][..], &OPERATORS].concat(), "{last}");
}

#[test]
fn json_has_the_addresses_as_fields_as_well() {
    let server = Settings::new().set("LOG_FORMAT", "json").start();
    let record: Value = serde_json::from_str(&line(&server)).expect("JSON");
    let message = record["message"].as_str().expect("a text");
    let pages = pages(message);
    assert_eq!(pages.len(), 3, "{message}");
    for (name, url) in pages {
        assert_eq!(record[&name], url, "{record}");
    }
}

#[test]
fn a_process_of_a_shared_port_gives_its_name() {
    let server = Settings::new()
        .set("REUSE_PORT", "true")
        .set("CLUSTER_URL", "redis://127.0.0.1:1")
        .set("NODE_NAME", "west-1")
        .set("PORT", crate::support::free_port())
        .start();
    let line = format!(" listening on http://{} as west-1, play at http://", server.address());
    assert!(server.log().contains(&line), "{}", server.log());
}
