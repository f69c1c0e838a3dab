//! The worked example "Only my users": its key, and its login pages in two languages, with a real server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::documents;
use crate::support::debian::program;
use crate::support::http::{Response, parse_head};
use crate::support::process::succeed;
use crate::support::raw::{Raw, upgrade_with_cookie};
use crate::support::wait::wait_until;
use crate::support::{Client, Settings, folder, free_port};

/// The only block of all documents with this information.
fn block(info: &str) -> String {
    let documents = documents();
    let blocks = documents.iter().flat_map(|document| document.split().0);
    let found: Vec<_> =
        blocks.filter(|block| block.info == info).map(|block| block.code.join("\n")).collect();
    assert_eq!(found.len(), 1, "{info}");
    found.concat()
}

/// A login page. It is killed on drop.
struct Page {
    process: Child,
    address: SocketAddr,
}

impl Page {
    fn start(interpreter: &str, file: &Path, keys: &Path) -> Page {
        let port = free_port();
        let mut command = Command::new(program(interpreter));
        command.arg(file).env("AUTH_KEYS", keys).env("PORT", port.to_string()).env("GAME", "/play");
        let process = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_until("the login page", || std::net::TcpStream::connect(address).is_ok());
        Page { process, address }
    }

    fn log_in(&self, password: &str) -> Response {
        let body = format!("name=anna&password={password}");
        let length = body.len();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n"
        );
        let mut raw = Raw::connect(self.address);
        raw.send(format!("{head}\r\n{body}").as_bytes());
        let text = String::from_utf8(raw.read_to_end()).expect("text");
        let (head, _) = text.split_once("\r\n\r\n").expect("a head");
        // Python's server answers with HTTP/1.0.
        parse_head(&head.replacen("HTTP/1.0", "HTTP/1.1", 1))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_login_pages_admit_their_users() {
    let folder = folder("login-pages");
    succeed(Command::new("sh").args(["-euc", &block("sh keys")]).current_dir(&folder));
    let keys = folder.join("keys.json");
    let path = keys.to_str().expect("UTF-8");
    let server = Settings::new().set("AUTH", "jwt").set("AUTH_KEYS", path).set("LOG_LEVEL", "debug").start();
    assert!(!server.log().contains("WARN"), "the example's file is safe: {}", server.log());
    assert_eq!(Raw::exchange(server.address(), upgrade_with_cookie("theme=dark")).status, 401);

    for (info, interpreter, name) in
        [("js login", "node", "login.mjs"), ("python login", "python3", "login.py")]
    {
        let file = folder.join(name);
        fs::write(&file, block(info)).expect("a file");
        let page = Page::start(interpreter, &file, &keys);
        assert_eq!(page.log_in("guess").status, 403, "{name}");
        let response = page.log_in("swordfish");
        assert_eq!((response.status, response.header("location")), (303, Some("/play")), "{name}");
        let set = response.header("set-cookie").expect("a cookie");
        let (cookie, attributes) = set.split_once(';').expect("attributes");
        assert!(attributes.contains("HttpOnly") && attributes.contains("Path=/;"), "{set}");
        let client = Client::reconnect(&server, cookie);
        server.wait_for_log(&format!("player {} joined: account anna", client.id()));
    }
}
