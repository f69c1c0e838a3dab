//! Static files: served files, refused paths, and that no path leads outside the directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::http::{get, get_with, request_text};
use crate::support::raw::Raw;
use crate::support::{Server, Settings};

const SECRET: &str = "outside of the site";

/// A directory `site` with files, and secrets outside it. Removed on drop.
struct Site(PathBuf);

impl Site {
    fn new() -> Site {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("site-{}-{number}", std::process::id()));
        for directory in ["site/sub", "outside"] {
            fs::create_dir_all(root.join(directory)).expect("a new directory");
        }
        for secret in ["secret.txt", "outside/secret.txt"] {
            fs::write(root.join(secret), SECRET).expect("a new file");
        }
        let site = Site(root);
        site.write("index.html", b"<!doctype html><title>game</title>");
        site.write("sub/index.html", b"<!doctype html><title>sub</title>");
        site.write("game.js", b"export {};");
        site.write("a b.txt", b"a space in its name");
        site.write(".hidden", SECRET.as_bytes());
        site
    }

    fn write(&self, path: &str, content: &[u8]) {
        fs::write(self.0.join("site").join(path), content).expect("a new file");
    }

    fn serve(&self) -> Server {
        let directory = self.0.join("site");
        Settings::new().set("STATIC_DIR", directory.to_str().expect("a path of text")).start()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_served_with_their_types() {
    let site = Site::new();
    let server = site.serve();
    let files = [
        ("/", "text/html; charset=utf-8", "<title>game</title>"),
        ("/index.html", "text/html; charset=utf-8", "<title>game</title>"),
        ("/sub/", "text/html; charset=utf-8", "<title>sub</title>"),
        ("/game.js", "text/javascript; charset=utf-8", "export {};"),
        ("/game.js?v=2", "text/javascript; charset=utf-8", "export {};"),
        ("/a%20b.txt", "text/plain; charset=utf-8", "a space in its name"),
    ];
    for (path, kind, content) in files {
        let response = get(server.address(), path);
        assert_eq!((response.status, response.header("content-type")), (200, Some(kind)), "{path}");
        assert!(response.text().contains(content), "{path}: {}", response.text());
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[test]
fn an_unchanged_file_is_answered_with_304() {
    let site = Site::new();
    let server = site.serve();
    let first = get(server.address(), "/game.js");
    let tag = first.header("etag").expect("an ETag").to_owned();
    assert_ne!(Some(tag.as_str()), get(server.address(), "/index.html").header("etag"));
    for tags in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let mut raw = Raw::connect(server.address());
        raw.send(request_text("GET", "/game.js", &[&format!("If-None-Match: {tags}")]).as_bytes());
        raw.send(request_text("GET", "/health", &[]).as_bytes());
        let unchanged = raw.head_response();
        assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some(tag.as_str())), "{tags}");
        assert_eq!(raw.response().status, 200, "a 304 has no body");
    }
    let changed = get_with(server.address(), "/game.js", &["If-None-Match: \"other\""]);
    assert_eq!((changed.status, changed.body), (200, first.body));
}

#[test]
fn a_large_file_arrives_completely() {
    let site = Site::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    site.write("atlas.png", &content);
    let server = site.serve();
    let mut raw = Raw::connect(server.address());
    raw.send(request_text("GET", "/atlas.png", &[]).repeat(2).as_bytes());
    for _ in 0..2 {
        let response = raw.response();
        assert_eq!(response.header("content-type"), Some("image/png"));
        assert!(response.body == content, "{} bytes differ from the file", response.body.len());
    }
}

#[test]
fn no_path_leads_out_of_the_directory() {
    let site = Site::new();
    let server = site.serve();
    let paths = [
        "/../secret.txt", "/sub/../../secret.txt", "/%2e%2e/secret.txt", "/%2E%2E/secret.txt",
        "/.%2e/secret.txt", "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt", "/sub%2f..%2f..%2fsecret.txt",
        "/..%5csecret.txt", "/%252e%252e/secret.txt", "//secret.txt", "/.hidden", "/%2ehidden",
        "/index.html%00", "/%00/index.html", "/game.js%00.html", "/%ff%fe", "/%zz", "/%2", "/./index.html",
    ];
    for path in paths {
        let response = get(server.address(), path);
        assert!([400, 404].contains(&response.status), "{path}: {}", response.status);
        assert!(!response.text().contains(SECRET), "{path}");
    }
    assert_eq!(get(server.address(), "/health").status, 200, "the server is still healthy");
}

#[test]
fn links_are_followed_inside_the_directory_only() {
    let site = Site::new();
    symlink("../secret.txt", site.0.join("site/out.txt")).unwrap();
    symlink(site.0.join("secret.txt"), site.0.join("site/absolute.txt")).unwrap();
    symlink("../outside", site.0.join("site/outside")).unwrap();
    symlink("nowhere", site.0.join("site/dangling.txt")).unwrap();
    symlink(".", site.0.join("site/loop")).unwrap();
    symlink("game.js", site.0.join("site/inside.js")).unwrap();
    let server = site.serve();
    for path in ["/out.txt", "/absolute.txt", "/outside/secret.txt", "/dangling.txt"] {
        let response = get(server.address(), path);
        assert_eq!(response.status, 404, "{path}");
        assert!(!response.text().contains(SECRET), "{path}");
    }
    assert_eq!(get(server.address(), "/inside.js").text(), "export {};");
}

#[test]
fn raw_utf_8_is_served_like_its_percent_encoded_form() {
    let site = Site::new();
    site.write("déjà vu.txt", b"seen");
    let server = site.serve();
    for path in ["/d%C3%A9j%C3%A0%20vu.txt", "/déjà%20vu.txt", "/d%C3%A9jà%20vu.txt?von=Jürgen"] {
        assert_eq!(get(server.address(), path).text(), "seen", "{path}");
    }
    for broken in [&b"/d\xe9j\xe0"[..], b"/?\xff", b"/\xed\xa0\x80"] {
        let response = Raw::exchange(
            server.address(),
            [b"GET ", broken, b" HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat(),
        );
        assert_eq!((response.status, response.header("connection")), (400, Some("close")), "{broken:x?}");
    }
}
