//! A TCP relay that plays the role of a host name: it forwards each new connection to its current target port. It may also
//! play a slow network.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

pub struct Relay {
    port: u16,
    target: Arc<AtomicU16>,
}

impl Relay {
    /// Starts a relay to this port.
    pub fn to(target: u16) -> Relay {
        Self::delayed(target, Duration::ZERO)
    }

    /// Starts a relay to this port that forwards one connection after the other, each after this time.
    pub fn delayed(target: u16, delay: Duration) -> Relay {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let target = Arc::new(AtomicU16::new(target));
        let named = Arc::clone(&target);
        // The thread runs until the test process exits.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                thread::sleep(delay);
                let Ok(server) = TcpStream::connect(("127.0.0.1", named.load(Ordering::Acquire))) else {
                    continue;
                };
                let (Ok(client_copy), Ok(server_copy)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                thread::spawn(move || pass_on(client, server));
                thread::spawn(move || pass_on(server_copy, client_copy));
            }
        });
        Relay { port, target }
    }

    /// Changes the target of new connections. Open connections keep theirs.
    pub fn move_to(&self, target: u16) {
        self.target.store(target, Ordering::Release);
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
