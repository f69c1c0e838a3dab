//! perf's samples, folded: how often each stack was seen.

use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};
use stage::Failure;

use crate::text::short_name;

/// How the folder marks a function of the kernel.
const KERNEL_MARK: &str = "_[k]";

/// Functions that only lead from the start of a thread to the first function of interest: parts of their names.
const SCAFFOLD: [&str; 12] = [
    "catch_unwind",
    "FnOnce",
    "do_call",
    "__rust_begin_short_backtrace",
    "std::rt::lang_start",
    "std::thread::scoped::scope",
    "std::thread::lifecycle",
    "std::sys::thread",
    "__libc_start",
    "start_thread",
    "clone3",
    "[unknown]",
];

/// A stack that was seen, from the first function to the one that was running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Name of the thread.
    pub thread: String,
    /// Outermost first; never empty.
    pub frames: Vec<Frame>,
    /// How often it was seen.
    pub samples: u64,
}

/// A function on a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// Its name in full.
    pub function: String,
    /// Whether it is the kernel's.
    pub is_kernel: bool,
}

impl Stack {
    /// Whether the kernel was running.
    pub fn is_in_kernel(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.is_kernel)
    }

    /// As a flame graph reads it: names as short as the source knows them, joined by semicolons, and the count.
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
/// It is none.
pub fn fold(script: &[u8]) -> Result<Vec<Stack>, Failure> {
    let mut options = Options::default();
    options.annotate_kernel = true;
    let mut folded = Vec::new();
    Folder::from(options).collapse(script, &mut folded)?;
    Ok(String::from_utf8_lossy(&folded).lines().filter_map(stack).collect())
}

/// A line `thread;outermost;...;innermost count`.
fn stack(line: &str) -> Option<Stack> {
    let (path, count) = line.rsplit_once(' ')?;
    let mut names = path.split(';');
    let thread = names.next()?.to_owned();
    let mut frames: Vec<Frame> = names.map(frame).collect();
    let running = frames.pop()?;
    frames.retain(|frame| !is_scaffold(&frame.function));
    frames.push(running);
    Some(Stack { thread, frames, samples: count.parse().ok()? })
}

fn frame(name: &str) -> Frame {
    // The folder takes the code that the kernel maps into every process for its own.
    let is_kernel = name.ends_with(KERNEL_MARK) && !name.contains("vdso");
    // The folder marks inlined functions, too, which nobody asks for here.
    let function = name.trim_end_matches(KERNEL_MARK).trim_end_matches("_[i]").to_owned();
    Frame { function, is_kernel }
}

fn is_scaffold(function: &str) -> bool {
    SCAFFOLD.iter().any(|part| function.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples of one stack and one of another, as perf writes them.
    const SCRIPT: &str = "\
pixi-game-serve  6780/6780    521.258037: cpu-clock:ppp: 
	ffffffff8201011d tcp_sendmsg ([kernel.kallsyms])
	          10aba4 __libc_send (inlined)
	           80f1a pixi_game_server::server::flush::<impl pixi_game_server::server::Server>::write_reply (/bin/server)
	           789ae std::panic::catch_unwind (inlined)
	           3707a pixi_game_server::main (/bin/server)
	ffffffffffffffff [unknown] ([unknown])

view-1  6780/6781    521.3: cpu-clock:ppp: 
	           60d70 pixi_game_server::replication::flush::write_flush (/bin/server)

pixi-game-serve  6780/6780    521.4: cpu-clock:ppp: 
	ffffffff8201011d tcp_sendmsg ([kernel.kallsyms])
	          10aba4 __libc_send (inlined)
	           80f1a pixi_game_server::server::flush::<impl pixi_game_server::server::Server>::write_reply (/bin/server)
	           3707a pixi_game_server::main (/bin/server)

";

    #[test]
    fn what_leads_to_the_first_function_of_interest_is_left_out() {
        let stacks = fold(SCRIPT.as_bytes()).unwrap();
        let folded: Vec<String> = stacks.iter().map(Stack::folded).collect();
        let write = "pixi-game-serve;main;server::flush::write_reply;__libc_send;tcp_sendmsg_[k] 1";
        assert_eq!(folded, [write, write, "view-1;replication::flush::write_flush 1"]);
        assert!(stacks[0].is_in_kernel() && !stacks[2].is_in_kernel());
    }

    #[test]
    fn the_running_function_stays_whatever_it_is() {
        let stack = stack("x;start_thread;[unknown] 3").unwrap();
        assert_eq!((stack.folded(), stack.samples), ("x;[unknown] 3".to_owned(), 3));
    }

    #[test]
    fn code_mapped_by_the_kernel_runs_in_user_space() {
        assert!(!frame("__vdso_clock_gettime_[k]").is_kernel);
        assert!(frame("ip_rcv_[k]").is_kernel);
    }
}
