//! Where the memory goes: a server that counts its allocations, from its start until all have settled, and then anew
//! in the steady state.

mod dhat;
mod summary;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ChildStdin;
use std::time::Duration;

use stage::console::progress;
use stage::{Failure, Interrupt};

use crate::options::Options;
use crate::rig::Rig;
use dhat::Profile;
use summary::Summary;

/// Time between the last client's arrival and the end of the first count: longer than a client waits for its first
/// full state, after which all buffers have grown to what they need.
const SETTLING: Duration = Duration::from_secs(7);

/// Time the server gets to catch up with what it missed while its first count was written.
const CATCHING_UP: Duration = Duration::from_secs(3);

/// Longest wait for a count to be written.
const WRITE_PATIENCE: Duration = Duration::from_mins(1);

/// The files the server writes, one for each count.
const FROM_THE_START: &str = "dhat-heap.json";
const SECOND_COUNT: &str = "dhat-heap-2.json";

/// What the second one is called in the end.
const STEADY: &str = "dhat-heap-steady.json";

/// Measures, writes `mem.txt` beside the counts, and returns the summary to print.
///
/// # Errors
/// Whatever ends the run before its time; nothing is left running.
pub fn run(options: &Options, binaries: &Path, interrupt: &Interrupt) -> Result<String, Failure> {
    let output = &options.output;
    for file in [FROM_THE_START, SECOND_COUNT] {
        // Left over from an earlier run, it would be taken for this one's.
        if output.join(file).exists() {
            fs::remove_file(output.join(file))?;
        }
    }
    let mut rig = Rig::set_up(&options.load, binaries, output, interrupt)?;
    let Some(mut toggle) = rig.server.take_stdin() else {
        return Err(Failure::Failed("the server has no standard input".to_owned()));
    };
    let from_start = rig.mark()?;
    interrupt.sleep(SETTLING)?;
    let settled = rig.since(&from_start)?;
    press(&mut toggle)?;
    let start = read(&output.join(FROM_THE_START), interrupt)?;
    interrupt.sleep(CATCHING_UP)?;

    progress(format_args!("profile: counting the steady state for {} s", options.duration.as_secs()));
    press(&mut toggle)?;
    let mark = rig.mark()?;
    interrupt.sleep(options.duration)?;
    let traffic = rig.since(&mark)?;
    press(&mut toggle)?;
    let steady = read(&output.join(SECOND_COUNT), interrupt)?;
    rig.end()?;

    fs::rename(output.join(SECOND_COUNT), output.join(STEADY))?;
    let summary = Summary { start, players: settled.players, steady, traffic };
    let text = output.join("mem.txt");
    fs::write(&text, summary.full())?;
    Ok(format!("{}\n{}\n{}\n", summary.brief(), text.display(), output.join("dhat-heap*.json").display()))
}

/// Makes the server end a count, or begin the next.
fn press(toggle: &mut ChildStdin) -> Result<(), Failure> {
    toggle.write_all(b"\n").map_err(|error| Failure::Failed(format!("the server does not listen: {error}")))
}

/// Waits for a count to be written, and reads it.
fn read(path: &Path, interrupt: &Interrupt) -> Result<Profile, Failure> {
    let profile = interrupt.wait_for(WRITE_PATIENCE, || {
        // Half a file is no JSON: it will be whole in a moment.
        Ok(fs::read_to_string(path).ok().and_then(|text| Profile::parse(&text)))
    })?;
    profile.ok_or_else(|| {
        let (file, waited_s) = (path.display(), WRITE_PATIENCE.as_secs());
        Failure::Failed(format!(
            "{file} is not there after {waited_s} s: is the server built with the feature profile-mem?"
        ))
    })
}
