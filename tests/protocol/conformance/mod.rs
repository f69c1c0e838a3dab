//! RFC 6455 case by case over real sockets: bytes sent, frames received, and how the connection ends.
//!
//! The bytes of each case arrive at once, byte by byte, and in pieces of seven bytes; the replies must be equal. The cases
//! cover the topics of the Autobahn suite: framing, pings, reserved bits, opcodes, fragmentation, UTF-8, closing, sizes.
//! The server does not echo data, so valid MOVEs replace data and their acks replace echoes.

mod case;
mod closing;
mod fragments;
mod headers;
mod payloads;

use crate::support::server::sum;
use crate::support::{Server, Settings};
use case::{Case, Cut, End};

/// Runs each case with each cut against one server, and compares the counters with the sent frames.
fn run(cases: &[Case]) {
    // The cases send more messages per second than a player may.
    let server = Settings::new().set("RATE_LIMIT_MSG_SEC", 10_000).set("RATE_LIMIT_BURST", 10_000).start();
    let cuts = [Cut::Whole, Cut::EachByte, Cut::Sevens];
    for case in cases {
        for cut in cuts {
            case.run(&server, cut);
        }
    }
    server.wait_for_players(0);
    assert_counts(&server, cases, cuts.len() as u64);
}

/// Asserts that every invalid frame and every end was counted once, by its kind.
fn assert_counts(server: &Server, cases: &[Case], times: u64) {
    let metrics = server.metrics();
    let ends = |matches: &dyn Fn(&End) -> bool| {
        times * cases.iter().filter(|case| matches(&case.end)).count() as u64
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
