//! The cost of encoding frames for a client: the largest one, and the two most common.

mod quick;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use pixi_game_server::wire::message::{self, Entry, Facing, State};

/// Entries of a snapshot in a crowd: the default of `MAX_VISIBLE`.
const ENTRIES: u32 = 128;

fn main() {
    let mut criterion = quick::criterion();
    game_state(&mut criterion);
    small_frames(&mut criterion);
    criterion.final_summary();
}

fn game_state(criterion: &mut Criterion) {
    let entry = |number: u32| Entry {
        id: 1001 + number,
        x: 100 + number as u16,
        y: 900 - number as u16,
        dx: (number % 3) as i8 - 1,
        dy: (number / 3 % 3) as i8 - 1,
        state: if number.is_multiple_of(2) { State::Moving } else { State::Idle },
        facing: if number.is_multiple_of(5) { Facing::Left } else { Facing::Right },
    };
    let entries: Vec<Entry> = (0..ENTRIES).map(entry).collect();
    let mut out = Vec::new();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(u64::from(ENTRIES)));
    group.bench_function("game_state/128 entries", |bencher| {
        bencher.iter(|| {
            out.clear();
            message::game_state(&mut out, black_box(&entries).iter().copied());
            assert_eq!(black_box(&out).len(), 4 + 5 + message::ENTRY_BYTES * ENTRIES as usize);
        });
    });
    group.finish();
}

fn small_frames(criterion: &mut Criterion) {
    let mut out = Vec::new();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("ack", |bencher| {
        bencher.iter(|| {
            out.clear();
            message::ack(&mut out, black_box(1004), black_box(308), black_box(728), black_box(1));
            assert_eq!(black_box(&out).len(), 15);
        });
    });
    group.bench_function("movement", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(&message::movement(black_box(1004), black_box(-1), black_box(1)));
            assert_eq!(black_box(&out).len(), 9);
        });
    });
    group.finish();
}
