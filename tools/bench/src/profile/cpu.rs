//! CPU profile: perf samples the server's stacks under load, inferno draws the flame graph.
//!
//! perf unwinds with DWARF tables from a copy of the top of the stack, because the server is compiled without frame
//! pointers, like the production build.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use game_client::Failure;
use game_client::console::progress;
use inferno::flamegraph::color::{MultiPalette, Palette};
use inferno::flamegraph::{Options as Drawing, from_lines};

use super::Options;
use super::rig::Rig;
use super::stacks::{Stack, Summary, fold};
use crate::kernel::read;
use crate::process::{Process, log_file, tail};
use crate::stage::Stage;

/// Time between the last join and the first sample, in which the governor settles.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// Time for perf to start and to write its file, in addition to the recording.
const RECORD_OVERHEAD_MAX: Duration = Duration::from_secs(30);

/// Unwinding method. 8192 bytes reach `main` from the deepest function.
const CALL_GRAPH: &str = "--call-graph=dwarf,8192";

/// Measures, writes `cpu.svg` and `cpu.txt`, and returns the summary to print. The server and the load test
/// have ended when it returns, even with an error.
///
/// # Errors
/// perf, the server or the load test fails, perf takes no sample, or the run is interrupted.
pub fn run(options: &Options, stage: &Stage, output: &Path) -> Result<String, Failure> {
    let (data, log) = (output.join("perf.data"), output.join("perf.log"));
    check(options.frequency_hz, &log)?;
    let mut rig = Rig::set_up(stage, &options.load, output)?;
    stage.interrupt.sleep(SETTLE_TIME)?;
    progress(format_args!("profile: sampling for {} s", options.duration.as_secs()));
    let mark = rig.mark()?;
    // Otherwise perf keeps an earlier recording as `perf.data.old`.
    let _ = fs::remove_file(&data);
    let mut command = record_command(options.frequency_hz, &data, &log)?;
    // perf records until its child, `sleep`, exits. When perf is terminated, it ends the child.
    command.arg(format!("--pid={}", rig.server.process.id()));
    let mut perf =
        Process::start("perf", command.args(["--", "sleep", &options.duration.as_secs().to_string()]))?;
    let recorded = stage.interrupt.wait_for(options.duration + RECORD_OVERHEAD_MAX, || Ok(perf.status()?))?;
    match recorded {
        Some(status) if status.success() => {}
        Some(status) => return Err(record_failure(&status.to_string(), &log)),
        None => return Err(Failure::Failed(format!("perf did not end in time:\n{}", tail(&log)))),
    }
    let traffic = rig.since(&mark)?;
    rig.end()?;

    let stacks = fold(&script(&data)?)?;
    if stacks.is_empty() {
        return Err(Failure::Failed("perf recorded no samples of the server".to_owned()));
    }
    let (picture, text) = (output.join("cpu.svg"), output.join("cpu.txt"));
    let summary = Summary::new(&stacks, traffic, options.frequency_hz);
    fs::write(&picture, flame_graph(&stacks, summary.headline())?)?;
    fs::write(&text, summary.full())?;
    Ok(format!("{}\n{}\n{}", summary.brief(), picture.display(), text.display()))
}

/// Checks that perf is installed and permitted, by recording `true`.
fn check(frequency_hz: u32, log: &Path) -> Result<(), Failure> {
    match record_command(frequency_hz, Path::new("/dev/null"), log)?.args(["--", "true"]).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(record_failure(&status.to_string(), log)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::Failed(
            "perf is not installed. On Debian: apt-get install linux-perf; on Ubuntu: apt-get install \
             linux-tools-generic"
                .to_owned(),
        )),
        Err(error) => Err(Failure::Failed(format!("perf can't be run: {error}"))),
    }
}

/// Names no event: perf samples by CPU cycles where the processor counts them, otherwise by the CPU clock.
fn record_command(frequency_hz: u32, data: &Path, log: &Path) -> io::Result<Command> {
    let log = log_file(log)?;
    let mut command = Command::new("perf");
    command.args(["record", "--quiet", CALL_GRAPH]).arg(format!("--freq={frequency_hz}"));
    command.arg("--output").arg(data).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

fn record_failure(status: &str, log: &Path) -> Failure {
    let paranoid = read("/proc/sys/kernel/perf_event_paranoid");
    let paranoid = paranoid.trim();
    Failure::Failed(format!(
        "perf record failed, {status}:\n{}\nkernel.perf_event_paranoid is {paranoid}. If it is above 1, run \
         `sudo sysctl kernel.perf_event_paranoid=1 kernel.kptr_restrict=0`, or run as root. In a container, perf \
         also needs CAP_PERFMON",
        tail(log)
    ))
}

/// Returns the recording as text: a line per sample, followed by a line per stack frame, including inlined frames.
fn script(data: &Path) -> Result<Vec<u8>, Failure> {
    let mut command = Command::new("perf");
    command.args(["script", "--inline", "--fields=comm,pid,tid,time,event,ip,sym,dso", "--input"]);
    let output = command.arg(data).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Failed(format!("perf script failed, {}:\n{stderr}", output.status)))
}

/// Returns an SVG with zoom and search. The width of a function is its share of the time; kernel functions have another
/// color.
fn flame_graph(stacks: &[Stack], headline: String) -> Result<Vec<u8>, Failure> {
    let mut options = Drawing::default();
    "CPU time of pixi-game-server".clone_into(&mut options.title);
    options.subtitle = Some(headline);
    options.colors = Palette::Multi(MultiPalette::Rust);
    options.deterministic = true;
    // In percent of the time. Narrower functions are invisible, and there are thousands.
    options.min_width = 0.05;
    let lines: Vec<String> = stacks.iter().map(Stack::folded).collect();
    let mut picture = Vec::new();
    from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)?;
    Ok(picture)
}
