//! Frame headers: masks, lengths, reserved bits, opcodes.

use super::case::{Case, Reply::Ack, a_move, length_16, length_64, masked_with, ping, pong, step, unmasked};
use super::run;
use crate::support::raw::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, masked};

/// Length of the longest message, in bytes. The server refuses longer ones with 1009.
const MESSAGE_BYTES_MAX: usize = 64;

#[test]
fn framing_and_masks() {
    let mut cases = Vec::new();
    for key in [[0; 4], [0xff; 4], [0, 0, 0, 1], [0x80, 0, 0, 0], [3, 3, 3, 3], [0x82, 0x86, 0, 0xff]] {
        let bytes = masked_with(key, FIN | BINARY, &step(5));
        cases.push(Case::stays(format!("MOVE masked with {key:02x?}"), bytes, &[Ack(5)]));
        let bytes = [masked_with(key, FIN | PING, b"hello"), a_move(6)].concat();
        cases.push(Case::stays(format!("ping masked with {key:02x?}"), bytes, &[pong(b"hello"), Ack(6)]));
    }
    cases.push(Case::stays("no bytes", [], &[]));
    cases.push(Case::stays("one MOVE", a_move(1), &[Ack(1)]));
    cases.push(Case::stays("two MOVEs", [a_move(1), a_move(2)].concat(), &[Ack(1), Ack(2)]));
    for (name, first) in
        [("MOVE", FIN | BINARY), ("text", FIN | TEXT), ("ping", FIN | PING), ("Close", FIN | CLOSE)]
    {
        let bytes = [unmasked(first, &step(2)), a_move(3)].concat();
        cases.push(Case::refused(format!("unmasked {name}"), bytes, &[], 1002));
    }
    cases.push(Case::refused(
        "unmasked after a MOVE",
        [a_move(1), unmasked(FIN | PING, b"")].concat(),
        &[Ack(1)],
        1002,
    ));
    cases.push(Case::refused("unmasked and empty", unmasked(FIN | BINARY, b""), &[], 1002));
    run(&cases);
}

#[test]
fn lengths() {
    let mut cases = Vec::new();
    // A message of an unknown length up to the limit violates the game protocol, not the framing.
    for length in [0, 3, 5, 7, 63, MESSAGE_BYTES_MAX] {
        let bytes = [masked(FIN | BINARY, &vec![3; length]), a_move(1)].concat();
        cases.push(Case::stays(format!("{length} bytes"), bytes, &[Ack(1)]).malformed(1));
    }
    for length in [65, 100, 124, 125, 126, 127, 128, 1_000, 65_535, 65_536, 100_000] {
        let bytes = [a_move(1), masked(FIN | BINARY, &vec![3; length])].concat();
        cases.push(Case::refused(format!("{length} bytes"), bytes, &[Ack(1)], 1009));
    }
    for length in [0, 1, 6, 14, 64, 65, 125] {
        let bytes = length_16(FIN | BINARY, length, &step(1));
        cases.push(Case::refused(format!("{length} as a 16-bit length"), bytes, &[], 1002));
    }
    for length in [0, 6, 64, 125, 126, 65_535] {
        let bytes = length_64(FIN | BINARY, length, &step(1));
        cases.push(Case::refused(format!("{length} as a 64-bit length"), bytes, &[], 1002));
    }
    // An announced length above the limit is refused before the payload arrives.
    for length in [126, 255, 256, u16::MAX] {
        cases.push(Case::refused(
            format!("{length} announced"),
            length_16(FIN | BINARY, length, b""),
            &[],
            1009,
        ));
    }
    for length in [65_536, 1 << 24, 1 << 32, i64::MAX as u64] {
        cases.push(Case::refused(
            format!("{length} announced"),
            length_64(FIN | BINARY, length, b""),
            &[],
            1009,
        ));
    }
    for length in [1 << 63, u64::MAX] {
        let bytes = length_64(FIN | BINARY, length, b"");
        cases.push(Case::refused(format!("{length} announced, highest bit set"), bytes, &[], 1002));
    }
    run(&cases);
}

#[test]
fn reserved_bits() {
    let mut cases = Vec::new();
    for bits in (1..8).map(|bits| bits << 4) {
        let kinds = [
            ("MOVE", BINARY),
            ("text", TEXT),
            ("ping", PING),
            ("pong", PONG),
            ("Close", CLOSE),
            ("opcode 3", 3),
        ];
        for (name, opcode) in kinds {
            let bytes = [a_move(1), masked(FIN | bits | opcode, &step(2)), ping(b"behind")].concat();
            cases.push(Case::refused(format!("{name} with bits {bits:#x}"), bytes, &[Ack(1)], 1002));
        }
        let fragments = [masked(BINARY, b""), masked(FIN | bits | CONTINUATION, &step(2))].concat();
        cases.push(Case::refused(format!("last fragment with bits {bits:#x}"), fragments, &[], 1002));
        let fragments = [masked(bits | BINARY, b""), masked(FIN | CONTINUATION, &step(2))].concat();
        cases.push(Case::refused(format!("first fragment with bits {bits:#x}"), fragments, &[], 1002));
    }
    run(&cases);
}

#[test]
fn opcodes() {
    let mut cases = Vec::new();
    for opcode in (3..8).chain(0xb..0x10) {
        for (name, payload) in [("empty", &b""[..]), ("with a payload", &step(2))] {
            let bytes = [a_move(1), ping(b"before"), masked(FIN | opcode, payload), ping(b"behind")].concat();
            let replies = [Ack(1), pong(b"before")];
            cases.push(Case::refused(format!("opcode {opcode:#x} {name}"), bytes, &replies, 1002));
        }
        cases.push(Case::refused(format!("fragment of opcode {opcode:#x}"), masked(opcode, b"x"), &[], 1002));
        let inside = [masked(BINARY, b""), masked(FIN | opcode, b"x")].concat();
        cases.push(Case::refused(format!("opcode {opcode:#x} inside a message"), inside, &[], 1002));
    }
    run(&cases);
}
