//! The progress line: at most as wide as a usual terminal.

use crate::measure::Second;

/// Longest line in characters: 80 columns less the trailing space.
const COLUMNS_MAX: usize = 79;

/// Smallest lateness of the generator that is shown, in milliseconds.
const LATE_MS: f64 = 1.0;

/// Returns the line for one second. The generator's lateness and the bytes are omitted if they do not fit.
pub fn line(stage: &str, second: &Second, elapsed_s: f64) -> String {
    let per_s = |count: u64| short(count as f64 / elapsed_s);
    let (at_s, playing, moves) = (second.at_s, second.playing, per_s(second.moves));
    let line = format!("{at_s:4.0}s {stage:<10} {playing:>5} players {moves:>5} moves/s");
    let bytes = format!(" {}B/s", per_s(second.bytes_in));
    if second.ack.count == 0 {
        return format!("{line} no acks{bytes}");
    }
    let line = format!("{line} ack p99 {} max {}", ms(second.ack.p99_ms), ms(second.ack.max_ms));
    let late = format!(" late {}", ms(second.lateness_p99_ms));
    let late = if second.lateness_p99_ms >= LATE_MS { &late } else { "" };
    let variants = [(late, bytes.as_str()), (late, ""), ("", &bytes), ("", "")];
    let lines = variants.map(|(late, bytes)| format!("{line}{late} ms{bytes}"));
    lines.into_iter().find(|line| line.len() <= COLUMNS_MAX).unwrap_or_default()
}

/// Returns a line that overwrites the previous one. A narrower terminal truncates it without wrapping; its last
/// column shows the trailing space.
pub fn in_place(line: &str) -> String {
    format!("\r\x1b[K\x1b[?7l{line} \x1b[?7h")
}

/// Formats a number in at most five characters.
fn short(number: f64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.into_iter().find(|(scale, _)| number >= 0.9995 * scale) {
        Some((scale, unit)) => format!("{}{unit}", three_digits((number / scale).min(999.0))),
        None => format!("{number:.0}"),
    }
}

/// Formats milliseconds in at most six characters.
fn ms(time_ms: f64) -> String {
    three_digits(time_ms.min(999_999.0))
}

fn three_digits(number: f64) -> String {
    let decimals = if number < 9.995 { 2 } else { usize::from(number < 99.95) };
    format!("{number:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Summary;

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
}
