//! The result of parsing a request head does not depend on how its bytes arrive, and every head can be answered.

use pixi_game_server::limits::HTTP_HEAD_BYTES_MAX;
use pixi_game_server::wire::http::{
    Date, Method, Parsed, Request, RequestParser, Response, Selection, Validators, http_date,
    negotiate_coding, parse_request, upgrade, write_upgrade_response,
};

/// Largest number of positions of each kind at which a head is cut in two.
const CUTS_MAX: usize = 64;

/// Size of the requested file, in bytes.
const FILE_BYTES: usize = 1_000;

pub fn check(bytes: &[u8]) {
    let whole = parse_request(bytes);
    match &whole {
        Ok(Parsed::Complete { request, consumed }) => {
            assert!(*consumed <= bytes.len().min(HTTP_HEAD_BYTES_MAX), "{consumed} bytes consumed");
            assert_eq!(parse_request(&bytes[..*consumed]), whole, "bytes after a head change its result");
            for cut in cuts(&bytes[..*consumed]) {
                assert_eq!(parse_request(&bytes[..cut]), Ok(Parsed::Incomplete), "the first {cut} bytes");
            }
            require_same_byte_by_byte(&bytes[..*consumed], request);
            answer_request(request);
        }
        Ok(Parsed::Incomplete) => {
            assert!(bytes.len() < HTTP_HEAD_BYTES_MAX, "an incomplete head exceeds the limit");
            for cut in cuts(bytes) {
                assert_eq!(parse_request(&bytes[..cut]), whole, "the first {cut} bytes");
            }
        }
        Err(error) => {
            // With fewer bytes, a head with several faults may be refused for a different one.
            for cut in cuts(bytes) {
                let part = parse_request(&bytes[..cut]);
                assert!(!matches!(part, Ok(Parsed::Complete { .. })), "the first {cut} bytes: {part:?}");
            }
            answer(&Response::text(error.status(), error.reason()), error.status().code());
        }
    }
}

/// A head that arrives byte by byte is complete with its last byte, with the same result.
fn require_same_byte_by_byte(head: &[u8], request: &Request) {
    let mut parser = RequestParser::default();
    for (at, byte) in head.iter().enumerate() {
        parser.append(&[*byte]);
        let next = parser.next_request().expect("the whole head is valid");
        assert_eq!(next.as_ref(), (at + 1 == head.len()).then_some(request), "after {} bytes", at + 1);
    }
}

/// Returns lengths at which to cut `bytes`: evenly spread, after lines, and shortly before the end.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let length = bytes.len();
    let spread = (0..length).step_by(length / CUTS_MAX + 1);
    let line_ends = (1..length).filter(|&cut| bytes[cut - 1] == b'\n').take(CUTS_MAX);
    spread.chain(line_ends).chain(length.saturating_sub(4)..length)
}

fn answer_request(request: &Request) {
    let is_asterisk = request.method == Method::Options && request.path == "*";
    assert!(
        request.method == Method::Other || is_asterisk || request.path.starts_with('/'),
        "{}",
        request.path
    );
    assert!(request.path.is_ascii() && request.query.as_deref().is_none_or(str::is_ascii), "{request:?}");
    let validators = Validators { etag: "\"1\"", modified: Some(http_date(784_111_777)) };
    if let Selection::Partial(part) = request.preconditions.evaluate(request.method, validators, FILE_BYTES) {
        assert!(part.start < part.end && part.end <= FILE_BYTES, "{part:?} of {FILE_BYTES}");
    }
    negotiate_coding(request.accept_encoding.as_deref(), |_| true);
    match upgrade(request) {
        Ok(key) => {
            let mut out = Vec::new();
            write_upgrade_response(&mut out, &key, None, &Date::from_unix_s(0));
            require_head(&out, 101);
        }
        Err(error) => {
            let response = Response {
                headers: error.headers(),
                head_only: request.method == Method::Head,
                keep_alive: request.keep_alive,
                ..Response::text(error.status(), error.reason())
            };
            answer(&response, error.status().code());
        }
    }
}

fn answer(response: &Response, code: u16) {
    let mut out = Vec::new();
    response.write(&mut out, &Date::from_unix_s(0));
    require_head(&out, code);
}

fn require_head(out: &[u8], code: u16) {
    assert!(out.starts_with(format!("HTTP/1.1 {code} ").as_bytes()), "not a response with status {code}");
    assert!(out.windows(4).any(|four| four == b"\r\n\r\n"), "the response's head has no end");
}
