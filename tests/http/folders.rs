//! Trailing slashes: a folder redirects to its address with one; built-in resources accept both forms.

use std::fs;
use std::net::SocketAddr;

use crate::support::http::{Response, get, get_with, request};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::{Server, Settings, folder};

/// A server with these static files. Each file contains its own path.
fn serve(name: &str, paths: &[&str], settings: Settings) -> Server {
    let site = folder(name);
    for path in paths {
        let file = site.join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, path).expect("a file");
    }
    settings.set("STATIC_DIR", site.to_str().expect("UTF-8")).start()
}

/// Path of the redirect that a browser follows for `path`.
fn target(path: &str, answer: &Response) -> String {
    assert_eq!(answer.status, 301, "{path}");
    let location = answer.header("location").expect("a location");
    let (folder, _) = path.split('?').next().unwrap_or_default().rsplit_once('/').expect("a path");
    if let Some(below) = location.strip_prefix("./") {
        return format!("{folder}/{below}");
    }
    let below = location.strip_prefix("../").unwrap_or_else(|| panic!("{location} is not relative"));
    format!("{}/{below}", folder.rsplit_once('/').expect("a folder").0)
}

fn upgrade_status(address: SocketAddr, path: &str) -> u16 {
    let mut raw = Raw::connect(address);
    raw.send(UPGRADE.replacen("GET /ws ", &format!("GET {path} "), 1).as_bytes());
    raw.head_response().status
}

#[test]
fn a_folder_redirects_to_its_address_with_a_slash() {
    let paths =
        ["docs/index.html", "docs/a b/index.html", "docs/c:d/index.html", "docs/é/index.html", "img/one.png"];
    let server = serve("folders", &paths, Settings::new());
    for (path, expected, file) in [
        ("/docs", "/docs/", paths[0]),
        ("/docs?v=1&w=/%2f", "/docs/?v=1&w=/%2f", paths[0]),
        ("/docs?", "/docs/?", paths[0]),
        ("/docs/a%20b", "/docs/a%20b/", paths[1]),
        ("/docs/c:d", "/docs/c:d/", paths[2]),
        ("/docs/%C3%A9", "/docs/%C3%A9/", paths[3]),
        ("/docs/é?ö", "/docs/%C3%A9/?%C3%B6", paths[3]),
        ("/%64ocs", "/%64ocs/", paths[0]),
    ] {
        let answer = get(server.address(), path);
        let target = target(path, &answer);
        assert_eq!(target, expected, "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
        assert_eq!(get(server.address(), &target).text(), file, "{target}");
        let head = request(server.address(), "HEAD", path, &[]);
        assert_eq!((head.status, head.header("location")), (301, answer.header("location")), "{path}");
    }
    for path in ["/img", "/img/", "/docs/index.html/", "/doc", "/docs//", "/nothing/"] {
        assert_eq!(get(server.address(), path).status, 404, "{path}");
    }
}

#[test]
fn no_redirect_leads_to_another_host() {
    let server = serve("redirects", &["index.html", "evil.example/index.html"], Settings::new());
    for path in [
        "//evil.example",
        "///evil.example",
        "/%2fevil.example",
        "//evil.example/%2e%2e",
        "/\\evil.example",
        "/%5cevil.example",
        "//evil.example//",
        "/evil.example",
        "/.//evil.example",
        "//evil.example/play/",
        "//play/",
        "/play/",
        "http://localhost/evil.example",
        "/evil.example?//evil.example",
    ] {
        let answer = get(server.address(), path);
        match answer.header("location") {
            // For every base URL, a reference that begins with a dot stays on its host.
            Some(location) => assert!(location.starts_with('.'), "{path}: {location}"),
            None => assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status),
        }
    }
    assert_eq!(get(server.address(), "/evil.example").header("location"), Some("./evil.example/"));
}

#[test]
fn built_in_resources_accept_a_trailing_slash() {
    let server = Server::start();
    let address = server.address();
    for path in ["/health", "/metrics", "/metrics/prometheus"] {
        let (bare, slashed) = (get(address, path), get(address, &format!("{path}/")));
        assert_eq!((bare.status, slashed.status), (200, 200), "{path}");
        assert_eq!(bare.header("content-type"), slashed.header("content-type"), "{path}");
    }
    for path in ["/play/", "/dashboard/", "/play/?bots=5"] {
        let target = target(path, &get(address, path));
        assert_eq!(target, path.replacen("/?", "?", 1).trim_end_matches('/'));
        assert!(get(address, &target).text().contains("<html"), "{target}");
    }
    assert_eq!(upgrade_status(address, "/ws/"), 101, "WebSocket clients follow no redirect");
    let refused = request(address, "POST", "/ws/", &[]);
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, OPTIONS")));
    for path in ["/health//", "//health/", "/playground/", "/ws/x/", "/metrics/x/"] {
        assert_eq!(get(address, path).status, 404, "{path}");
    }
}

#[test]
fn admin_resources_accept_a_trailing_slash_and_stay_separate() {
    let server = Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start();
    let (game, admin) = (server.address(), server.admin_address());
    for (path, status) in [("/metrics/", 200), ("/metrics/prometheus/", 200), ("/dashboard/", 301)] {
        assert_eq!((get(game, path).status, get(admin, path).status), (404, status), "{path}");
    }
    assert_eq!((get(game, "/health/").status, get(admin, "/health/").status), (200, 200));
    assert_eq!((get(admin, "/play/").status, upgrade_status(admin, "/ws/")), (404, 404));
}

#[test]
fn a_site_file_below_the_slash_comes_first() {
    let paths = ["play/index.html", "health/index.html", "health/more.txt", "ws"];
    let server = serve("precedence", &paths, Settings::new());
    let address = server.address();
    for path in ["/play/", "/health/"] {
        assert_eq!(get(address, path).text(), format!("{}index.html", &path[1..]), "{path}");
    }
    assert_eq!(get(address, "/health/more.txt").text(), "health/more.txt");
    assert!(get(address, "/play").text().contains("<canvas"), "the built-in page");
    assert_eq!(get_with(address, "/health", &[]).header("content-type"), Some("application/json"));
    assert_eq!((upgrade_status(address, "/ws"), upgrade_status(address, "/ws/")), (101, 101));
}
