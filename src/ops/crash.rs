//! The panic hook and the abort path: the process ends with a final log line on standard error and in `LOG_FILE`.
//!
//! A panic of any thread ends the process with status [`PANICKED`], unless it happens within [`catch_panic`], which
//! confines it to that call. Panics unwind only to make [`catch_panic`] possible. The hook ends the process before any
//! unwinding, so that no thread is left waiting for one that has died.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use crate::limits::PANIC_LOG_MS;
use crate::ops::logging;

/// Exit status after an uncaught panic: `EX_SOFTWARE` of sysexits.h.
pub const PANICKED: u8 = 70;

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// Receives the description of a caught panic in place of the log; `None` outside [`catch_panic_message`].
    static PANIC_MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Set by the first thread that ends the process. Other threads that try to end it park.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// How the process ends after its final log line.
#[derive(Clone, Copy)]
enum Exit {
    Status,
    Abort,
}

/// Calls a function and catches its panic, which is logged; `None` if it panicked.
pub fn catch_panic<T>(act: impl FnOnce() -> T) -> Option<T> {
    let outer = IS_CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(act));
    IS_CAUGHT.set(outer);
    result.ok()
}

/// Calls a function and catches its panic, without logging it.
///
/// # Errors
/// The panic's thread, location and message.
pub fn catch_panic_message<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    let outer = PANIC_MESSAGE.replace(Some(String::new()));
    let result = catch_panic(act);
    let text = PANIC_MESSAGE.replace(outer).filter(|text| !text.is_empty());
    result.ok_or_else(|| text.unwrap_or_else(|| "it panicked".to_owned()))
}

/// Installs the panic hook: every panic is logged, and an uncaught one ends the process.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let text = describe(panic);
        if IS_CAUGHT.get() {
            PANIC_MESSAGE.with_borrow_mut(|message| match message {
                Some(message) => *message = text,
                None => log::error!("contained: {text}"),
            });
        } else {
            end(&text, Exit::Status);
        }
    }));
}

/// Writes the final log line and aborts, which leaves a core dump where the system keeps them.
pub fn abort(text: &str) -> ! {
    end(text, Exit::Abort)
}

/// Describes a panic on one line: thread, location and message.
fn describe(panic: &PanicHookInfo<'_>) -> String {
    let current = thread::current();
    let message = panic.payload_as_str().unwrap_or("(no message)");
    let mut text = format!("thread '{}' panicked", current.name().unwrap_or("without a name"));
    if let Some(place) = panic.location() {
        let _ = write!(text, " at {place}");
    }
    let _ = write!(text, ": {}", message.replace('\n', " | "));
    text
}

/// Flushes the log, writes the final line and exits. A hung disk delays this by at most [`PANIC_LOG_MS`].
fn end(text: &str, exit: Exit) -> ! {
    if IS_ENDING.swap(true, Ordering::SeqCst) {
        // Another thread is already ending the process.
        loop {
            thread::park();
        }
    }
    let (written, wait) = sync_channel::<()>(1);
    let is_log_thread = thread::current().name() == Some(logging::THREAD_NAME);
    let write = {
        let text = text.to_owned();
        move || {
            if !is_log_thread {
                logging::stop();
            }
            logging::write_final_line(&text);
            let _ = written.send(());
        }
    };
    match thread::Builder::new().name("final-line".to_owned()).spawn(write) {
        Ok(_) => {
            let _ = wait.recv_timeout(Duration::from_millis(PANIC_LOG_MS));
        }
        // No thread can be started: write without the time limit.
        Err(_) => logging::write_final_line(text),
    }
    match exit {
        Exit::Status => std::process::exit(i32::from(PANICKED)),
        Exit::Abort => std::process::abort(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_costs_only_the_result() {
        assert_eq!(catch_panic(|| 7), Some(7));
        assert_eq!(catch_panic(|| -> u32 { panic!("on purpose") }), None);
        assert_eq!(catch_panic_message(|| 7), Ok(7));
        assert!(catch_panic_message(|| -> u32 { panic!("on purpose") }).is_err());
        assert!(
            !IS_CAUGHT.get() && PANIC_MESSAGE.with_borrow(Option::is_none),
            "all is reset after the call"
        );
    }

    /// Runs itself in a child process, since the hook is process-wide.
    #[test]
    fn a_caught_panic_does_not_end_a_process_with_the_hook() {
        const VARIABLE: &str = "TEST_CAUGHT_PANIC";
        const NAME: &str = "a_caught_panic_does_not_end_a_process_with_the_hook";
        if std::env::var_os(VARIABLE).is_some() {
            install_panic_hook();
            assert_eq!(catch_panic(|| -> u32 { panic!("caught") }), None);
            return;
        }
        let mut itself = std::process::Command::new(std::env::current_exe().unwrap());
        let output =
            itself.args(["--exact", &format!("ops::crash::tests::{NAME}")]).env(VARIABLE, "1").output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    }

    #[test]
    fn catching_nests() {
        let outer = catch_panic(|| {
            assert_eq!(catch_panic(|| -> u32 { panic!("within") }), None);
            IS_CAUGHT.get()
        });
        assert_eq!(outer, Some(true));
    }
}
