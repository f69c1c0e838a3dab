//! Counts every allocation in builds with the feature `profile-mem`, for `make profile-mem`.
//!
//! Counting starts with the process. Each line on standard input toggles it, which separates the steady state from the
//! start; the end of input does nothing. The first profile is written to `dhat-heap.json` in the working directory, the
//! next ones to `dhat-heap-2.json` and so on, in the format of Valgrind's DHAT. Writing a profile blocks all allocations for
//! about a second, so let the server catch up before you start the next count.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use dhat::Profiler;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// A running profiler; dropping it writes the current profile, unless a line has already ended it.
#[derive(Debug)]
pub struct HeapProfile {
    counting: Arc<Mutex<Option<Profiler>>>,
}

impl HeapProfile {
    /// Starts counting and reads standard input on a new thread, which inherits the mask of blocked signals.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start() -> io::Result<Self> {
        let counting = Arc::new(Mutex::new(Some(Profiler::new_heap())));
        let shared = Arc::clone(&counting);
        std::thread::Builder::new().name("heap-profile".to_owned()).spawn(move || toggle_by_line(&shared))?;
        Ok(Self { counting })
    }
}

impl Drop for HeapProfile {
    fn drop(&mut self) {
        // The input thread shares the profiler and outlives this value.
        self.counting.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn toggle_by_line(counting: &Mutex<Option<Profiler>>) {
    let mut profiles = 1;
    for _line in io::stdin().lines().map_while(Result::ok) {
        let mut counting = counting.lock().unwrap_or_else(PoisonError::into_inner);
        if counting.take().is_none() {
            profiles += 1;
            let file = format!("dhat-heap-{profiles}.json");
            *counting = Some(Profiler::builder().file_name(file).build());
        }
    }
}
