//! Pings and pongs, text, and the UTF-8 of close reasons, the only text that the server validates.

use super::case::{Case, Reply, Reply::Ack, a_move, close, length_16, length_64, ping, pong};
use super::run;
use crate::support::raw::{CONTINUATION, FIN, PING, PONG, TEXT, masked};

#[test]
fn pings_and_pongs() {
    let mut cases = Vec::new();
    for length in [0, 1, 2, 7, 64, 65, 124, 125] {
        let payload: Vec<u8> = (0..length).map(|byte| 0x9a ^ byte).collect();
        let bytes = [ping(&payload), a_move(1)].concat();
        cases.push(Case::stays(format!("ping of {length} bytes"), bytes, &[pong(&payload), Ack(1)]));
        let bytes = [masked(FIN | PONG, &payload), a_move(1)].concat();
        cases.push(Case::stays(format!("unsolicited pong of {length} bytes"), bytes, &[Ack(1)]));
    }
    for payload in [&b"hello"[..], &[0], &[0xff, 0xfe, 0xfd], b"GET / HTTP/1.1\r\n\r\n", &[0x88, 0x80, 1, 2]]
    {
        cases.push(Case::stays(format!("ping {payload:02x?}"), ping(payload), &[pong(payload)]));
    }
    for length in [126, 127, 1_000, 65_536] {
        for (name, opcode) in [("ping", PING), ("pong", PONG)] {
            let bytes = [a_move(1), masked(FIN | opcode, &vec![0; length])].concat();
            cases.push(Case::refused(format!("{name} of {length} bytes"), bytes, &[Ack(1)], 1002));
        }
    }
    cases.push(Case::refused(
        "ping of 5 bytes with a 16-bit length",
        length_16(FIN | PING, 5, b"hello"),
        &[],
        1002,
    ));
    cases.push(Case::refused(
        "ping of 5 bytes with a 64-bit length",
        length_64(FIN | PING, 5, b"hello"),
        &[],
        1002,
    ));
    cases.push(Case::refused("fragmented ping", masked(PING, b"part"), &[], 1002));
    cases.push(Case::refused("fragmented pong", masked(PONG, b"part"), &[], 1002));
    let numbered: Vec<Vec<u8>> = (0..50_u8).map(|number| vec![number; usize::from(number)]).collect();
    let pings: Vec<u8> = numbered.iter().flat_map(|payload| ping(payload)).collect();
    let pongs: Vec<Reply> = numbered.iter().map(|payload| pong(payload)).collect();
    cases.push(Case::stays("fifty pings", pings, &pongs));
    let mixed = [ping(b"a"), masked(FIN | PONG, b"b"), a_move(1), ping(b"c"), a_move(2)].concat();
    cases.push(Case::stays("pings among MOVEs", mixed, &[pong(b"a"), Ack(1), pong(b"c"), Ack(2)]));
    run(&cases);
}

#[test]
fn text() {
    let texts: [(&str, &[u8]); 12] = [
        ("empty", b""),
        ("ASCII", b"hello"),
        ("a BOM", "\u{feff}".as_bytes()),
        ("two bytes per character", "κόσμε".as_bytes()),
        ("four bytes per character", "\u{10ffff}".as_bytes()),
        ("a noncharacter", "\u{ffff}".as_bytes()),
        ("a lone continuation byte", &[0x80]),
        ("an overlong slash", &[0xc0, 0xaf]),
        ("a surrogate", &[0xed, 0xa0, 0x80]),
        ("a truncated character", &[0xce]),
        ("above the last code point", &[0xf4, 0x90, 0x80, 0x80]),
        ("a byte that is never valid in UTF-8", &[0xff]),
    ];
    let mut cases = Vec::new();
    for (name, text) in texts {
        let bytes = [a_move(1), masked(FIN | TEXT, text), a_move(2)].concat();
        cases.push(Case::refused(format!("text: {name}"), bytes, &[Ack(1)], 1003));
        let parts = [masked(TEXT, text), ping(b"between"), masked(FIN | CONTINUATION, b"!")].concat();
        cases.push(Case::refused(format!("text in fragments: {name}"), parts, &[], 1003));
    }
    for length in [64, 65, 125, 126, 65_536] {
        let bytes = masked(FIN | TEXT, &vec![b'a'; length]);
        cases.push(Case::refused(format!("text of {length} bytes"), bytes, &[], 1003));
    }
    run(&cases);
}

#[test]
fn utf_8_of_close_reasons() {
    let mut cases = Vec::new();
    let longest = "é".repeat(61) + "x";
    for reason in
        ["", "bye", "κόσμε", "\u{0}", "\u{d7ff}\u{e000}", "\u{ffff}\u{10ffff}", "\u{feff}", &longest]
    {
        let bytes = close(1000, reason.as_bytes());
        let payload = [&1000_u16.to_be_bytes()[..], reason.as_bytes()].concat();
        cases.push(Case::echoed(format!("reason {reason:?}"), bytes, &[], &payload));
    }
    let broken: [(&str, &[u8]); 12] = [
        ("a lone continuation byte", &[0x80]),
        ("a lone last continuation byte", &[0xbf]),
        ("an overlong slash in two bytes", &[0xc0, 0xaf]),
        ("an overlong slash in three bytes", &[0xe0, 0x80, 0xaf]),
        ("an overlong zero in four bytes", &[0xf0, 0x80, 0x80, 0x80]),
        ("the first surrogate", &[0xed, 0xa0, 0x80]),
        ("the last surrogate", &[0xed, 0xbf, 0xbf]),
        ("above the last code point", &[0xf4, 0x90, 0x80, 0x80]),
        ("five bytes per character", &[0xf8, 0x88, 0x80, 0x80, 0x80]),
        ("a truncated character at the end", &[b'o', b'k', 0xe2, 0x82]),
        ("a truncated character in the middle", &[0xe2, 0x82, b'o', b'k']),
        ("bytes that are never valid in UTF-8", &[0xfe, 0xff]),
    ];
    for (name, reason) in broken {
        let bytes = [a_move(1), close(1000, reason), ping(b"behind")].concat();
        cases.push(Case::refused(format!("reason: {name}"), bytes, &[Ack(1)], 1007));
    }
    run(&cases);
}
