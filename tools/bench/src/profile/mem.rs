//! Heap profile from a server that counts its allocations. It counts twice: from its start until all clients have
//! settled, and then in the steady state.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ChildStdin;
use std::time::Duration;

use game_client::console::progress;
use game_client::text::thousands;
use game_client::{Failure, Interrupt};

use super::dhat::{Profile, Tally};
use super::rig::{Rig, Traffic};
use super::{Options, percent};
use crate::stage::Stage;

/// Time between the last join and the end of the first count. It exceeds a client's wait for its first snapshot, after
/// which all buffers have reached their final size.
const SETTLE_TIME: Duration = Duration::from_secs(7);

/// Time for the server to catch up: it stalls while it writes the first count.
const CATCH_UP_TIME: Duration = Duration::from_secs(3);

/// Timeout for the server to write a count.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// File of the first count; the server chooses the name.
const FIRST_COUNT: &str = "dhat-heap.json";

/// File of the second count; the server chooses the name.
const SECOND_COUNT: &str = "dhat-heap-2.json";

/// Final name of the second count.
const STEADY_STATE: &str = "dhat-heap-steady.json";

/// Measures, writes `mem.txt` beside the counts, and returns the summary to print. The server and the load test have
/// ended when it returns, even with an error.
///
/// # Errors
/// The server or the load test fails, no count is written in time, or the run is interrupted.
pub fn run(options: &Options, stage: &Stage, output: &Path) -> Result<String, Failure> {
    let interrupt = &stage.interrupt;
    for file in [FIRST_COUNT, SECOND_COUNT] {
        // A file of an earlier run would be read as this run's result.
        let _ = fs::remove_file(output.join(file));
    }
    let mut rig = Rig::set_up(stage, &options.load, output)?;
    let Some(mut toggle) = rig.server.process.take_stdin() else {
        return Err(Failure::Failed("the server has no standard input".to_owned()));
    };
    let from_start = rig.mark()?;
    interrupt.sleep(SETTLE_TIME)?;
    let settled = rig.since(&from_start)?;
    toggle_counting(&mut toggle)?;
    let start = read(&output.join(FIRST_COUNT), interrupt)?;
    interrupt.sleep(CATCH_UP_TIME)?;

    progress(format_args!("profile: counting the steady state for {} s", options.duration.as_secs()));
    toggle_counting(&mut toggle)?;
    let mark = rig.mark()?;
    interrupt.sleep(options.duration)?;
    let traffic = rig.since(&mark)?;
    toggle_counting(&mut toggle)?;
    let steady = read(&output.join(SECOND_COUNT), interrupt)?;
    rig.end()?;

    fs::rename(output.join(SECOND_COUNT), output.join(STEADY_STATE))?;
    let summary = Summary { start, players: settled.players, steady, traffic };
    let text = output.join("mem.txt");
    fs::write(&text, summary.full())?;
    Ok(format!("{}\n{}\n{}", summary.brief(), text.display(), output.join("dhat-heap*.json").display()))
}

/// Makes the server end the current count or start the next one.
fn toggle_counting(toggle: &mut ChildStdin) -> Result<(), Failure> {
    toggle
        .write_all(b"\n")
        .map_err(|error| Failure::Failed(format!("can't write to the server's standard input: {error}")))
}

/// Waits until the server has written a count, and reads it.
fn read(path: &Path, interrupt: &Interrupt) -> Result<Profile, Failure> {
    let profile = interrupt.wait_for(WRITE_TIMEOUT, || {
        // A partly written file is not valid JSON; the next attempt reads it again.
        Ok(fs::read_to_string(path).ok().and_then(|text| Profile::parse(&text)))
    })?;
    profile.ok_or_else(|| {
        let (file, waited_s) = (path.display(), WRITE_TIMEOUT.as_secs());
        Failure::Failed(format!(
            "{file} was not written within {waited_s} s: is the server built with the feature profile-mem?"
        ))
    })
}

/// Call sites in a table.
const ROWS: usize = 20;

/// Call sites in the summary on the terminal.
const BRIEF_ROWS: usize = 4;

/// Both counts of a run.
#[derive(Debug)]
pub struct Summary {
    /// Count from the start of the server until all clients have settled.
    pub start: Profile,
    /// Players at the end of `start`.
    pub players: u64,
    /// Count in the steady state. It covers only blocks allocated in this phase.
    pub steady: Profile,
    /// Traffic in the steady state.
    pub traffic: Traffic,
}

impl Summary {
    /// Returns the text of `mem.txt`.
    pub fn full(&self) -> String {
        let mut text = String::new();
        for line in [self.start(), self.peak(), self.steady(), self.growth()] {
            let _ = writeln!(text, "{line}");
        }
        text.push_str("\nuntil all clients had settled, in use at the peak\n");
        write_table(&mut text, &self.start, |tally| (tally.peak_bytes, tally.peak_blocks));
        text.push_str("\nuntil all clients had settled, allocated\n");
        write_table(&mut text, &self.start, |tally| (tally.bytes, tally.blocks));
        text.push_str("\nin the steady state, allocated\n");
        write_table(&mut text, &self.steady, |tally| (tally.bytes, tally.blocks));
        text.push_str("\nin the steady state, still in use at its end\n");
        write_table(&mut text, &self.steady, |tally| (tally.end_bytes, tally.end_blocks));
        text
    }

    /// Returns at most ten lines for the terminal.
    pub fn brief(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n{}\n", self.start(), self.peak(), self.steady(), self.growth());
        let blocks = self.steady.total.blocks;
        text.push_str("steady state, allocations by call site:\n");
        for (site, tally) in ranked(&self.steady, |tally| tally.blocks).into_iter().take(BRIEF_ROWS) {
            let _ = writeln!(text, "{}  {site}", percent(tally.blocks, blocks));
        }
        text
    }

    fn start(&self) -> String {
        let Profile { seconds, total, .. } = &self.start;
        format!(
            "until settled: {} allocated in {} blocks over {seconds:.0} s, {} players",
            bytes(total.bytes),
            thousands(total.blocks),
            thousands(self.players),
        )
    }

    fn peak(&self) -> String {
        let Tally { peak_bytes, peak_blocks, .. } = self.start.total;
        format!(
            "peak:          {} in {} blocks, {} per player",
            bytes(peak_bytes),
            thousands(peak_blocks),
            bytes(peak_bytes / self.players.max(1)),
        )
    }

    fn steady(&self) -> String {
        let Profile { seconds, total, .. } = &self.steady;
        let Traffic { players, messages_in, governor_level, .. } = self.traffic;
        let per_s = |count: u64| (count as f64 / seconds.max(1e-9)) as u64;
        format!(
            "steady state:  {} allocations/s, {}/s, {:.3} allocations per message ({} players, {} messages/s \
             in, quality level {governor_level})",
            thousands(per_s(total.blocks)),
            bytes(per_s(total.bytes)),
            total.blocks as f64 / messages_in.max(1) as f64,
            thousands(players),
            thousands((messages_in as f64 / self.traffic.seconds.max(1e-9)) as u64),
        )
    }

    fn growth(&self) -> String {
        let Tally { end_bytes, end_blocks, .. } = self.steady.total;
        format!(
            "               {} in {} of these blocks still in use after {:.0} s",
            bytes(end_bytes),
            thousands(end_blocks),
            self.steady.seconds,
        )
    }
}

/// Returns the call sites with a nonzero key, largest first.
fn ranked(profile: &Profile, key: impl Fn(&Tally) -> u64) -> Vec<(&String, &Tally)> {
    let mut rows: Vec<(&String, &Tally)> = profile.sites.iter().filter(|(_, tally)| key(tally) > 0).collect();
    rows.sort_by_key(|(_, tally)| Reverse(key(tally)));
    rows
}

fn write_table(text: &mut String, profile: &Profile, key: impl Fn(&Tally) -> (u64, u64)) {
    let total = key(&profile.total);
    text.push_str("     bytes   share      blocks   share  call site\n");
    for (site, tally) in ranked(profile, |tally| key(tally).0).into_iter().take(ROWS) {
        let (size, blocks) = key(tally);
        let (of_bytes, of_blocks) = (percent(size, total.0), percent(blocks, total.1));
        let _ =
            writeln!(text, "{:>10} {of_bytes} {:>11} {of_blocks}  {site}", bytes(size), thousands(blocks));
    }
}

/// Formats bytes in B, kB or MB, depending on their magnitude.
fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        few if few < 10_000.0 => format!("{few} B"),
        some if some < 1e7 => format!("{:.1} kB", some / 1e3),
        many => format!("{:.1} MB", many / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_get_a_unit_of_their_magnitude() {
        assert_eq!([512, 65_536, 31_239_642].map(bytes), ["512 B", "65.5 kB", "31.2 MB"]);
    }

    fn profile(seconds: f64, sites: &[(&str, Tally)]) -> Profile {
        let total = sites.iter().fold(Tally::default(), |sum, (_, tally)| Tally {
            blocks: sum.blocks + tally.blocks,
            bytes: sum.bytes + tally.bytes,
            peak_blocks: sum.peak_blocks + tally.peak_blocks,
            peak_bytes: sum.peak_bytes + tally.peak_bytes,
            end_blocks: sum.end_blocks + tally.end_blocks,
            end_bytes: sum.end_bytes + tally.end_bytes,
        });
        let sites = sites.iter().map(|(site, tally)| ((*site).to_owned(), *tally)).collect();
        Profile { seconds, total, sites }
    }

    fn summary() -> Summary {
        let tally = |blocks, bytes, peak_bytes, end_bytes| Tally {
            blocks,
            bytes,
            peak_blocks: 10,
            peak_bytes,
            end_blocks: 1,
            end_bytes,
        };
        Summary {
            start: profile(
                20.0,
                &[("interest", tally(50, 9_000, 6_000, 0)), ("head", tally(70, 900, 4_000, 0))],
            ),
            players: 100,
            steady: profile(5.0, &[("ack", tally(900, 18_000, 20, 13)), ("delta", tally(100, 32_000, 5, 7))]),
            traffic: Traffic {
                seconds: 5.0,
                cpu_s: 1.0,
                players: 100,
                messages_in: 2_000,
                governor_level: 0,
            },
        }
    }

    #[test]
    fn the_brief_has_allocations_per_player_second_and_message() {
        let brief = summary().brief();
        let lines: Vec<&str> = brief.lines().collect();
        assert_eq!(lines[0], "until settled: 9900 B allocated in 120 blocks over 20 s, 100 players");
        assert_eq!(lines[1], "peak:          10.0 kB in 20 blocks, 100 B per player");
        assert_eq!(
            lines[2],
            "steady state:  200 allocations/s, 10.0 kB/s, 0.500 allocations per message (100 players, 400 \
             messages/s in, quality level 0)"
        );
        assert_eq!(lines[3], "               20 B in 2 of these blocks still in use after 5 s");
        assert_eq!(lines[5], " 90.0 %  ack");
        assert!(lines.len() <= 10);
    }

    #[test]
    fn tables_are_sorted_by_bytes() {
        let text = summary().full();
        let allocated = text.split("in the steady state, allocated").nth(1).unwrap();
        assert!(allocated.find("delta") < allocated.find("ack"), "{allocated}");
        let row = "   32.0 kB  64.0 %         100  10.0 %  delta\n";
        assert!(allocated.contains(row), "{allocated}");
    }
}
