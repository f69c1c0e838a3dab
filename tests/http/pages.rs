//! The built-in pages: their addresses, their security policy, and the precedence of site files.

use std::fs;
use std::net::SocketAddr;

use crate::support::http::{Response, get, get_with, request};
use crate::support::{Server, Settings, folder};

/// Paths of the scripts and style sheets of a page, which the page names relative to its own path.
fn files_of(page: &Response) -> Vec<String> {
    let text = page.text();
    let named = |before: &str| {
        let rests = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
        rests.map(|name| format!("/{name}")).collect::<Vec<_>>()
    };
    let files = [named("src=\""), named("rel=\"stylesheet\" href=\"")].concat();
    assert_eq!(files.len(), 2, "{text}");
    files
}

fn page(address: SocketAddr, path: &str) -> Response {
    let page = get(address, path);
    assert_eq!(page.status, 200, "{path}");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
    page
}

#[test]
fn the_root_serves_the_game() {
    let server = Server::start();
    let front = page(server.address(), "/");
    for path in ["/index.html", "/play"] {
        assert_eq!(front.text(), page(server.address(), path).text(), "{path}");
    }
    assert!(front.text().contains("<canvas"));
    assert!(page(server.address(), "/play?bots=50").text().contains("<canvas"));
    assert!(page(server.address(), "/dashboard").text().contains("<h1>pixi-game-server</h1>"));
}

#[test]
fn pages_may_only_run_their_own_scripts() {
    let server = Server::start();
    for path in ["/", "/play", "/dashboard"] {
        let page = page(server.address(), path);
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("cache-control"), Some("no-cache"));
    }
}

#[test]
fn page_files_are_immutable_and_pages_are_revalidated() {
    let server = Server::start();
    for path in ["/play", "/dashboard"] {
        let page = page(server.address(), path);
        for file in files_of(&page) {
            assert!(file.starts_with(&format!("{path}/")), "{file}");
            let answer = get(server.address(), &file);
            assert_eq!(answer.status, 200, "{file}");
            let types = ["text/javascript; charset=utf-8", "text/css; charset=utf-8"];
            assert!(types.contains(&answer.header("content-type").expect("a type")), "{file}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
        }
        let tag = page.header("etag").expect("a tag");
        let again = get_with(server.address(), path, &[&format!("If-None-Match: {tag}")]);
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
    assert_eq!(get(server.address(), "/play/play.js").status, 404, "the path lacks the version folder");
}

fn rules(server: &Server) -> Response {
    let answer = get(server.address(), "/play/rules.json");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    answer
}

#[test]
fn the_rules_of_the_world_are_those_of_the_settings() {
    let server = Server::start();
    let usual = rules(&server);
    let expected = r#"{"world_width":2000,"world_height":2000,"player_speed":4,"steps_per_s":24,"attack_duration_ms":1000}"#;
    assert_eq!(usual.text(), expected);

    let folder = folder("rules");
    fs::create_dir(folder.join("play")).expect("a folder");
    fs::write(folder.join("play/rules.json"), "the operator's").expect("written");
    let other = Settings::new()
        .set("WORLD_WIDTH", 4000)
        .set("WORLD_HEIGHT", 65_535)
        .set("PLAYER_SPEED", "5.333")
        .set("ATTACK_DURATION_MS", 700)
        .set("STATIC_DIR", folder.to_str().expect("UTF-8"))
        .start();
    let expected = r#"{"world_width":4000,"world_height":65535,"player_speed":5.333,"steps_per_s":24,"attack_duration_ms":700}"#;
    assert_eq!(rules(&other).text(), expected, "the game page stays at /play, and its rules do");

    // A restart with other settings must leave no stale rules in a browser or proxy.
    assert_eq!(usual.header("cache-control"), Some("no-cache"));
    let tag = format!("If-None-Match: {}", usual.header("etag").expect("a tag"));
    assert_eq!(get_with(server.address(), "/play/rules.json", &[&tag]).status, 304);
    assert_eq!(get_with(other.address(), "/play/rules.json", &[&tag]).status, 200);
}

#[test]
fn the_rules_are_served_like_the_other_page_files() {
    let server = Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start();
    let (game, path) = (server.address(), "/play/rules.json");
    let head = request(game, "HEAD", path, &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), rules(&server).header("content-length"));
    assert_eq!(head.header("x-content-type-options"), Some("nosniff"));
    assert!(
        head.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    assert_eq!(request(game, "POST", path, &[]).status, 405);
    let moved = get(game, "/play/rules.json/");
    assert_eq!((moved.status, moved.header("location")), (301, Some("../rules.json")));
    assert_eq!(get(server.admin_address(), path).status, 404, "the admin listener has no game");
}

#[test]
fn site_files_come_first_and_have_no_policy() {
    let folder = folder("front");
    fs::write(folder.join("index.html"), "the operator's").expect("written");
    let server = Settings::new().set("STATIC_DIR", folder.to_str().expect("UTF-8")).start();
    let front = page(server.address(), "/");
    assert_eq!(front.text(), "the operator's");
    assert_eq!(front.header("content-security-policy"), None);
    assert!(page(server.address(), "/play").text().contains("<canvas"), "the game page stays at /play");
}

#[test]
fn the_dashboard_moves_to_the_admin_listener() {
    let server = Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start();
    let (game, admin) = (server.address(), server.admin_address());
    let dashboard = page(admin, "/dashboard");
    for path in [vec!["/dashboard".to_owned()], files_of(&dashboard)].concat() {
        assert_eq!((get(game, &path).status, get(admin, &path).status), (404, 200), "{path}");
    }
    assert!(
        !page(game, "/play").text().contains("Dashboard"),
        "the game page must not link to the dashboard"
    );
    assert_eq!(get(admin, "/play").status, 404);
}
