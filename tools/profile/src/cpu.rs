//! CPU profile: perf samples the server's stacks under load.

mod draw;
mod perf;
mod stacks;
mod summary;

use std::fs;
use std::path::Path;
use std::time::Duration;

use game_client::console::progress;
use game_client::{Failure, Interrupt};

use crate::options::Options;
use crate::rig::Rig;
use perf::Perf;
use summary::Summary;

/// Time between the last join and the first sample, in which the governor settles.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// Measures, writes `cpu.svg` and `cpu.txt`, and returns the summary to print. The server and the load test
/// have ended when it returns, even with an error.
///
/// # Errors
/// perf, the server or the load test fails, perf takes no sample, or the run is interrupted.
pub fn run(
    options: &Options,
    frequency_hz: u32,
    binaries: &Path,
    interrupt: &Interrupt,
) -> Result<String, Failure> {
    let perf = Perf::new(&options.output, frequency_hz);
    perf.check()?;
    let mut rig = Rig::set_up(&options.load, binaries, &options.output, interrupt)?;
    interrupt.sleep(SETTLE_TIME)?;
    progress(format_args!("profile: sampling for {} s", options.duration.as_secs()));
    let mark = rig.mark()?;
    perf.record(rig.server.id(), options.duration, interrupt)?;
    let traffic = rig.since(&mark)?;
    rig.end()?;

    let stacks = stacks::fold(&perf.script()?)?;
    if stacks.is_empty() {
        return Err(Failure::Failed("perf recorded no samples of the server".to_owned()));
    }
    let (picture, text) = (options.output.join("cpu.svg"), options.output.join("cpu.txt"));
    let summary = Summary::new(&stacks, traffic, frequency_hz);
    fs::write(&picture, draw::flame_graph(&stacks, &summary.headline())?)?;
    fs::write(&text, summary.full())?;
    Ok(format!("{}\n{}\n{}\n", summary.brief(), picture.display(), text.display()))
}
