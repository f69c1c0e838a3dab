//! A minimal HTTP client.

use std::net::SocketAddr;

use super::raw::Raw;

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Header fields in order; names are in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// Value of the first header field with this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

/// Sends a GET on a new connection.
pub fn get(address: SocketAddr, path: &str) -> Response {
    get_with(address, path, &[])
}

/// Sends a GET with additional header lines on a new connection.
pub fn get_with(address: SocketAddr, path: &str, headers: &[&str]) -> Response {
    request(address, "GET", path, headers)
}

/// Sends a request without a body on a new connection.
pub fn request(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Response {
    let mut raw = Raw::connect(address);
    raw.send(request_text(method, path, headers).as_bytes());
    if method == "HEAD" { raw.head_response() } else { raw.response() }
}

pub fn request_text(method: &str, path: &str, headers: &[&str]) -> String {
    let first = format!("{method} {path} HTTP/1.1");
    [&[first.as_str(), "Host: localhost"], headers, &["\r\n"]].concat().join("\r\n")
}

/// Parses the head of a response, which ends with an empty line.
pub fn parse_head(head: &str) -> Response {
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let mut words = status_line.split(' ');
    assert_eq!(words.next(), Some("HTTP/1.1"), "{status_line}");
    let status = words.next().and_then(|code| code.parse().ok()).expect("a status code");
    let headers = lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("header line {line}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    Response { status, headers, body: Vec::new() }
}
