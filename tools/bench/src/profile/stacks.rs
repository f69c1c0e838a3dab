//! perf's samples as stacks, and a text summary of them: shares of CPU time by thread, by mode, by function and by system
//! call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use game_client::Failure;
use game_client::text::thousands;
use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};

use super::rig::Traffic;
use super::{is_ours, percent, short_name};

/// Suffix that inferno's folder gives a kernel function.
const KERNEL_MARK: &str = "_[k]";

/// Substrings that identify startup functions: those between the start of a thread and the program's first function.
/// Stacks omit these functions.
const STARTUP_FUNCTIONS: [&str; 12] = [
    "catch_unwind", "FnOnce", "do_call", "__rust_begin_short_backtrace", "std::rt::lang_start",
    "std::thread::scoped::scope", "std::thread::lifecycle", "std::sys::thread", "__libc_start",
    "start_thread", "clone3", "[unknown]",
];

/// A sampled call stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Name of the thread.
    pub thread: String,
    /// Outermost function first, running function last; never empty.
    pub frames: Vec<Frame>,
    /// Number of samples with this stack.
    pub samples: u64,
}

/// A function on a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// Full name, including the crate.
    pub function: String,
    /// Whether it is a kernel function.
    pub is_kernel: bool,
}

impl Stack {
    /// Whether the running function is a kernel function.
    pub fn is_in_kernel(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.is_kernel)
    }

    /// Returns a line of flame graph input: the thread and the short names, joined by semicolons, and the sample count.
    pub fn folded(&self) -> String {
        let mut line = self.thread.clone();
        for frame in &self.frames {
            line.push(';');
            line.push_str(&short_name(&frame.function).replace(';', ","));
            line.push_str(if frame.is_kernel { KERNEL_MARK } else { "" });
        }
        format!("{line} {}", self.samples)
    }
}

/// Folds the output of `perf script`.
///
/// # Errors
/// `script` is not output of `perf script`.
pub fn fold(script: &[u8]) -> Result<Vec<Stack>, Failure> {
    let mut options = Options::default();
    options.annotate_kernel = true;
    let mut folded = Vec::new();
    Folder::from(options).collapse(script, &mut folded)?;
    Ok(String::from_utf8_lossy(&folded).lines().filter_map(stack).collect())
}

/// Parses a line `thread;outermost;...;innermost count`.
fn stack(line: &str) -> Option<Stack> {
    let (path, count) = line.rsplit_once(' ')?;
    let mut names = path.split(';');
    let thread = names.next()?.to_owned();
    let mut frames: Vec<Frame> = names.map(frame).collect();
    let running = frames.pop()?;
    frames.retain(|frame| !is_startup(&frame.function));
    frames.push(running);
    Some(Stack { thread, frames, samples: count.parse().ok()? })
}

fn frame(name: &str) -> Frame {
    // The folder marks the vDSO as kernel code, but it runs in user space.
    let is_kernel = name.ends_with(KERNEL_MARK) && !name.contains("vdso");
    // `_[i]` marks an inlined function; the distinction is not needed here.
    let function = name.trim_end_matches(KERNEL_MARK).trim_end_matches("_[i]").to_owned();
    Frame { function, is_kernel }
}

fn is_startup(function: &str) -> bool {
    STARTUP_FUNCTIONS.iter().any(|part| function.contains(part))
}

/// Functions in a table.
const ROWS: usize = 30;

/// Functions in the summary on the terminal.
const BRIEF_ROWS: usize = 6;

/// Length in characters at which function names are truncated.
const NAME_CHARS_MAX: usize = 110;

/// Sample counts of one recording, by several keys.
#[derive(Debug)]
pub struct Summary {
    traffic: Traffic,
    frequency_hz: u32,
    all: Count,
    threads: BTreeMap<String, Count>,
    functions: BTreeMap<Frame, Cost>,
    calls: BTreeMap<String, u64>,
}

/// Number of samples, and the part of them in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    samples: u64,
    kernel: u64,
}

/// Sample counts of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    /// Samples in which the function was running.
    own: u64,
    /// User-space samples in which the function, or library code that it called, was running. Samples in which the
    /// library called back into the server count for the callback. 0 for functions outside the server's crate.
    with_libraries: u64,
    /// Samples with the function on the stack.
    total: u64,
}

impl Count {
    fn add(&mut self, stack: &Stack) {
        self.samples += stack.samples;
        self.kernel += if stack.is_in_kernel() { stack.samples } else { 0 };
    }
}

impl Summary {
    /// Counts the samples of all stacks.
    pub fn new(stacks: &[Stack], traffic: Traffic, frequency_hz: u32) -> Self {
        let mut summary = Self {
            traffic,
            frequency_hz,
            all: Count::default(),
            threads: BTreeMap::new(),
            functions: BTreeMap::new(),
            calls: BTreeMap::new(),
        };
        for stack in stacks {
            summary.add(stack);
        }
        summary
    }

    fn add(&mut self, stack: &Stack) {
        self.all.add(stack);
        self.threads.entry(stack.thread.clone()).or_default().add(stack);
        // The set counts a recursive function once per stack.
        for frame in stack.frames.iter().collect::<BTreeSet<_>>() {
            self.functions.entry(frame.clone()).or_default().total += stack.samples;
        }
        if let Some(running) = stack.frames.last() {
            self.functions.entry(running.clone()).or_default().own += stack.samples;
        }
        let innermost = stack.frames.iter().rfind(|frame| is_ours(&frame.function));
        if let Some(function) = innermost.filter(|_| !stack.is_in_kernel()) {
            self.functions.entry(function.clone()).or_default().with_libraries += stack.samples;
        }
        let call = stack.frames.iter().filter(|frame| frame.is_kernel).find_map(|f| system_call(&f.function));
        if let Some(call) = call {
            *self.calls.entry(call.to_owned()).or_default() += stack.samples;
        }
    }

    /// Returns one line with the load and the CPU time per message.
    pub fn headline(&self) -> String {
        let Traffic { seconds, cpu_s, players, messages_in, governor_level } = self.traffic;
        format!(
            "{} players, {} messages/s in, {seconds:.0} s, quality level {governor_level}: {:.2} cores, {:.1} us of \
             CPU per message",
            thousands(players),
            thousands((messages_in as f64 / seconds.max(1e-9)) as u64),
            cpu_s / seconds.max(1e-9),
            cpu_s * 1e6 / messages_in.max(1) as f64,
        )
    }

    /// Returns the text of `cpu.txt`.
    pub fn full(&self) -> String {
        let mut text = format!("{}\n{}\n", self.headline(), self.modes());
        text.push_str("\nthreads             share      user    kernel    samples\n");
        for (thread, count) in ranked(&self.threads, |count| count.samples) {
            let _ = writeln!(
                text,
                "{thread:16} {}  {}  {} {:>10}",
                self.share(count.samples),
                self.share(count.samples - count.kernel),
                self.share(count.kernel),
                thousands(count.samples)
            );
        }
        text.push_str("\nsystem calls\n");
        for (call, samples) in ranked(&self.calls, |samples| *samples) {
            let _ = writeln!(text, "{}  {call}", self.share(*samples));
        }
        text.push_str("\nfunctions of the server, by user-space time including libraries\n");
        self.write_table(
            &mut text,
            |frame, cost| if is_ours(&frame.function) { cost.with_libraries } else { 0 },
        );
        text.push_str("\nfunctions of the server, by total time\n");
        self.write_table(&mut text, |frame, cost| if is_ours(&frame.function) { cost.total } else { 0 });
        text.push_str("\nall functions, by own time\n");
        self.write_table(&mut text, |_, cost| cost.own);
        text
    }

    /// Returns at most ten lines for the terminal.
    pub fn brief(&self) -> String {
        let mut text = format!("{}\n{}\n", self.headline(), self.modes());
        let calls: Vec<String> = ranked(&self.calls, |samples| *samples)
            .take(4)
            .map(|(call, samples)| format!("{call} {}", self.share(*samples).trim_start()))
            .collect();
        let _ = writeln!(text, "system calls: {}", calls.join(", "));
        text.push_str("user-space time in functions of the server, including libraries:\n");
        let ours = ranked(&self.functions, |cost| cost.with_libraries).take(BRIEF_ROWS);
        for (frame, cost) in ours {
            let _ = writeln!(text, "{}  {}", self.share(cost.with_libraries), display_name(frame));
        }
        text
    }

    fn modes(&self) -> String {
        let Count { samples, kernel } = self.all;
        let note = if kernel == 0 { " (perf can't sample the kernel: see perf_event_paranoid)" } else { "" };
        format!(
            "{} samples at {} Hz: {} in user space, {} in the kernel{note}",
            thousands(samples),
            self.frequency_hz,
            self.share(samples - kernel).trim_start(),
            self.share(kernel).trim_start(),
        )
    }

    fn write_table(&self, text: &mut String, key: impl Fn(&Frame, &Cost) -> u64) {
        let mut rows: Vec<(u64, &Frame, &Cost)> =
            self.functions.iter().map(|(frame, cost)| (key(frame, cost), frame, cost)).collect();
        rows.retain(|(key, ..)| *key > 0);
        rows.sort_by_key(|(key, ..)| std::cmp::Reverse(*key));
        text.push_str("    own  with libraries   total  function\n");
        for (_, frame, cost) in rows.into_iter().take(ROWS) {
            let (own, libraries) = (self.share(cost.own), self.share(cost.with_libraries));
            let libraries = if is_ours(&frame.function) { libraries } else { String::new() };
            let total = self.share(cost.total);
            let _ = writeln!(text, "{own}       {libraries:>7}   {total}  {}", display_name(frame));
        }
    }

    fn share(&self, samples: u64) -> String {
        percent(samples, self.all.samples)
    }
}

/// Returns the entries with a nonzero count, largest first and equal counts by name.
fn ranked<K: Ord, V>(counted: &BTreeMap<K, V>, count: impl Fn(&V) -> u64) -> impl Iterator<Item = (&K, &V)> {
    let mut rows: Vec<(&K, &V)> = counted.iter().filter(|(_, value)| count(value) > 0).collect();
    rows.sort_by_key(|(_, value)| std::cmp::Reverse(count(value)));
    rows.into_iter()
}

/// Returns the system call of its entry function in the kernel: `sendto` for `__x64_sys_sendto`.
fn system_call(function: &str) -> Option<&str> {
    let rest = function.strip_prefix("__x64_sys_").or_else(|| function.strip_prefix("__arm64_sys_"));
    rest.filter(|name| !name.is_empty())
}

fn display_name(frame: &Frame) -> String {
    let name = short_name(&frame.function);
    let mark = if frame.is_kernel { " [kernel]" } else { "" };
    match name.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => format!("{}...{mark}", &name[..end]),
        None => name + mark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of `perf script`: two samples of one stack and one of another.
    const SCRIPT: &str = "\
pixi-game-serve  6780/6780    521.258037: cpu-clock:ppp: 
	ffffffff8201011d tcp_sendmsg ([kernel.kallsyms])
	          10aba4 __libc_send (inlined)
	           80f1a pixi_game_server::server::core::flush::<impl pixi_game_server::server::Server>::write_reply (/bin/server)
	           789ae std::panic::catch_unwind (inlined)
	           3707a pixi_game_server::main (/bin/server)
	ffffffffffffffff [unknown] ([unknown])

worker-1  6780/6781    521.3: cpu-clock:ppp: 
	           60d70 pixi_game_server::replication::flush::write_flush (/bin/server)

pixi-game-serve  6780/6780    521.4: cpu-clock:ppp: 
	ffffffff8201011d tcp_sendmsg ([kernel.kallsyms])
	          10aba4 __libc_send (inlined)
	           80f1a pixi_game_server::server::core::flush::<impl pixi_game_server::server::Server>::write_reply (/bin/server)
	           3707a pixi_game_server::main (/bin/server)

";

    #[test]
    fn startup_functions_are_omitted() {
        let stacks = fold(SCRIPT.as_bytes()).unwrap();
        let folded: Vec<String> = stacks.iter().map(Stack::folded).collect();
        let write = "pixi-game-serve;main;server::core::flush::write_reply;__libc_send;tcp_sendmsg_[k] 1";
        assert_eq!(folded, [write, write, "worker-1;replication::flush::write_flush 1"]);
        assert!(stacks[0].is_in_kernel() && !stacks[2].is_in_kernel());
    }

    #[test]
    fn the_running_function_is_kept_even_if_it_is_a_startup_function() {
        let stack = stack("x;start_thread;[unknown] 3").unwrap();
        assert_eq!((stack.folded(), stack.samples), ("x;[unknown] 3".to_owned(), 3));
    }

    #[test]
    fn the_vdso_counts_as_user_space() {
        assert!(!frame("__vdso_clock_gettime_[k]").is_kernel);
        assert!(frame("ip_rcv_[k]").is_kernel);
    }

    fn stack_of(thread: &str, path: &[&str], samples: u64) -> Stack {
        let frame = |name: &&str| Frame {
            function: name.trim_end_matches('!').to_owned(),
            is_kernel: name.ends_with('!'),
        };
        Stack { thread: thread.to_owned(), frames: path.iter().map(frame).collect(), samples }
    }

    fn summary() -> Summary {
        let stacks = [
            stack_of("main", &["pixi_game_server::a", "send", "__x64_sys_sendto!", "tcp_sendmsg!"], 60),
            stack_of("main", &["pixi_game_server::a", "pixi_game_server::b", "memcpy"], 25),
            stack_of("worker-1", &["pixi_game_server::b", "pixi_game_server::b"], 15),
        ];
        let traffic =
            Traffic { seconds: 2.0, cpu_s: 1.0, players: 1_000, messages_in: 4_000, governor_level: 3 };
        Summary::new(&stacks, traffic, 100)
    }

    #[test]
    fn each_sample_counts_once_per_function_thread_mode_and_system_call() {
        let summary = summary();
        assert_eq!(summary.all, Count { samples: 100, kernel: 60 });
        assert_eq!(summary.threads["worker-1"], Count { samples: 15, kernel: 0 });
        assert_eq!(summary.calls["sendto"], 60);
        let cost = |name: &str| summary.functions[&Frame { function: name.to_owned(), is_kernel: false }];
        assert_eq!(cost("pixi_game_server::a"), Cost { own: 0, with_libraries: 0, total: 85 });
        assert_eq!(cost("pixi_game_server::b"), Cost { own: 15, with_libraries: 40, total: 40 });
        assert_eq!(cost("memcpy"), Cost { own: 25, with_libraries: 0, total: 25 });
    }

    #[test]
    fn the_headline_has_cpu_time_per_message() {
        assert_eq!(
            summary().headline(),
            "1,000 players, 2,000 messages/s in, 2 s, quality level 3: 0.50 cores, 250.0 us of CPU per message"
        );
    }

    #[test]
    fn texts_are_sorted_by_share() {
        let text = summary().full();
        assert!(text.contains("main              85.0 %   25.0 %   60.0 %         85"), "{text}");
        let own = text.split("by own time").nth(1).unwrap();
        let positions = ["tcp_sendmsg [kernel]", "memcpy", "  b\n"].map(|name| own.find(name).unwrap());
        assert!(positions.is_sorted(), "{own}");
        let brief = summary().brief();
        assert!(brief.contains("system calls: sendto 60.0 %\n"), "{brief}");
        assert!(brief.lines().count() <= 10);
    }
}
