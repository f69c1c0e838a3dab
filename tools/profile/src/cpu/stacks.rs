//! Folds perf's samples into stacks with sample counts.

use game_client::Failure;
use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};

use crate::text::short_name;

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
}
