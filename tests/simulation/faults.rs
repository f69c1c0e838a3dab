//! Every fault at every position of what one connection writes: no byte is lost, doubled or out of order, and after an
//! error that does not pass nothing more is written.

use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::server::connection::{Connection, WriteFailed};

use super::random::Random;
use super::shim::{FAULTS, Fault, Plan, Shim};

const NOW_MS: u64 = 7;

/// What the loop does with one connection, in one turn of the script.
enum Step {
    /// A flush from a round, or replies with what rides along.
    Write(&'static [u8]),
    /// Something waits in the outbox: a ping, a close frame, a response.
    Append(&'static [u8]),
    /// Replies older than what waits in the outbox already.
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

/// All that the script writes, in order.
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

/// Tells a connection of what its socket has to tell, as the loop's dispatch does.
fn deliver_edges(connection: &mut Connection<Shim>, metrics: &mut Metrics) -> Result<(), WriteFailed> {
    while connection.stream.is_writable_edge() {
        connection.writable = true;
        connection.flush(NOW_MS, metrics)?;
    }
    Ok(())
}

fn play(connection: &mut Connection<Shim>, metrics: &mut Metrics) -> Result<(), WriteFailed> {
    for step in &SCRIPT {
        match step {
            Step::Write(bytes) => connection.write(bytes, NOW_MS, metrics)?,
            Step::Append(bytes) => {
                connection.outbox.bytes().extend_from_slice(bytes);
                connection.flush(NOW_MS, metrics)?;
            }
            Step::Prepend(later, earlier) => {
                // The batch ends with everything written that was there before; then these two come in one turn.
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
fn no_byte_is_lost_or_doubled_whatever_fails_wherever() {
    let intended = intended();
    for position in 0..intended.len() {
        for fault in FAULTS {
            let mut metrics = Metrics::default();
            let mut connection = Connection::new(Shim::new(Plan::WriteAt(position, fault)), u64::MAX);
            let result = play(&mut connection, &mut metrics);
            let taken = &connection.stream.written;
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
fn no_byte_is_lost_or_doubled_when_all_goes_wrong_all_the_time() {
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let mut metrics = Metrics::default();
        let mut shim = Shim::new(Plan::Transient(Random::new(seed + 1)));
        shim.send_buffer_bytes = 1 + random.below(200) as usize;
        let mut connection = Connection::new(shim, u64::MAX);
        let (mut intended, mut received) = (Vec::new(), Vec::new());
        for byte in 0..200_u8 {
            let bytes = vec![byte; random.below(60) as usize];
            intended.extend_from_slice(&bytes);
            connection.write(&bytes, NOW_MS, &mut metrics).expect("faults pass");
            if random.chance(3) {
                received.append(&mut connection.stream.written);
                deliver_edges(&mut connection, &mut metrics).expect("faults pass");
            }
        }
        while !connection.outbox.is_empty() {
            received.append(&mut connection.stream.written);
            deliver_edges(&mut connection, &mut metrics).expect("faults pass");
        }
        received.append(&mut connection.stream.written);
        assert_eq!(received, intended, "seed {seed}");
    }
}
