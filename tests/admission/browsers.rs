//! A school behind one address: the simultaneous requests of its browsers are no flood.

use std::net::Ipv4Addr;
use std::sync::Barrier;
use std::thread;

use crate::support::Settings;
use crate::support::http::request_text;
use crate::support::raw::{Raw, UPGRADE};

const SCHOOL: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const BROWSERS: usize = 30;
const FILE_CONNECTIONS: usize = 6;
const FILES: usize = 50;

#[test]
fn thirty_browsers_behind_one_address_are_never_refused() {
    // The default limits, applied to loopback too.
    let settings = Settings::new().set("MAX_CONNS_PER_IP", 1_000).set("IP_CONN_RATE", 50);
    let server = settings.set("HTTP_CONNS_PER_IP", 256).set("HTTP_RATE", 1_000).start();
    let barrier = Barrier::new(BROWSERS);
    let browse = || {
        let mut files: Vec<_> =
            (0..FILE_CONNECTIONS).map(|_| Raw::connect_from(SCHOOL, server.address())).collect();
        let mut game = Raw::connect_from(SCHOOL, server.address());
        barrier.wait();
        for _ in 0..FILES / FILE_CONNECTIONS {
            for raw in &mut files {
                raw.send(request_text("GET", "/", &[]).as_bytes());
            }
            assert!(files.iter_mut().all(|raw| raw.response().status == 200));
        }
        game.send(UPGRADE.as_bytes());
        assert_eq!(game.response().status, 101);
        (files, game)
    };
    let browsers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..BROWSERS).map(|_| scope.spawn(browse)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a browser")).collect()
    });
    let metrics = server.metrics();
    assert_eq!(metrics["players"], BROWSERS);
    assert_eq!(crate::support::server::sum(&metrics["refused"]), 0, "{metrics}");
    drop(browsers);
}
