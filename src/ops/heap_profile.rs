//! Counts every allocation, in builds with the feature `profile-mem`: what `make profile-mem` measures with.
//!
//! Counting begins with the process. Each line on standard input ends it or begins it anew, in turn, so that the steady
//! state can be told from the start; the end of input does nothing. The first stretch is written to `dhat-heap.json` in
//! the working directory, the next ones to `dhat-heap-2.json` and so on, in the format of Valgrind's DHAT. To write one
//! takes a second or so in which nothing can be allocated: let the server catch up before counting again.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use dhat::Profiler;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Counting, until it is dropped: then what was counted is written, unless a line has ended it before.
#[derive(Debug)]
pub struct HeapProfile {
    counting: Arc<Mutex<Option<Profiler>>>,
}

impl HeapProfile {
    /// Begins to count, and listens on standard input. Signals must be blocked already: this makes a thread.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start() -> io::Result<Self> {
        let counting = Arc::new(Mutex::new(Some(Profiler::new_heap())));
        let shared = Arc::clone(&counting);
        std::thread::Builder::new().name("heap-profile".to_owned()).spawn(move || toggle_by_line(&shared))?;
        Ok(Self { counting })
    }
}

impl Drop for HeapProfile {
    fn drop(&mut self) {
        // The thread that waits for lines holds the profiler as well and outlives this value.
        self.counting.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn toggle_by_line(counting: &Mutex<Option<Profiler>>) {
    let mut stretches = 1;
    for _line in io::stdin().lines().map_while(Result::ok) {
        let mut counting = counting.lock().unwrap_or_else(PoisonError::into_inner);
        if counting.take().is_none() {
            stretches += 1;
            let file = format!("dhat-heap-{stretches}.json");
            *counting = Some(Profiler::builder().file_name(file).build());
        }
    }
}
