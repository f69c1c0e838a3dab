//! CPU profile: perf samples the server's stacks under load, inferno folds them and draws the flame graph.
//!
//! perf unwinds with DWARF tables from a copy of the top of the stack, because the server is compiled without frame
//! pointers, like the production build.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use game_client::Failure;
use game_client::console::progress;
use game_client::text::thousands;
use inferno::collapse::Collapse as _;
use inferno::collapse::perf::{Folder, Options as Folding};
use inferno::flamegraph::color::{MultiPalette, Palette};
use inferno::flamegraph::{Options as Drawing, from_lines};

use super::{Counts, Options, PROJECT, Rig, is_ours, percent, ranked};
use crate::kernel::read;
use crate::process::{Process, log_file, tail};
use crate::stage::Stage;

/// Time for perf to start and to write its file, in addition to the recording.
const RECORD_OVERHEAD_MAX: Duration = Duration::from_secs(30);

/// Unwinding method. 8192 bytes reach `main` from the deepest function.
const CALL_GRAPH: &str = "--call-graph=dwarf,8192";

/// Suffix that inferno's folder gives a kernel function.
const KERNEL_MARK: &str = "_[k]";

/// Samples per second of CPU time: a prime, so that sampling does not run in step with periodic work such as ticks.
const FREQUENCY_HZ: u32 = 997;

/// Functions and system calls in the summary.
const FUNCTIONS: usize = 6;
const SYSTEM_CALLS: usize = 4;

/// Measures, writes `cpu.svg`, and returns the summary to print. The server and the load test have ended when it
/// returns, even with an error.
///
/// # Errors
/// perf, the server or the load test fails, perf takes no sample, or the run is interrupted.
pub fn run(options: &Options, stage: &Stage, output: &Path) -> Result<String, Failure> {
    let (data, log, picture) = (output.join("perf.data"), output.join("perf.log"), output.join("cpu.svg"));
    check(&log)?;
    let mut rig = Rig::set_up(stage, &options.load, output)?;
    progress(format_args!("profile: sampling for {} s", options.duration.as_secs()));
    let (recorded, traffic) = rig.during(|server| {
        let mut command = record_command(&data, &log)?;
        command.arg(format!("--pid={}", server.process.id()));
        // perf records until its child, `sleep`, exits. When perf is terminated, it ends the child.
        command.args(["--", "sleep", &options.duration.as_secs().to_string()]);
        let mut perf = Process::start("perf", &mut command)?;
        stage.interrupt.wait_for(options.duration + RECORD_OVERHEAD_MAX, || Ok(perf.status()?))
    })?;
    match recorded {
        Some(status) if status.success() => {}
        Some(status) => return Err(record_failure(&status.to_string(), &log)),
        None => return Err(Failure::Failed(format!("perf did not end in time:\n{}", tail(&log)))),
    }
    rig.end()?;
    let folded = fold(&script(&data)?)?;
    if folded.is_empty() {
        return Err(Failure::Failed("perf recorded no samples of the server".to_owned()));
    }
    fs::write(&picture, flame_graph(&folded, &traffic.headline)?)?;
    Ok(format!("{}\n{}{}\n{}", traffic.headline, summary(&folded), picture.display(), data.display()))
}

/// Checks that perf is installed and permitted, by recording `true`.
fn check(log: &Path) -> Result<(), Failure> {
    match record_command(Path::new("/dev/null"), log)?.args(["--", "true"]).status() {
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
fn record_command(data: &Path, log: &Path) -> io::Result<Command> {
    let log = log_file(log)?;
    let mut command = Command::new("perf");
    command.args(["record", "--quiet", CALL_GRAPH]).arg(format!("--freq={FREQUENCY_HZ}"));
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

/// Folds the output of `perf script` into a line for each stack: the thread and the functions, outermost first, joined by
/// semicolons, and the number of samples.
fn fold(script: &[u8]) -> Result<String, Failure> {
    let mut options = Folding::default();
    options.annotate_kernel = true;
    let mut folded = Vec::new();
    Folder::from(options).collapse(script, &mut folded)?;
    // The folder marks the vDSO as kernel code, but it runs in user space.
    Ok(String::from_utf8_lossy(&folded).replace("gettime_[k]", "gettime").replace("_[i]", ""))
}

/// Returns an SVG with zoom and search. The width of a function is its share of the time; kernel functions have another
/// color.
fn flame_graph(folded: &str, headline: &str) -> Result<Vec<u8>, Failure> {
    let mut options = Drawing::default();
    "CPU time of pixi-game-server".clone_into(&mut options.title);
    options.subtitle = Some(headline.to_owned());
    options.colors = Palette::Multi(MultiPalette::Rust);
    options.deterministic = true;
    // In percent of the time. Narrower functions are invisible, and there are thousands.
    options.min_width = 0.05;
    let mut picture = Vec::new();
    from_lines(&mut options, folded.lines(), &mut picture)?;
    Ok(picture)
}

/// Returns user and kernel time, system calls, and the functions of the server with the most user-space time, including
/// the libraries that they call.
fn summary(folded: &str) -> String {
    let (mut all, mut kernel) = (0, 0);
    let (mut calls, mut functions) = (Counts::new(), Counts::new());
    for line in folded.lines() {
        let Some((stack, count)) = line.rsplit_once(' ') else { continue };
        let count: u64 = count.parse().unwrap_or(0);
        let frames: Vec<&str> = stack.split(';').collect();
        all += count;
        if stack.ends_with(KERNEL_MARK) {
            kernel += count;
        } else if let Some(function) = frames.iter().rfind(|frame| is_ours(frame)) {
            *functions.entry(function.replace(PROJECT, "")).or_default() += count;
        }
        if let Some(call) = frames.iter().find_map(|frame| system_call(frame)) {
            *calls.entry(call.to_owned()).or_default() += count;
        }
    }
    let note = if kernel == 0 { " (perf can't sample the kernel: see perf_event_paranoid)" } else { "" };
    let calls: Vec<String> = ranked(&calls, all, SYSTEM_CALLS)
        .map(|(share, call)| format!("{call} {}", share.trim_start()))
        .collect();
    let mut text = format!(
        "{} samples at {FREQUENCY_HZ} Hz: {} in user space, {} in the kernel{note}\nsystem calls: {}\n\
         user-space time in functions of the server, including libraries:\n",
        thousands(all),
        percent(all - kernel, all).trim_start(),
        percent(kernel, all).trim_start(),
        calls.join(", ")
    );
    for (share, function) in ranked(&functions, all, FUNCTIONS) {
        let _ = writeln!(text, "{share}  {function}");
    }
    text
}

/// Returns the system call of its entry function in the kernel: `sendto` for `__x64_sys_sendto`.
fn system_call(function: &str) -> Option<&str> {
    let rest = function.strip_prefix("__x64_sys_").or_else(|| function.strip_prefix("__arm64_sys_"))?;
    rest.strip_suffix(KERNEL_MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of `perf script`: two samples of one stack, one in a library, and one in the vDSO.
    const SCRIPT: &str = "\
pixi-game-serve  6780/6780    521.258037: cpu-clock:ppp: 
	ffffffff8201011d tcp_sendmsg ([kernel.kallsyms])
	ffffffff82010000 __x64_sys_sendto ([kernel.kallsyms])
	          10aba4 __libc_send (inlined)
	           80f1a pixi_game_server::server::core::write_to (/bin/server)
	           3707a pixi_game_server::main (/bin/server)

worker-1  6780/6781    521.3: cpu-clock:ppp: 
	           10000 memcpy (/lib/libc.so.6)
	           60d70 pixi_game_server::replication::flush::write_flush (/bin/server)

pixi-game-serve  6780/6780    521.4: cpu-clock:ppp: 
	ffffffff8201011d tcp_sendmsg ([kernel.kallsyms])
	ffffffff82010000 __x64_sys_sendto ([kernel.kallsyms])
	          10aba4 __libc_send (inlined)
	           80f1a pixi_game_server::server::core::write_to (/bin/server)
	           3707a pixi_game_server::main (/bin/server)

pixi-game-serve  6780/6780    521.5: cpu-clock:ppp: 
	    7ffd5a5d0a10 __vdso_clock_gettime ([vdso])
	           3707a pixi_game_server::main (/bin/server)

";

    #[test]
    fn each_sample_counts_for_its_mode_system_call_and_innermost_server_function() {
        let folded = fold(SCRIPT.as_bytes()).unwrap();
        let lines = [
            "4 samples at 997 Hz: 50.0 % in user space, 50.0 % in the kernel",
            "system calls: sendto 50.0 %",
            "user-space time in functions of the server, including libraries:",
            " 25.0 %  main",
            " 25.0 %  replication::flush::write_flush",
        ];
        assert_eq!(summary(&folded).lines().collect::<Vec<_>>(), lines);
        assert!(String::from_utf8(flame_graph(&folded, "load").unwrap()).unwrap().contains("tcp_sendmsg"));
    }
}
