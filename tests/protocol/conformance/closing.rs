//! Closing: codes, payloads, and frames after a Close.

use super::case::{Case, Reply::Ack, a_move, close, length_16, masked_with, ping, pong, step, unmasked};
use super::run;
use crate::support::raw::{BINARY, CLOSE, CONTINUATION, FIN, TEXT, masked};

#[test]
fn codes() {
    let mut cases = Vec::new();
    let sendable = [
        1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000,
        4999,
    ];
    for code in sendable {
        for reason in ["", "reason"] {
            let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
            let name = format!("Close {code} {reason}");
            cases.push(Case::echoed(
                name,
                [a_move(1), close(code, reason.as_bytes())].concat(),
                &[Ack(1)],
                &payload,
            ));
        }
    }
    let forbidden = [0, 1, 500, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65_535];
    for code in forbidden {
        for reason in [&b""[..], b"reason", &[0xff]] {
            let bytes = [a_move(1), close(code, reason), a_move(2)].concat();
            cases.push(Case::refused(format!("Close {code} {reason:?}"), bytes, &[Ack(1)], 1002));
        }
    }
    run(&cases);
}

#[test]
fn payloads() {
    let longest = [&1000_u16.to_be_bytes()[..], &[b'x'; 123]].concat();
    let key = [0xff, 0, 0x80, 0x7f];
    let mut cases = vec![
        Case::echoed("no payload", masked(FIN | CLOSE, b""), &[], b""),
        Case::echoed("another mask", masked_with(key, FIN | CLOSE, &[3, 0xe8, b'o']), &[], &[3, 0xe8, b'o']),
        Case::echoed("a reason of 123 bytes", masked(FIN | CLOSE, &longest), &[], &longest),
        Case::refused("half a code", masked(FIN | CLOSE, &[3]), &[], 1002),
        Case::refused(
            "half a code of zero",
            [a_move(1), masked(FIN | CLOSE, &[0])].concat(),
            &[Ack(1)],
            1002,
        ),
        Case::refused("fragmented", masked(CLOSE, &[3, 0xe8]), &[], 1002),
        Case::refused("fragmented, without a payload", masked(CLOSE, b""), &[], 1002),
        Case::refused("unmasked", unmasked(FIN | CLOSE, &[3, 0xe8]), &[], 1002),
        Case::refused("2 in two bytes", length_16(FIN | CLOSE, 2, &[3, 0xe8]), &[], 1002),
    ];
    for length in [126, 127, 1_000, 65_536] {
        let payload = [&1000_u16.to_be_bytes()[..], &vec![b'x'; length - 2]].concat();
        cases.push(Case::refused(
            format!("payload of {length} bytes"),
            masked(FIN | CLOSE, &payload),
            &[],
            1002,
        ));
    }
    run(&cases);
}

#[test]
fn frames_after_a_close() {
    let normal = [3, 0xe8];
    let bye = || masked(FIN | CLOSE, &normal);
    let behind: [(&str, Vec<u8>); 9] = [
        ("a ping", ping(b"pong?")),
        ("a MOVE", a_move(2)),
        ("a second Close", close(1001, b"again")),
        ("a forbidden Close", close(1005, b"")),
        ("text", masked(FIN | TEXT, b"hello")),
        ("an unmasked frame", unmasked(FIN | BINARY, &step(2))),
        ("an oversized frame", masked(FIN | BINARY, &[3; 1_000])),
        ("bytes that are no frame", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("half a frame", vec![FIN | BINARY, 0x86, 1]),
    ];
    let mut cases = Vec::new();
    for (name, bytes) in behind {
        let bytes = [a_move(1), ping(b"before"), bye(), bytes].concat();
        let replies = [Ack(1), pong(b"before")];
        cases.push(Case::echoed(format!("Close, then {name}"), bytes, &replies, &normal));
    }
    let codes = [(1014_u16, 1014), (1014, 1000), (1013, 1014), (1014, 1005)];
    for (first, second) in codes {
        let bytes = [close(first, b""), close(second, b"")].concat();
        cases.push(Case::echoed(format!("Close {first}, then {second}"), bytes, &[], &first.to_be_bytes()));
    }
    let inside = [masked(BINARY, &step(2)[..3]), bye(), masked(FIN | CONTINUATION, &step(2)[3..])].concat();
    cases.push(Case::echoed("Close inside a message", inside, &[], &normal));
    let leave = [masked(FIN | BINARY, &[3; 65]), bye(), ping(b"?")].concat();
    cases.push(Case::refused("Close after an oversized message", leave, &[], 1009));
    let text = [masked(FIN | TEXT, b"?"), bye(), a_move(2)].concat();
    cases.push(Case::refused("Close after text", text, &[], 1003));
    run(&cases);
}
