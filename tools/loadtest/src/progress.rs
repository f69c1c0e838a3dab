//! The progress line: at most as wide as a usual terminal.

use std::fmt::Write as _;

use crate::measure::{Second, Summary};

/// Longest line in characters: 80 columns less the trailing space.
const COLUMNS_MAX: usize = 79;

/// Smallest lateness of the generator that is shown, in milliseconds.
const LATE_MS: f64 = 1.0;

/// Unit of the times.
const UNIT: &str = " ms";

/// Returns the line for one second. The generator's lateness and the bytes are omitted if they do not fit.
pub fn line(stage: &str, second: &Second, elapsed_s: f64) -> String {
    let per_s = |count: u64| count as f64 / elapsed_s;
    let (at_s, moves) = (second.at_s, short(per_s(second.moves)));
    let mut line = format!("{at_s:4.0}s {stage:<10} {:>5} players {moves:>5} moves/s", second.playing);
    match second.ack {
        Summary { count: 0, .. } => line.push_str(" no acks"),
        Summary { p99_ms, max_ms, .. } => {
            let _ = write!(line, " ack p99 {} max {}", ms(p99_ms), ms(max_ms));
            let late_ms = second.lateness_p99_ms;
            let late = format!(" late {}", ms(late_ms));
            if late_ms >= LATE_MS && line.len() + late.len() + UNIT.len() <= COLUMNS_MAX {
                line.push_str(&late);
            }
            line.push_str(UNIT);
        }
    }
    let bytes = format!(" {}B/s", short(per_s(second.bytes_in)));
    if line.len() + bytes.len() <= COLUMNS_MAX {
        line.push_str(&bytes);
    }
    line
}

/// Returns a line that overwrites the previous one. A narrower terminal truncates it without wrapping; its last
/// column shows the trailing space.
pub fn in_place(line: &str) -> String {
    format!("\r\x1b[K\x1b[?7l{line} \x1b[?7h")
}

/// Formats a number in at most five characters.
fn short(number: f64) -> String {
    let (scaled, unit) = match number {
        number if number < 999.5 => return format!("{number:.0}"),
        number if number < 999.5e3 => (number / 1e3, "k"),
        number if number < 999.5e6 => (number / 1e6, "M"),
        number => (number.min(999e9) / 1e9, "G"),
    };
    let decimals = match scaled {
        scaled if scaled < 9.995 => 2,
        scaled if scaled < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.decimals$}{unit}")
}

/// Formats milliseconds in at most six characters.
fn ms(time_ms: f64) -> String {
    match time_ms {
        time_ms if time_ms < 9.995 => format!("{time_ms:.2}"),
        time_ms if time_ms < 99.95 => format!("{time_ms:.1}"),
        time_ms => format!("{:.0}", time_ms.min(999_999.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at_s: f64, playing: usize, count: u64, time_ms: f64) -> Second {
        let times = Summary { count: 1, p99_ms: time_ms, max_ms: time_ms, ..Summary::default() };
        let bytes_in = count.saturating_mul(2_000);
        Second {
            at_s,
            playing,
            moves: count,
            bytes_in,
            ack: times,
            lateness_p99_ms: time_ms,
            ..Second::default()
        }
    }

    #[test]
    fn a_usual_line_has_every_part() {
        let usual = Second { lateness_p99_ms: 0.0, ..second(12.0, 10_000, 19_984, 12.3) };
        assert_eq!(
            line("measuring", &usual, 1.0),
            "  12s measuring  10000 players 20.0k moves/s ack p99 12.3 max 12.3 ms 40.0MB/s"
        );
        let quiet = line("connecting", &Second::default(), 1.0);
        assert_eq!(quiet, "   0s connecting     0 players     0 moves/s no acks 0B/s");
        let late = line("settling", &second(3.0, 10, 20, 5.0), 1.0);
        assert_eq!(late, "   3s settling      10 players    20 moves/s ack p99 5.00 max 5.00 late 5.00 ms");
    }

    #[test]
    fn every_line_fits_the_terminal_and_shows_the_acks() {
        for at_s in [0.0, 59.0, 9_999.0, 9_999_999.0] {
            for playing in [0, 10_000, 1_000_000] {
                for count in [0, 999, 20_000, 999_950, 123_456_789, u64::MAX] {
                    for time_ms in [0.001, 9.999, 99.99, 120_000.0, f64::MAX] {
                        let line = line("connecting", &second(at_s, playing, count, time_ms), 0.9);
                        assert!(line.len() <= COLUMNS_MAX, "{} characters: {line}", line.len());
                        assert!(line.contains(" max ") && line.is_ascii(), "{line}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_overwriting_line_does_not_wrap_and_restores_the_terminal() {
        assert_eq!(in_place("x"), "\r\x1b[K\x1b[?7lx \x1b[?7h");
    }
}
