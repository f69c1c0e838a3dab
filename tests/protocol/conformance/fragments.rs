//! Fragmented messages: their parts, frames in between, and their size limits.

use super::case::{Case, Reply::Ack, a_move, length_16, ping, pong, step, unmasked};
use super::run;
use crate::support::raw::{BINARY, CLOSE, CONTINUATION, FIN, PONG, TEXT, masked};

/// A MOVE in fragments of these lengths.
fn cut(sequence: u32, lengths: &[usize]) -> Vec<u8> {
    let (mut rest, mut bytes) = (&step(sequence)[..], Vec::new());
    for (index, length) in lengths.iter().enumerate() {
        let opcode = if index == 0 { BINARY } else { CONTINUATION };
        let fin = if index + 1 == lengths.len() { FIN } else { 0 };
        bytes.extend(masked(fin | opcode, &rest[..*length]));
        rest = &rest[*length..];
    }
    assert!(rest.is_empty(), "fragments of a whole MOVE");
    bytes
}

#[test]
fn messages_in_fragments() {
    let ways: [&[usize]; 8] =
        [&[6], &[3, 3], &[1, 5], &[1; 6], &[0, 6], &[6, 0], &[0, 0, 6, 0, 0], &[0, 2, 0, 4, 0]];
    let mut cases = Vec::new();
    for lengths in ways {
        cases.push(Case::stays(format!("MOVE in {lengths:?}"), cut(1, lengths), &[Ack(1)]));
        let bytes = [a_move(1), cut(2, lengths), cut(3, lengths), a_move(4)].concat();
        let replies = [Ack(1), Ack(2), Ack(3), Ack(4)];
        cases.push(Case::stays(format!("MOVEs in {lengths:?} among others"), bytes, &replies));
    }
    let (head, tail) = (masked(BINARY, &step(9)[..2]), masked(FIN | CONTINUATION, &step(9)[2..]));
    let with = |between: Vec<u8>| [&head[..], &between, &tail].concat();
    cases.push(Case::stays("ping between", with(ping(b"a")), &[pong(b"a"), Ack(9)]));
    cases.push(Case::stays("pong between", with(masked(FIN | PONG, b"a")), &[Ack(9)]));
    let two = [ping(b"a"), masked(CONTINUATION, b""), ping(b"b")].concat();
    cases.push(Case::stays(
        "pings and an empty fragment between",
        with(two),
        &[pong(b"a"), pong(b"b"), Ack(9)],
    ));
    cases.push(
        Case::stays(
            "empty message in fragments",
            [masked(BINARY, b""), masked(FIN | CONTINUATION, b"")].concat(),
            &[],
        )
        .malformed(1),
    );
    run(&cases);
}

#[test]
fn invalid_fragments() {
    let head = masked(BINARY, &step(9)[..2]);
    let behind = |bytes: Vec<u8>| [a_move(1), head.clone(), bytes, ping(b"behind")].concat();
    let alone = |bytes: Vec<u8>| [a_move(1), bytes, ping(b"behind")].concat();
    let (last, middle) = (masked(FIN | CONTINUATION, &step(9)), masked(CONTINUATION, &step(9)));
    let rows = [
        ("a last fragment without a first", alone(last.clone())),
        ("a fragment without a first", alone(middle.clone())),
        ("an empty fragment without a first", alone(masked(FIN | CONTINUATION, b""))),
        ("a fragment after the last", [cut(1, &[3, 3]), last, ping(b"behind")].concat()),
        ("a MOVE inside a message", behind(a_move(2))),
        ("another message's first fragment inside", behind(masked(BINARY, b""))),
        ("text inside a binary message", behind(masked(FIN | TEXT, b"x"))),
        ("fragmented text inside a binary message", behind(masked(TEXT, b"x"))),
        ("a fragmented ping inside", behind(masked(0x9, b"x"))),
        ("a fragmented Close inside", behind(masked(CLOSE, b""))),
        ("an unmasked fragment", behind(unmasked(FIN | CONTINUATION, b"x"))),
        ("a fragment of 4 bytes with a 16-bit length", behind(length_16(FIN | CONTINUATION, 4, b"abcd"))),
    ];
    let cases: Vec<_> =
        rows.into_iter().map(|(name, bytes)| Case::refused(name, bytes, &[Ack(1)], 1002)).collect();
    run(&cases);
}

#[test]
fn sizes_of_fragmented_messages() {
    let of = |lengths: &[usize]| {
        let mut bytes = Vec::new();
        for (index, length) in lengths.iter().enumerate() {
            let opcode = if index == 0 { BINARY } else { CONTINUATION };
            let fin = if index + 1 == lengths.len() { FIN } else { 0 };
            bytes.extend(masked(fin | opcode, &vec![3; *length]));
        }
        bytes
    };
    let mut cases = Vec::new();
    for (name, lengths) in [
        ("64 bytes in two fragments", vec![32, 32]),
        ("64 bytes, one per fragment", vec![1; 64]),
        ("64 bytes, then empty fragments", vec![64, 0, 0, 0]),
        ("64 bytes among 300 empty fragments", [vec![0; 150], vec![64], vec![0; 150]].concat()),
    ] {
        cases.push(Case::stays(name, [of(&lengths), a_move(1)].concat(), &[Ack(1)]).malformed(1));
    }
    for (name, lengths) in [
        ("65 bytes in two fragments", vec![64, 1]),
        ("65 bytes, one per fragment", vec![1; 65]),
        ("65 bytes, the last after 50 empty fragments", [vec![64], vec![0; 50], vec![1]].concat()),
        ("an oversized fragment", vec![1, 65]),
        ("an oversized first fragment", vec![65, 1]),
        ("a thousand fragments", vec![64; 1_000]),
        ("a fragment of a megabyte", vec![1, 1 << 20]),
    ] {
        cases.push(Case::refused(name, [a_move(1), of(&lengths)].concat(), &[Ack(1)], 1009));
    }
    run(&cases);
}
