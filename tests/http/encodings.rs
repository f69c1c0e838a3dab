//! Compressed files, by the operator or the server: content negotiation, and cache validators that differ per encoding.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use flate2::read::GzDecoder;

use crate::support::http::{Response, get, get_with, request};
use crate::support::wait::wait_until;
use crate::support::{Server, Settings, folder};

const PLAIN: &[u8] = b"export const answer = 42; // and so on";
const BROTLI: &[u8] = b"brotli, as far as the server can tell";
const GZIP: &[u8] = b"\x1f\x8b, which gzip begins with";

/// Writes a file with a fixed modification time plus this many seconds.
fn write(site: &Path, name: &str, content: &[u8], seconds: u64) {
    let path = site.join(name);
    fs::write(&path, content).expect("a file");
    let at = UNIX_EPOCH + Duration::from_secs(784_111_777 + seconds);
    File::open(path).and_then(|file| file.set_modified(at)).expect("a time");
}

fn site(name: &str) -> PathBuf {
    let site = folder(name);
    write(&site, "app.js", PLAIN, 0);
    write(&site, "app.js.br", BROTLI, 0);
    write(&site, "app.js.gz", GZIP, 1);
    write(&site, "lone.css", b"p {}", 0);
    site
}

fn serve(site: &Path) -> Server {
    Settings::new().set("STATIC_DIR", site.to_str().expect("UTF-8")).start()
}

fn accepting(server: &Server, accept: &str) -> Response {
    get_with(server.address(), "/app.js", &[&format!("Accept-Encoding: {accept}")])
}

#[test]
fn clients_receive_an_encoding_that_they_accept() {
    let server = serve(&site("forms"));
    for (accept, coding, body) in [
        ("gzip, deflate, br, zstd", Some("br"), BROTLI),
        ("gzip, deflate", Some("gzip"), GZIP),
        ("br;q=0.2, gzip;q=0.3", Some("gzip"), GZIP),
        ("*", Some("br"), BROTLI),
        ("br;q=0, *", Some("gzip"), GZIP),
        ("identity;q=0, gzip", Some("gzip"), GZIP),
        ("deflate", None, PLAIN),
        ("identity", None, PLAIN),
        ("br;q=0, gzip;q=0", None, PLAIN),
        ("identity;q=0", None, PLAIN),
        ("\u{e9}", None, PLAIN),
    ] {
        let answer = accepting(&server, accept);
        assert_eq!((answer.status, answer.header("content-encoding")), (200, coding), "{accept}");
        assert_eq!(answer.body, body, "{accept}");
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"), "{accept}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{accept}");
    }
    let plain = get(server.address(), "/app.js");
    assert_eq!((&*plain.body, plain.header("vary")), (PLAIN, Some("Accept-Encoding")));
    let lone = get_with(server.address(), "/lone.css", &["Accept-Encoding: br, gzip"]);
    assert_eq!((lone.header("content-encoding"), lone.header("vary")), (None, None));
}

#[test]
fn a_compressed_file_is_also_served_by_its_own_name() {
    let server = serve(&site("own-name"));
    for (path, kind, body) in
        [("/app.js.gz", "application/gzip", GZIP), ("/app.js.br", "application/octet-stream", BROTLI)]
    {
        let answer = get_with(server.address(), path, &["Accept-Encoding: br, gzip"]);
        assert_eq!((answer.status, &*answer.body), (200, body), "{path}");
        assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None), "{path}");
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
    }
}

#[test]
fn encodings_have_different_validators() {
    let server = serve(&site("tags"));
    let forms = ["br", "gzip", "identity"].map(|accept| (accept, accepting(&server, accept)));
    let tags = forms.each_ref().map(|(_, answer)| answer.header("etag").expect("a tag"));
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    for (accept, form) in &forms {
        let accepts = format!("Accept-Encoding: {accept}");
        for tag in tags {
            let condition = format!("If-None-Match: {tag}");
            let answer = get_with(server.address(), "/app.js", &[&accepts, &condition]);
            let is_own = form.header("etag") == Some(tag);
            assert_eq!(answer.status, if is_own { 304 } else { 200 }, "{accept}: {tag}");
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{accept}: {tag}");
        }
        for (field, status) in [("Range: bytes=999-", 416), ("If-Match: \"other\"", 412)] {
            let refused = get_with(server.address(), "/app.js", &[&accepts, field]);
            assert_eq!(
                (refused.status, refused.header("vary")),
                (status, Some("Accept-Encoding")),
                "{accept}"
            );
            assert_eq!(refused.header("content-encoding"), None, "an error text is not compressed");
        }
        let part = get_with(server.address(), "/app.js", &[&accepts, "Range: bytes=1-4"]);
        assert_eq!((part.status, &*part.body), (206, &form.body[1..5]), "a range of the encoded bytes");
        assert_eq!(part.header("content-encoding"), form.header("content-encoding"));
        let head = request(server.address(), "HEAD", "/app.js", &[&accepts]);
        for name in ["content-length", "content-encoding", "etag", "vary"] {
            assert_eq!(head.header(name), form.header(name), "{accept}: {name}");
        }
    }
    assert_eq!(forms[1].1.header("last-modified"), Some("Sun, 06 Nov 1994 08:49:38 GMT"), "its own date");
}

#[test]
fn stale_and_uncompressed_variants_are_not_served() {
    let site = site("stale");
    write(&site, "app.js", b"newer", 10);
    write(&site, "fake.js", PLAIN, 0);
    write(&site, "fake.js.gz", PLAIN, 0);
    let server = serve(&site);
    for path in ["/app.js", "/fake.js"] {
        let answer = get_with(server.address(), path, &["Accept-Encoding: br, gzip"]);
        assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None), "{path}");
    }
    let log = server.log();
    let warning = "compressed file not served, because it is";
    assert!(
        log.contains(&format!(
            "{warning} older than the original; compress it again: app.js.br (and 1 more)"
        ))
    );
    assert!(log.contains(&format!("{warning} not compressed: fake.js.gz")), "{log}");

    write(&site, "app.js.gz", GZIP, 10);
    server.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the new form", || accepting(&server, "br, gzip").body == GZIP);
}

/// Text of a size that a bundle has, which shrinks to a third.
fn bundle() -> Vec<u8> {
    let line = |n: u32| {
        format!("export function f{n}(x{n}) {{ return x{n} * {}; }}\n", n.wrapping_mul(2_654_435_761))
    };
    (0..6_000).map(line).collect::<String>().into_bytes()
}

fn decompressed(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
    plain
}

#[test]
fn the_server_compresses_what_the_operator_has_not() {
    let (site, bundle) = (folder("own-forms"), bundle());
    write(&site, "index.html", b"<!doctype html>", 0);
    write(&site, "bundle.js", &bundle, 0);
    write(&site, "hero.png", &bundle, 0);
    write(&site, "half.js", &bundle, 0);
    write(&site, "half.js.br", BROTLI, 0);
    let server = serve(&site);
    let gzip = |path| get_with(server.address(), path, &["Accept-Encoding: gzip, deflate"]);
    for path in ["/bundle.js", "/half.js"] {
        let answer = gzip(path);
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{path}");
        assert!(answer.body.len() < bundle.len() / 2, "{} bytes of {}", answer.body.len(), bundle.len());
        assert!(decompressed(&answer.body) == bundle, "{path}");
        let plain = get(server.address(), path);
        assert_eq!((plain.header("content-encoding"), plain.body == bundle), (None, true), "{path}");
        assert_ne!(plain.header("etag"), answer.header("etag"), "{path}");
    }
    let brotli = get_with(server.address(), "/half.js", &["Accept-Encoding: gzip, br"]);
    assert_eq!(brotli.body, BROTLI, "the operator's own form");
    for path in ["/", "/hero.png"] {
        assert_eq!(gzip(path).header("content-encoding"), None, "{path} would not shrink");
    }
    // The next load reuses the compressed bytes of an unchanged file, and compresses a changed one.
    let before = gzip("/bundle.js");
    write(&site, "index.html", &bundle, 0);
    server.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the changed file", || gzip("/").header("content-encoding") == Some("gzip"));
    let after = gzip("/bundle.js");
    assert_eq!((after.header("etag"), after.body == before.body), (before.header("etag"), true));
}

#[test]
fn built_in_pages_are_compressed() {
    let server = Server::start();
    let page = get(server.address(), "/play");
    let script =
        page.text().split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    for path in ["/play".to_owned(), format!("/{}", script.expect("a script"))] {
        let plain = get(server.address(), &path);
        let packed = get_with(server.address(), &path, &["Accept-Encoding: gzip"]);
        assert_eq!((plain.status, plain.header("content-encoding")), (200, None), "{path}");
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        assert!(packed.body.len() < plain.body.len(), "{path}");
        assert!(decompressed(&packed.body) == plain.body, "{path}");
        for name in ["content-type", "cache-control", "content-security-policy"] {
            assert_eq!(packed.header(name), plain.header(name), "{path}: {name}");
        }
    }
}
