//! Where the CPU time goes: perf samples the stacks of the server while the load lasts.

mod draw;
mod perf;
mod stacks;
mod summary;

use std::fs;
use std::path::Path;
use std::time::Duration;

use stage::console::progress;
use stage::{Failure, Interrupt};

use crate::options::Options;
use crate::rig::Rig;
use perf::Perf;
use summary::Summary;

/// Time between the last client's arrival and the first sample: what follows an arrival, the governor, settles.
const SETTLING: Duration = Duration::from_secs(3);

/// Measures, writes `cpu.svg` and `cpu.txt`, and returns the summary to print.
///
/// # Errors
/// Whatever ends the run before its time; nothing is left running.
pub fn run(
    options: &Options,
    frequency_hz: u32,
    binaries: &Path,
    interrupt: &Interrupt,
) -> Result<String, Failure> {
    let perf = Perf::new(&options.output, frequency_hz);
    perf.check()?;
    let mut rig = Rig::set_up(&options.load, binaries, &options.output, interrupt)?;
    interrupt.sleep(SETTLING)?;
    progress(format_args!("profile: sampling for {} s", options.duration.as_secs()));
    let mark = rig.mark()?;
    perf.record(rig.server.id(), options.duration, interrupt)?;
    let traffic = rig.since(&mark)?;
    rig.end()?;

    let stacks = stacks::fold(&perf.script()?)?;
    if stacks.is_empty() {
        return Err(Failure::Failed("perf took no sample of the server".to_owned()));
    }
    let (picture, text) = (options.output.join("cpu.svg"), options.output.join("cpu.txt"));
    let summary = Summary::new(&stacks, traffic, frequency_hz);
    fs::write(&picture, draw::flame_graph(&stacks, &summary.headline())?)?;
    fs::write(&text, summary.full())?;
    Ok(format!("{}\n{}\n{}\n", summary.brief(), picture.display(), text.display()))
}
