//! RFC 6455 row by row, over real sockets: bytes sent, frames that come back, and how the connection ends.
//!
//! A row's bytes arrive in one piece, byte by byte and in pieces of seven, and the answer must be the same. What it
//! covers is what the well-known Autobahn suite covers (framing, pings, reserved bits, opcodes, fragmentation, UTF-8,
//! closing, sizes), as far as a server can be asked that echoes nothing: valid MOVEs stand for data, their acks for echoes.

mod case;
mod closing;
mod fragments;
mod headers;
mod payloads;

use crate::support::server::sum;
use crate::support::{Server, Settings};
use case::{Case, Cut, End};

/// Runs each row in each cut against one server, and compares what was counted with what was sent.
fn run(cases: &[Case]) {
    // Rows may say more in a second than a player may.
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 10_000).set("RATE_LIMIT_BURST", 10_000).start();
    let cuts = [Cut::Whole, Cut::EachByte, Cut::Sevens];
    for case in cases {
        for cut in cuts {
            case.run(&server, cut);
        }
    }
    server.wait_for_players(0);
    require_counts(&server, cases, cuts.len() as u64);
}

/// Every bad frame and every end is counted, by its kind, and nothing else is.
fn require_counts(server: &Server, cases: &[Case], times: u64) {
    let metrics = server.metrics();
    let ends = |is_such: &dyn Fn(&End) -> bool| {
        times * cases.iter().filter(|case| is_such(&case.end)).count() as u64
    };
    let refused = |code: u16| ends(&|end: &End| *end == End::Refused(code));
    let (framing, text, too_long) = (refused(1002) + refused(1007), refused(1003), refused(1009));
    let malformed = times * cases.iter().map(|case| case.malformed).sum::<u64>();
    let errors = &metrics["protocol_errors"];
    assert_eq!(
        (errors["framing"].as_u64(), errors["text"].as_u64()),
        (Some(framing), Some(text)),
        "{errors}"
    );
    assert_eq!(errors["too_long"], too_long, "{errors}");
    assert_eq!(sum(errors), framing + text + too_long + malformed, "{errors}");
    let closed = &metrics["closed"];
    assert_eq!(closed["protocol_error"], framing, "{closed}");
    assert_eq!(
        (closed["text"].as_u64(), closed["too_long"].as_u64()),
        (Some(text), Some(too_long)),
        "{closed}"
    );
    assert_eq!(closed["by_peer"], ends(&|end: &End| matches!(end, End::Echoed(_))), "{closed}");
    assert_eq!(closed["reset"], ends(&|end: &End| *end == End::Stays), "{closed}");
    assert_eq!(sum(closed), times * cases.len() as u64, "{closed}");
}
