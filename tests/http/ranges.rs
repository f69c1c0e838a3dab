//! Range requests and conditional requests.

use std::fs::{self, File};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::http::{Response, get, get_with, request, request_text};
use crate::support::raw::Raw;
use crate::support::{Server, Settings, folder};

const LENGTH: usize = 1_000_000;

/// Modification time of the file: `Sun, 06 Nov 1994 08:49:37 GMT` and half a second.
const MODIFIED: Duration = Duration::from_millis(784_111_777_500);
const MODIFIED_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER_TEXT: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

fn content() -> Vec<u8> {
    (0..LENGTH as u32).map(|index| (index % 251) as u8).collect()
}

/// A server with one file of [`LENGTH`] bytes and this modification time.
fn serve(name: &str, modified: SystemTime) -> Server {
    let site = folder(name);
    let path = site.join("music.ogg");
    fs::write(&path, content()).expect("a file");
    fs::write(site.join("empty.txt"), "").expect("a file");
    File::open(path).and_then(|file| file.set_modified(modified)).expect("a time");
    Settings::new().set("STATIC_DIR", site.to_str().expect("UTF-8")).start()
}

fn of_file(server: &Server, headers: &[&str]) -> Response {
    get_with(server.address(), "/music.ogg", headers)
}

#[test]
fn a_range_is_answered_with_its_bytes() {
    let server = serve("range", UNIX_EPOCH + MODIFIED);
    let content = content();
    let whole = of_file(&server, &[]);
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-", 1_000, LENGTH),
        ("bytes=300000-599999", 300_000, 600_000),
        ("bytes=-5", LENGTH - 5, LENGTH),
        ("bytes=999999-2000000", LENGTH - 1, LENGTH),
        ("bytes=0-", 0, LENGTH),
    ] {
        let part = of_file(&server, &[&format!("Range: {range}")]);
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.header("content-range"), Some(&*format!("bytes {start}-{}/{LENGTH}", end - 1)));
        assert!(part.body == content[start..end], "{range}: {} differ", part.body.len());
        for name in ["etag", "last-modified", "content-type", "cache-control", "accept-ranges"] {
            assert!(
                part.header(name).is_some() && part.header(name) == whole.header(name),
                "{range}: {name}"
            );
        }
    }
}

#[test]
fn ranges_can_be_pipelined() {
    let server = serve("range-after-range", UNIX_EPOCH + MODIFIED);
    let mut raw = Raw::connect(server.address());
    let starts = [900_000, 0, 500_000];
    for start in starts {
        let range = format!("Range: bytes={start}-{}", start + 99_999);
        raw.send(request_text("GET", "/music.ogg", &[&range]).as_bytes());
    }
    for start in starts {
        let part = raw.response();
        assert!(part.status == 206 && part.body == content()[start..start + 100_000], "{start}");
    }
}

#[test]
fn a_range_past_the_end_is_refused_with_the_length() {
    let server = serve("range-beyond", UNIX_EPOCH + MODIFIED);
    for range in ["bytes=1000000-", "bytes=2000000-3000000", "bytes=-0", "bytes=99999999999999999999-"] {
        let refused = of_file(&server, &[&format!("Range: {range}")]);
        assert_eq!(refused.status, 416, "{range}");
        assert_eq!(refused.header("content-range"), Some("bytes */1000000"), "{range}");
        assert_eq!(refused.header("cache-control"), Some("no-store"), "{range}");
    }
    let empty = get_with(server.address(), "/empty.txt", &["Range: bytes=0-"]);
    assert_eq!((empty.status, empty.header("content-range")), (416, Some("bytes */0")));
}

#[test]
fn unsupported_ranges_return_the_whole_file_once() {
    let server = serve("range-ignored", UNIX_EPOCH + MODIFIED);
    let many = format!("bytes={}0-", "0-,".repeat(1_500));
    let blanks = format!("bytes={}", ",".repeat(4_000));
    let digits = format!("bytes={}-", "1".repeat(4_000));
    for range in [
        "bytes=5-1", "bytes=a-", "items=0-1", "bytes 0-1", "bytes=0-1,5-6", "bytes=\u{e9}", &many, &blanks,
        &digits,
    ] {
        let whole = of_file(&server, &[&format!("Range: {range}")]);
        assert_eq!((whole.status, whole.body.len()), (200, LENGTH), "{range:.40}");
        assert_eq!(whole.header("content-range"), None);
    }
    let head = request(server.address(), "HEAD", "/music.ogg", &["Range: bytes=0-1"]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000000")), "HEAD has no ranges");
    assert_eq!(head.header("accept-ranges"), Some("bytes"));
}

#[test]
fn conditions_are_evaluated_in_the_order_of_the_rfc() {
    let server = serve("since", UNIX_EPOCH + MODIFIED);
    let first = of_file(&server, &[]);
    assert_eq!(first.header("last-modified"), Some(MODIFIED_TEXT));
    let tag = first.header("etag").expect("a tag");
    for (headers, status) in [
        (vec![format!("If-Modified-Since: {MODIFIED_TEXT}")], 304),
        (vec!["If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT".to_owned()], 304),
        (vec![format!("If-Modified-Since: {EARLIER_TEXT}")], 200),
        (vec!["If-Modified-Since: yesterday".to_owned()], 200),
        (vec![format!("If-Modified-Since: {MODIFIED_TEXT}"), "If-None-Match: \"other\"".to_owned()], 200),
        (vec![format!("If-None-Match: {tag}"), "Range: bytes=0-9".to_owned()], 304),
        (vec![format!("If-Match: {tag}"), "Range: bytes=0-9".to_owned()], 206),
        (vec![format!("If-Range: {tag}"), "Range: bytes=0-9".to_owned()], 206),
        (vec![format!("If-Range: {EARLIER_TEXT}"), "Range: bytes=0-9".to_owned()], 200),
        (vec!["If-Match: \"other\"".to_owned()], 412),
        (vec![format!("If-Match: W/{tag}")], 412),
        (vec![format!("If-Unmodified-Since: {EARLIER_TEXT}"), format!("If-None-Match: {tag}")], 412),
        (vec![format!("If-Unmodified-Since: {MODIFIED_TEXT}")], 200),
    ] {
        let lines: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = of_file(&server, &lines);
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 304 {
            assert_eq!(
                (answer.header("etag"), answer.header("last-modified")),
                (Some(tag), Some(MODIFIED_TEXT))
            );
            assert_eq!(answer.header("content-length"), None);
        }
    }
}

#[test]
fn last_modified_is_never_later_than_the_response() {
    let server = serve("future", SystemTime::now() + Duration::from_hours(24));
    let answer = of_file(&server, &[]);
    let modified = answer.header("last-modified").expect("a date");
    assert_eq!(Some(modified), answer.header("date"));
}

#[test]
fn built_in_pages_support_ranges() {
    let server = Server::start();
    let page = get(server.address(), "/play");
    assert_eq!((page.header("accept-ranges"), page.header("last-modified")), (Some("bytes"), None));
    let part = get_with(server.address(), "/play", &["Range: bytes=5-9"]);
    assert_eq!((part.status, &*part.body), (206, &page.body[5..10]));
    assert!(part.header("content-security-policy").is_some());
}
