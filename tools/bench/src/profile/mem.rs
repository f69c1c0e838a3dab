//! Heap profile from a server that counts its allocations. It counts twice: from its start until all clients have
//! settled, and then in the steady state. The files are in the format of Valgrind's DHAT.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ChildStdin;
use std::time::Duration;

use game_client::console::progress;
use game_client::text::thousands;
use game_client::{Failure, Interrupt};
use serde_json::Value as Json;

use super::{Counts, Options, PROJECT, Rig, Traffic, is_ours, ranked};
use crate::stage::Stage;

/// Time for the server to catch up: it stalls while it writes the first count.
const CATCH_UP_TIME: Duration = Duration::from_secs(3);

/// Timeout for the server to write a count.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// Files of the two counts; the server chooses the names.
const FIRST_COUNT: &str = "dhat-heap.json";
const SECOND_COUNT: &str = "dhat-heap-2.json";

/// Final name of the second count.
const STEADY_STATE: &str = "dhat-heap-steady.json";

/// Call sites in the summary.
const SITES: usize = 4;

/// Measures, and returns the summary to print. The server and the load test have ended when it returns, even with an
/// error.
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
    toggle_counting(&mut toggle)?;
    let start = read(&output.join(FIRST_COUNT), interrupt)?;
    interrupt.sleep(CATCH_UP_TIME)?;
    progress(format_args!("profile: counting the steady state for {} s", options.duration.as_secs()));
    toggle_counting(&mut toggle)?;
    let ((), traffic) = rig.during(|_| interrupt.sleep(options.duration))?;
    toggle_counting(&mut toggle)?;
    let steady = read(&output.join(SECOND_COUNT), interrupt)?;
    rig.end()?;
    fs::rename(output.join(SECOND_COUNT), output.join(STEADY_STATE))?;
    Ok(format!("{}{}", summary(&start, &steady, &traffic), output.join("dhat-heap*.json").display()))
}

/// Makes the server end the current count or start the next one.
fn toggle_counting(toggle: &mut ChildStdin) -> Result<(), Failure> {
    toggle
        .write_all(b"\n")
        .map_err(|error| Failure::Failed(format!("can't write to the server's standard input: {error}")))
}

/// Waits until the server has written a count, and reads it.
fn read(path: &Path, interrupt: &Interrupt) -> Result<Json, Failure> {
    let profile = interrupt.wait_for(WRITE_TIMEOUT, || {
        // A partly written file is not valid JSON; the next attempt reads it again.
        Ok(fs::read(path).ok().and_then(|json| serde_json::from_slice(&json).ok()))
    })?;
    profile.ok_or_else(|| {
        let (file, waited_s) = (path.display(), WRITE_TIMEOUT.as_secs());
        Failure::Failed(format!(
            "{file} was not written within {waited_s} s: is the server built with the feature profile-mem?"
        ))
    })
}

/// Returns allocations until the clients have settled, the peak, and the steady state with its call sites.
fn summary(start: &Json, steady: &Json, traffic: &Traffic) -> String {
    let Traffic { players, messages_in, headline } = traffic;
    let (peak_bytes, seconds) = (total(start, "gb"), seconds(steady));
    let (blocks, per_s) = (total(steady, "tbk"), |count: u64| (count as f64 / seconds.max(1e-9)) as u64);
    let mut text = format!(
        "until settled: {} allocated in {} blocks over {:.0} s\n\
         peak:          {} in {} blocks, {} per player\n\
         steady state:  {} allocations/s, {}/s, {:.3} allocations per message\n               \
         {} in {} of these blocks still in use after {seconds:.0} s\n               {headline}\n\
         steady state, allocations by call site:\n",
        bytes(total(start, "tb")),
        thousands(total(start, "tbk")),
        self::seconds(start),
        bytes(peak_bytes),
        thousands(total(start, "gbk")),
        bytes(peak_bytes / (*players).max(1)),
        thousands(per_s(blocks)),
        bytes(per_s(total(steady, "tb"))),
        blocks as f64 / (*messages_in).max(1) as f64,
        bytes(total(steady, "eb")),
        thousands(total(steady, "ebk")),
    );
    for (share, site) in ranked(&sites(steady), blocks, SITES) {
        let _ = writeln!(text, "{share}  {site}");
    }
    text
}

/// Duration of a count, in seconds.
fn seconds(profile: &Json) -> f64 {
    profile["te"].as_f64().unwrap_or(0.0) / 1e6
}

/// Sums a number of DHAT over all points: `tb` and `tbk` are allocated bytes and blocks, `gb` and `gbk` those in use at
/// the peak, `eb` and `ebk` those in use at the end.
fn total(profile: &Json, key: &str) -> u64 {
    profile["pps"].as_array().into_iter().flatten().filter_map(|point| point[key].as_u64()).sum()
}

/// Returns the allocated blocks by the innermost function of the server, or else the innermost function.
fn sites(profile: &Json) -> Counts {
    let mut sites = Counts::new();
    for point in profile["pps"].as_array().into_iter().flatten() {
        let stack = point["fs"].as_array().into_iter().flatten().filter_map(Json::as_u64);
        let calls: Vec<&str> = stack
            .filter_map(|index| profile["ftbl"][index as usize].as_str())
            // `0x55d97169df48: function (file:line:column)`. The address differs between runs.
            .map(|frame| frame.split_once(": ").map_or(frame, |(_, call)| call))
            .collect();
        let site = calls.iter().find(|call| is_ours(call)).or(calls.first());
        let site = site.map_or("no stack".to_owned(), |site| site.replace(PROJECT, ""));
        *sites.entry(site).or_default() += point["tbk"].as_u64().unwrap_or(0);
    }
    sites
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
    use serde_json::json;

    #[test]
    fn allocations_are_summed_and_attributed_to_the_innermost_server_function() {
        let count = json!({
            "te": 2_500_000,
            "pps": [
                { "tb": 30_000, "tbk": 30, "gb": 10_000, "gbk": 1, "eb": 0, "ebk": 0, "fs": [1, 2, 3] },
                { "tb": 60, "tbk": 2, "gb": 50, "gbk": 2, "eb": 50, "ebk": 1, "fs": [1, 2] },
                { "tb": 7, "tbk": 8, "gb": 0, "gbk": 0, "eb": 0, "ebk": 0, "fs": [1] },
            ],
            "ftbl": [
                "[root]", "0x5: alloc::vec::reserve (src/vec/mod.rs:1446:18)",
                "0x6: pixi_game_server::wire::message::ack (src/wire/message.rs:227:9)",
                "0x7: pixi_game_server::run (src/main.rs:63:18)",
            ],
        });
        let traffic = Traffic { players: 10, messages_in: 80, headline: "10 players".to_owned() };
        let text = summary(&count, &count, &traffic);
        let lines = [
            "until settled: 30.1 kB allocated in 40 blocks over 2 s",
            "peak:          10.1 kB in 3 blocks, 1005 B per player",
            "steady state:  16 allocations/s, 12.0 kB/s, 0.500 allocations per message",
            "               50 B in 1 of these blocks still in use after 2 s",
            "               10 players",
            "steady state, allocations by call site:",
            " 80.0 %  wire::message::ack (src/wire/message.rs:227:9)",
            " 20.0 %  alloc::vec::reserve (src/vec/mod.rs:1446:18)",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }
}
