//! `OPTIONS`: the methods of a resource, of a missing one, and of the whole server.

use crate::support::http::{request, request_text};
use crate::support::raw::{Raw, UPGRADE};
use crate::support::server::sum;
use crate::support::{Server, Settings, folder};

const ALL: &str = "GET, HEAD, OPTIONS";

/// Status and `Allow` header of a path.
fn options(address: std::net::SocketAddr, path: &str) -> (u16, Option<String>) {
    // The response has no body and no length, so the next response follows it directly.
    let mut raw = Raw::connect(address);
    let end = request_text("GET", "/health", &["Connection: close"]);
    raw.send((request_text("OPTIONS", path, &[]) + &end).as_bytes());
    let response = raw.head_response();
    assert_eq!(response.header("connection"), Some("keep-alive"), "{path}");
    if response.status == 204 {
        for absent in ["content-length", "content-type", "transfer-encoding"] {
            assert_eq!(response.header(absent), None, "{path}");
        }
        assert_eq!(raw.response().status, 200, "{path}");
    }
    (response.status, response.header("allow").map(str::to_owned))
}

fn allowed(address: std::net::SocketAddr, path: &str, methods: &str) {
    assert_eq!(options(address, path), (204, Some(methods.to_owned())), "{path}");
}

#[test]
fn each_resource_lists_its_methods() {
    let site = folder("options");
    std::fs::create_dir(site.join("docs")).expect("a folder");
    for file in ["a.txt", "docs/index.html", "h\u{e9}.txt"] {
        std::fs::write(site.join(file), "text").expect("a file");
    }
    let server = Settings::new().set("STATIC_DIR", site.to_str().expect("UTF-8")).start();
    let address = server.address();
    let paths = [
        "*", "/health", "/health/", "/metrics", "/metrics/prometheus", "/play", "/play/", "/play/rules.json",
        "/dashboard",
    ];
    for path in
        paths.into_iter().chain(["/a.txt", "/a.txt?x", "/docs", "/docs/", "/h%C3%A9.txt", "/h\u{e9}.txt"])
    {
        allowed(address, path, ALL);
    }
    allowed(address, "/ws", "GET, OPTIONS");
    assert_eq!(sum(&server.metrics()["refused"]), 0);
    for path in ["/nothing", "/b.txt", "/docs/x", "/"] {
        assert_eq!(options(address, path), (404, None), "{path}");
    }
    assert_eq!(server.metrics()["refused"]["not_found"], 4);
}

#[test]
fn admin_resources_answer_on_the_admin_listener() {
    let server = Settings::new().set("ADMIN_ADDR", "127.0.0.1:0").start();
    let (game, admin) = (server.address(), server.admin_address());
    for path in ["/metrics", "/dashboard", "/health", "*"] {
        allowed(admin, path, ALL);
    }
    for path in ["/ws", "/play", "/"] {
        assert_eq!(options(admin, path).0, 404, "{path} for operators");
    }
    for path in ["/metrics", "/dashboard"] {
        assert_eq!(options(game, path).0, 404, "{path} for players");
    }
    allowed(game, "/", ALL);
}

#[test]
fn options_closes_the_connection_only_if_more_data_may_follow() {
    let server = Server::start();
    let close = request(server.address(), "OPTIONS", "/health", &["Connection: close"]);
    assert_eq!((close.status, close.header("connection")), (204, Some("close")));
    let body = request(server.address(), "OPTIONS", "/health", &["Content-Length: 5"]);
    assert_eq!((body.status, body.header("connection")), (413, Some("close")));
    let mut upgrade = Raw::connect(server.address());
    upgrade.send(UPGRADE.replacen("GET", "OPTIONS", 1).as_bytes());
    let response = upgrade.head_response();
    assert_eq!((response.status, response.header("connection")), (204, Some("close")));
    assert_eq!(upgrade.read_to_end(), b"");
    assert_eq!(server.count("players"), 0);
}
