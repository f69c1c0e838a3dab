//! Heap profile from a server that counts its allocations. It counts twice: from its start until all clients have
//! settled, and then in the steady state.

mod dhat;
mod summary;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ChildStdin;
use std::time::Duration;

use game_client::console::progress;
use game_client::{Failure, Interrupt};

use crate::options::Options;
use crate::rig::Rig;
use dhat::Profile;
use summary::Summary;

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
pub fn run(options: &Options, binaries: &Path, interrupt: &Interrupt) -> Result<String, Failure> {
    let output = &options.output;
    for file in [FIRST_COUNT, SECOND_COUNT] {
        // A file of an earlier run would be read as this run's result.
        if output.join(file).exists() {
            fs::remove_file(output.join(file))?;
        }
    }
    let mut rig = Rig::set_up(&options.load, binaries, output, interrupt)?;
    let Some(mut toggle) = rig.server.take_stdin() else {
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
    Ok(format!("{}\n{}\n{}\n", summary.brief(), text.display(), output.join("dhat-heap*.json").display()))
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
