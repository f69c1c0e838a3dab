//! A Redis as a process of its own, that can be stopped in every way.

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
    /// One that forgets everything when it ends.
    pub fn start() -> Redis {
        Redis::start_with(None)
    }

    /// The same with a password.
    pub fn start_with(password: Option<&'static str>) -> Redis {
        let mut redis = Redis::absent();
        redis.password = password;
        redis.come_back();
        redis
    }

    /// None yet, at an address that one may have later.
    pub fn absent() -> Redis {
        Redis { child: None, port: free_port(), password: None }
    }

    /// Starts it, empty, where it was.
    pub fn come_back(&mut self) {
        let mut command = Command::new(program("redis-server"));
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--loglevel", "warning"]);
        // A replica puts what it is sent into a file.
        command.arg("--dir").arg(std::env::temp_dir());
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server starts"));
        wait_until("a Redis that answers", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Kills it.
    pub fn vanish(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        send_signal(child.id(), signal);
    }

    /// Its address, as servers are told it.
    pub fn url(&self) -> String {
        let password = self.password.map_or(String::new(), |password| format!(":{password}@"));
        format!("redis://{password}127.0.0.1:{}/0", self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A subscriber that says nothing, until it is dropped.
    pub fn subscribe(&self, channel: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it accepts");
        stream.write_all(format!("SUBSCRIBE {channel}\r\n").as_bytes()).expect("it takes a command");
        stream
    }

    /// Has it do something, and returns the first bytes of its answer.
    pub fn command(&self, words: &[&[u8]]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it accepts");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        stream.write_all(&request).expect("it takes a command");
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
