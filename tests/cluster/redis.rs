//! A Redis process that tests can stop in every way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::debian::program;
use crate::support::free_port;
use crate::support::process::send_signal;
use crate::support::wait::wait_until;

pub struct Redis {
    child: Option<Child>,
    port: u16,
    password: Option<&'static str>,
}

impl Redis {
    /// Starts a Redis without persistence.
    pub fn start() -> Redis {
        Redis::start_with(None)
    }

    pub fn start_with(password: Option<&'static str>) -> Redis {
        let mut redis = Redis::absent();
        redis.password = password;
        redis.come_back();
        redis
    }

    /// Reserves an address for a Redis that is not started yet.
    pub fn absent() -> Redis {
        Redis { child: None, port: free_port(), password: None }
    }

    /// Starts an empty Redis at the reserved address.
    pub fn come_back(&mut self) {
        let mut command = Command::new(program("redis-server"));
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--unixsocket", &self.socket(), "--unixsocketperm", "700"]);
        command.args(["--save", "", "--appendonly", "no", "--loglevel", "warning"]);
        // A replica stores the transferred data set in a file.
        command.arg("--dir").arg(std::env::temp_dir());
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server starts"));
        wait_until("Redis to accept connections", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    pub fn vanish(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_file(self.socket());
        }
    }

    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        send_signal(child.id(), signal);
    }

    pub fn url(&self) -> String {
        let password = self.password.map_or(String::new(), |password| format!(":{password}@"));
        format!("redis://{password}127.0.0.1:{}/0", self.port)
    }

    /// URL of its Unix socket.
    pub fn unix_url(&self) -> String {
        let password = self.password.map_or(String::new(), |password| format!(":{password}@"));
        format!("redis+unix://{password}{}?db=0", self.socket())
    }

    fn socket(&self) -> String {
        std::env::temp_dir().join(format!("pixi-redis-{}.sock", self.port)).display().to_string()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Subscribes to a channel until the returned stream is dropped.
    pub fn subscribe(&self, channel: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it accepts");
        stream.write_all(format!("SUBSCRIBE {channel}\r\n").as_bytes()).expect("Redis reads the command");
        stream
    }

    /// Runs a command, and returns the first bytes of the reply.
    pub fn command(&self, words: &[&[u8]]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it accepts");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        stream.write_all(&request).expect("Redis reads the command");
        let mut answer = [0; 256];
        let count = stream.read(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer[..count]).into_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.vanish();
    }
}
