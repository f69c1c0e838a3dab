//! Text summary of a heap profile: the peak, the allocations until all clients have settled, and the steady state.

use std::cmp::Reverse;
use std::fmt::Write as _;

use game_client::text::thousands;

use super::dhat::{Profile, Tally};
use crate::rig::Traffic;
use crate::text::{bytes, percent};

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

#[cfg(test)]
mod tests {
    use super::*;

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
