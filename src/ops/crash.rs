//! How the process ends when something is wrong with the program itself: with a last line that says what, on standard
//! error and in `LOG_FILE`, and never half dead.
//!
//! A panic of any thread ends the process with status [`PANICKED`], unless it happens within [`contain`]: then it costs
//! what was being done there and nothing else. Panics unwind for the sake of that containment; what must not go on is ended
//! here, by the hook, before anything is unwound, so that no thread is left waiting for one that is gone.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use crate::limits::PANIC_LOG_MS;
use crate::ops::logging;

/// Exit status after a panic that was not contained: `EX_SOFTWARE` of sysexits.h.
pub const PANICKED: u8 = 70;

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
    /// Where the text of a contained panic goes instead of the log, if the caller wants it.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Set by the first thread that ends the process.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// What becomes of the process after its last line.
#[derive(Clone, Copy)]
enum Exit {
    Status,
    Abort,
}

/// Does something whose panic must not cost more than the thing itself; `None` if it panicked.
pub fn contain<T>(act: impl FnOnce() -> T) -> Option<T> {
    let outer = IS_CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(act));
    IS_CONTAINED.set(outer);
    result.ok()
}

/// The same for a caller that says itself what went wrong.
///
/// # Errors
/// It panicked; this is where and why.
pub fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    let outer = CAUGHT.replace(Some(String::new()));
    let result = contain(act);
    let text = CAUGHT.replace(outer).filter(|text| !text.is_empty());
    result.ok_or_else(|| text.unwrap_or_else(|| "it panicked".to_owned()))
}

/// From here on every panic is logged, and one that is not contained ends the process.
pub fn watch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = describe(panic);
        if IS_CONTAINED.get() {
            CAUGHT.with_borrow_mut(|caught| match caught {
                Some(caught) => *caught = text,
                None => log::error!("contained: {text}"),
            });
        } else {
            end(&text, Exit::Status);
        }
    }));
}

/// Writes the last line and aborts, for a core dump if the system is set up to keep one.
pub fn abort(text: &str) -> ! {
    end(text, Exit::Abort)
}

/// Thread, place and message of a panic.
fn describe(panic: &PanicHookInfo<'_>) -> String {
    let current = thread::current();
    let message = panic.payload_as_str().unwrap_or("(no message)");
    let mut text = format!("thread '{}' panicked", current.name().unwrap_or("without a name"));
    if let Some(place) = panic.location() {
        let _ = write!(text, " at {place}");
    }
    // One line, whatever the message holds.
    let _ = write!(text, ": {}", message.replace('\n', " | "));
    text
}

/// Writes what was logged before and the last line, then ends the process, also when the disk or the terminal hangs.
fn end(text: &str, exit: Exit) -> ! {
    if IS_ENDING.swap(true, Ordering::SeqCst) {
        // Another thread is ending the process, for a reason that came first.
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
            logging::write_last(&text);
            let _ = written.send(());
        }
    };
    match thread::Builder::new().name("last-line".to_owned()).spawn(write) {
        Ok(_) => {
            let _ = wait.recv_timeout(Duration::from_millis(PANIC_LOG_MS));
        }
        // No thread to be had: then without the time limit.
        Err(_) => logging::write_last(text),
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
    fn what_is_contained_costs_its_result_alone() {
        assert_eq!(contain(|| 7), Some(7));
        assert_eq!(contain(|| -> u32 { panic!("a wrong turn") }), None);
        assert!(!IS_CONTAINED.get(), "containment ends with what was contained");
    }

    #[test]
    fn who_catches_a_panic_says_itself_what_it_was() {
        assert_eq!(caught(|| 7), Ok(7));
        assert!(caught(|| -> u32 { panic!("a wrong turn") }).is_err());
        assert!(!IS_CONTAINED.get() && CAUGHT.with_borrow(Option::is_none));
    }

    /// Runs itself once more, since the hook is the whole process's.
    #[test]
    fn a_contained_panic_does_not_end_a_process_whose_panics_are_watched() {
        const VARIABLE: &str = "TEST_CONTAINED_PANIC";
        const NAME: &str = "a_contained_panic_does_not_end_a_process_whose_panics_are_watched";
        if std::env::var_os(VARIABLE).is_some() {
            watch_panics();
            assert_eq!(contain(|| -> u32 { panic!("contained") }), None);
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
    fn containment_nests() {
        let outer = contain(|| {
            assert_eq!(contain(|| -> u32 { panic!("within") }), None);
            IS_CONTAINED.get()
        });
        assert_eq!(outer, Some(true));
    }
}
