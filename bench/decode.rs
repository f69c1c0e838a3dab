//! The cost of receiving a MOVE: decoding the message, and reading it from its masked frame.

mod quick;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use pixi_game_server::wire::message::{ClientMessage, decode};
use pixi_game_server::wire::websocket::{Event, WebSocket};

/// Frames in one read from a client that was stalled for one or two seconds.
const FRAMES: usize = 64;

/// Default read buffer of a connection, in bytes.
const READ_BUFFER_BYTES: usize = 256;

fn main() {
    let mut criterion = quick::criterion();
    messages(&mut criterion);
    frames(&mut criterion);
    criterion.final_summary();
}

/// A client's steps to the right, claims included, as the browser sends them.
fn moves() -> Vec<[u8; 14]> {
    let step = |sequence: u32| {
        let mut message = [0; 14];
        message[..2].copy_from_slice(&[3, 0b0110]);
        message[2..6].copy_from_slice(&sequence.to_le_bytes());
        message[6..10].copy_from_slice(&(304 + 4 * sequence).to_le_bytes());
        message[10..].copy_from_slice(&728u32.to_le_bytes());
        message
    };
    (1..=FRAMES as u32).map(step).collect()
}

fn masked(payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | payload.len() as u8];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn messages(criterion: &mut Criterion) {
    let messages = moves();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("message/64 moves", |bencher| {
        bencher.iter(|| {
            for message in &messages {
                assert!(matches!(black_box(decode(black_box(message))), Ok(ClientMessage::Move(_))));
            }
        });
    });
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let frames: Vec<u8> = moves()
        .iter()
        .zip(1u32..)
        .flat_map(|(step, i)| masked(step, (i * 0x0101_4153).to_le_bytes()))
        .collect();
    let (mut websocket, mut out) = (WebSocket::new(READ_BUFFER_BYTES), Vec::new());
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("frame/64 moves in one read", |bencher| {
        bencher.iter(|| {
            let mut input = black_box(frames.as_slice());
            let mut moves = 0;
            while let Ok(Some(event)) = websocket.next_event(&mut input, &mut out) {
                moves += usize::from(matches!(black_box(event), Event::Message(ClientMessage::Move(_))));
            }
            assert_eq!(moves, FRAMES);
        });
    });
    let alone = masked(&moves()[0], [0x1c, 0xe2, 0x53, 0x9d]);
    group.throughput(Throughput::Elements(1));
    group.bench_function("frame/one move a read", |bencher| {
        bencher.iter(|| {
            let mut input = black_box(alone.as_slice());
            let event = websocket.next_event(&mut input, &mut out);
            assert!(matches!(black_box(event), Ok(Some(Event::Message(_)))));
            // The server also reads events until none is left.
            assert_eq!(websocket.next_event(&mut input, &mut out), Ok(None));
        });
    });
    group.finish();
}
