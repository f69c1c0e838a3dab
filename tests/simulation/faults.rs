//! Injects every fault at every position of one connection's output. No byte is lost, duplicated or
//! reordered, and nothing is written after a permanent error.

use std::rc::Rc;

use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::server::core::connection::{Connection, WriteFailed};
use pixi_game_server::server::core::table::Token;

use super::machine::random::Random;
use super::machine::socket::{FAULTS, Fault, Kernel, Pipe, Plan, ServerEnd};

const NOW_MS: u64 = 7;

/// An operation of the event loop on the connection.
enum Step {
    /// A flush of a round, or replies with a piggybacked delta.
    Write(&'static [u8]),
    /// Appends to the outbox: a ping, a close frame or a response.
    Append(&'static [u8]),
    /// Prepends replies that are older than the content of the outbox.
    Prepend(&'static [u8], &'static [u8]),
}

const SCRIPT: [Step; 6] = [
    Step::Write(b"first frame"),
    Step::Append(b"a ping"),
    Step::Write(b"second, behind it"),
    Step::Prepend(b"a close", b"the acks before it "),
    Step::Write(b"third"),
    Step::Append(b"the end"),
];

/// The output of the script, in order.
fn intended() -> Vec<u8> {
    let parts: Vec<&[u8]> = SCRIPT
        .iter()
        .flat_map(|step| match step {
            Step::Write(bytes) | Step::Append(bytes) => vec![*bytes],
            Step::Prepend(later, earlier) => vec![*earlier, *later],
        })
        .collect();
    parts.concat()
}

/// Delivers pending readiness edges, like the event loop's dispatch.
fn deliver_edges(connection: &mut Connection<ServerEnd>, metrics: &mut Metrics) -> Result<(), WriteFailed> {
    loop {
        let mut pipe = connection.stream.pipe.borrow_mut();
        if pipe.kernel.ready.take().is_empty() {
            return Ok(());
        }
        let readiness = pipe.take_event();
        drop(pipe);
        connection.note(readiness);
        connection.flush(NOW_MS, metrics)?;
    }
}

/// A registered connection on a socket with these faults.
fn connection(plan: Plan, send_buffer_bytes: usize) -> Connection<ServerEnd> {
    let pipe = Pipe::new(plan, &Rc::new(Kernel::default()));
    pipe.borrow_mut().send_buffer_bytes = send_buffer_bytes;
    pipe.borrow_mut().register(Token(0));
    Connection::new(ServerEnd::new(pipe), 0, u64::MAX)
}

/// What the client fetches.
fn fetch(connection: &Connection<ServerEnd>) -> Vec<u8> {
    connection.stream.pipe.borrow_mut().fetch(usize::MAX)
}

fn play(connection: &mut Connection<ServerEnd>, metrics: &mut Metrics) -> Result<(), WriteFailed> {
    for step in &SCRIPT {
        match step {
            Step::Write(bytes) => connection.write(bytes, NOW_MS, metrics)?,
            Step::Append(bytes) => {
                connection.outbox.bytes().extend_from_slice(bytes);
                connection.flush(NOW_MS, metrics)?;
            }
            Step::Prepend(later, earlier) => {
                // All earlier output is written by the end of the batch; then both parts are queued together.
                deliver_edges(connection, metrics)?;
                connection.outbox.bytes().extend_from_slice(later);
                connection.outbox.prepend(earlier);
                connection.flush(NOW_MS, metrics)?;
            }
        }
    }
    deliver_edges(connection, metrics)
}

#[test]
fn no_byte_is_lost_or_duplicated_by_a_fault_at_any_position() {
    let intended = intended();
    for position in 0..intended.len() {
        for fault in FAULTS {
            let mut metrics = Metrics::default();
            let mut connection = connection(Plan::WriteAt(position, fault), 16 * 1024);
            let result = play(&mut connection, &mut metrics);
            let taken = &connection.stream.pipe.borrow().written;
            assert_eq!(metrics.bytes_out_total, taken.len() as u64);
            if matches!(fault, Fault::Reset | Fault::TimedOut) {
                assert_eq!(result, Err(WriteFailed), "{fault:?} at {position}");
                assert_eq!(*taken, intended[..position], "{fault:?} at {position}");
            } else {
                assert_eq!(result, Ok(()), "{fault:?} at {position}");
                assert_eq!(*taken, intended, "{fault:?} at {position}");
                assert!(connection.outbox.is_empty(), "{fault:?} at {position}");
            }
        }
    }
}

#[test]
fn no_byte_is_lost_or_duplicated_under_permanent_random_faults() {
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let mut metrics = Metrics::default();
        let plan = Plan::Transient(Random::new(seed + 1));
        let mut connection = connection(plan, 1 + random.below(200) as usize);
        let (mut intended, mut received) = (Vec::new(), Vec::new());
        for byte in 0..200_u8 {
            let bytes = vec![byte; random.below(60) as usize];
            intended.extend_from_slice(&bytes);
            connection.write(&bytes, NOW_MS, &mut metrics).expect("all faults are transient");
            if random.chance(3) {
                received.extend(fetch(&connection));
                deliver_edges(&mut connection, &mut metrics).expect("all faults are transient");
            }
        }
        while !connection.outbox.is_empty() {
            received.extend(fetch(&connection));
            deliver_edges(&mut connection, &mut metrics).expect("all faults are transient");
        }
        received.extend(fetch(&connection));
        assert_eq!(received, intended, "seed {seed}");
    }
}
