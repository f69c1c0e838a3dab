//! Tables of runs, and the numbers of players that have the same quality. Pure.

use std::fmt::Write as _;

use super::run::{Load, Sample};
use crate::figures::spread_text;

/// A figure: its key, name with unit, and decimals.
type Row = (&'static str, &'static str, usize);

#[rustfmt::skip] // One row per figure.
const ROWS: &[Row] = &[
    ("players", "players connected", 0),
    ("flush_interval_ms", "flush interval in force, ms", 1),
    ("max_visible", "players shown at most", 0),
    ("governor_level", "quality level (0 is the best)", 2),
    ("ack_mean_ms", "ack round trip of the sample, mean, ms", 2),
    ("ack_p99_ms", "ack round trip of the sample, p99, ms", 1),
    ("to_screen_mean_ms", "delay of changes to the screen, mean, ms", 1),
    ("moves_per_s", "MOVEs per second", 0),
    ("server_cpu_s", "CPU of all servers, s", 2),
    ("load_cpu_s", "CPU of the load tests, s", 2),
    ("redis_cpu_s", "CPU of Redis, s", 2),
    ("server_cores", "CPU of all servers, cores", 2),
    ("cpu_us_per_player_s", "CPU of the servers per player and second, us", 1),
    ("joined_in_s", "all clients joined after, s", 1),
    ("replicas", "replicas compared with the truth", 0),
];

fn processes_text(count: usize) -> String {
    if count == 1 { "1 process".to_owned() } else { format!("{count} processes") }
}

/// Formats the runs of a load, with a column for each number of processes.
pub fn section(title: &str, load: &Load, columns: &[(usize, &[Sample])]) -> String {
    let commands = load.commands("ADMIN_ADDRESSES").join("`, `loadtest ");
    let runs = columns.first().map_or(0, |(_, samples)| samples.len());
    let mut text = format!(
        "\n## {title}\n\n`loadtest {commands}`, measured over {} s. Runs in turns: {runs} of each; medians, with minimum and \
         maximum.\n\n|",
        load.seconds
    );
    for (count, _) in columns {
        let _ = write!(text, " | {}", processes_text(*count));
    }
    let _ = writeln!(text, " |\n|---|{}", "---:|".repeat(columns.len()));
    for (key, name, decimals) in ROWS {
        let _ = write!(text, "| {name} |");
        for (_, samples) in columns {
            let values: Vec<f64> =
                samples.iter().filter_map(|sample| sample.figures.get(key).copied()).collect();
            let _ = write!(text, " {} |", spread_text(&values, *decimals));
        }
        text.push('\n');
    }
    let lines = columns.iter().flat_map(|(count, samples)| {
        let of = samples.iter().flat_map(|sample| sample.problems.iter().chain(&sample.remarks));
        of.map(move |line| format!("* {}: {line}\n", processes_text(*count)))
    });
    text.extend(std::iter::once("\n".to_owned()).chain(lines));
    text
}

/// Formats the quality of growing numbers of players, and how many have the same with several processes.
pub fn growth(flags: &str, processes: usize, one: &[(usize, Sample)], several: &[(usize, Sample)]) -> String {
    let mut text = format!(
        "Growing numbers of players with `{flags}`, one run each.\n\n\
         | processes | players | flush interval, ms | players shown | quality level | ack mean, ms | CPU of servers, cores | CPU of \
         load tests, s | CPU of Redis, s |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for (count, (players, sample)) in
        one.iter().map(|row| (1, row)).chain(several.iter().map(|row| (processes, row)))
    {
        let _ = write!(text, "| {count} | {players} |");
        for (key, decimals) in [
            ("flush_interval_ms", 1),
            ("max_visible", 0),
            ("governor_level", 2),
            ("ack_mean_ms", 2),
            ("server_cores", 2),
            ("load_cpu_s", 1),
            ("redis_cpu_s", 1),
        ] {
            let value: Vec<f64> = sample.figures.get(key).copied().into_iter().collect();
            let _ = write!(text, " {} |", spread_text(&value, decimals));
        }
        text.push('\n');
    }
    let _ = write!(
        text,
        "\nPlayers at the same quality level, interpolated:\n\n| quality level | 1 process | {} | ratio |\n\
         |---:|---:|---:|---:|\n",
        processes_text(processes)
    );
    for (players, level) in levels(one) {
        let (there, ratio) = match players_at(&levels(several), level) {
            Some(there) => (format!("{there:.0}"), format!("{:.2}", there / players)),
            None => ("not reached".to_owned(), String::new()),
        };
        let _ = writeln!(text, "| {level:.2} | {players:.0} | {there} | {ratio} |");
    }
    let remarks = one.iter().chain(several).flat_map(|(players, sample)| {
        sample
            .problems
            .iter()
            .chain(&sample.remarks)
            .map(move |line| format!("* {players} players: {line}\n"))
    });
    text.extend(std::iter::once("\n".to_owned()).chain(remarks));
    text
}

/// Players and their quality level, in the order of the runs.
fn levels(runs: &[(usize, Sample)]) -> Vec<(f64, f64)> {
    let level =
        |(players, sample): &(usize, Sample)| Some((*players as f64, *sample.figures.get("governor_level")?));
    runs.iter().filter_map(level).collect()
}

/// Returns the number of players that have this level, on the first stretch of the curve that crosses it; `None` if none does.
fn players_at(curve: &[(f64, f64)], level: f64) -> Option<f64> {
    curve.windows(2).find_map(|pair| {
        let ((few, low), (many, high)) = (pair[0], pair[1]);
        let crosses = low <= level && level <= high && low < high;
        crosses.then(|| few + (many - few) * (level - low) / (high - low))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(level: f64) -> Sample {
        Sample {
            figures: [("governor_level", level), ("flush_interval_ms", 50.0)].into(),
            ..Sample::default()
        }
    }

    #[test]
    fn players_of_a_level_are_interpolated_and_never_guessed() {
        let curve = [(10.0, 0.0), (20.0, 0.0), (30.0, 4.0)];
        assert_eq!(players_at(&curve, 2.0), Some(25.0));
        assert_eq!(players_at(&curve, 4.0), Some(30.0));
        assert_eq!(players_at(&curve, 5.0), None);
        assert_eq!(players_at(&curve[..1], 0.0), None);
    }

    #[test]
    fn the_ratio_compares_players_of_the_same_level() {
        let (one, several) = ([(10_000, sample(3.0))], [(10_000, sample(0.0)), (20_000, sample(6.0))]);
        let text = growth("--moves-per-second 2", 2, &one, &several);
        assert!(text.contains("| 3.00 | 10000 | 15000 | 1.50 |"), "{text}");
        let text = growth("", 2, &[(10_000, sample(7.0))], &several);
        assert!(text.contains("| 7.00 | 10000 | not reached |  |"), "{text}");
    }

    #[test]
    fn a_section_has_a_column_for_each_number_of_processes() {
        let load = Load { clients: 10, flags: "--moves-per-second 2".to_owned(), seconds: 5 };
        let samples = [sample(1.0), sample(2.0), sample(3.0)];
        let text = section("c", &load, &[(1, &samples), (2, &samples[..1])]);
        assert!(text.contains("| 1 process | 2 processes |"), "{text}");
        assert!(text.contains("| quality level (0 is the best) | 2.00 (1.00..3.00) | 1.00 |"), "{text}");
    }
}
