//! Logging: the caller formats lines and a log thread writes them, so that a slow disk or terminal never blocks the event
//! loop. When the queue or the disk is full, lines are dropped and counted. The file can be reopened at any time, for log
//! rotation.

mod collector;
mod line;

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Record};

use crate::limits::{LOG_LINES_MAX, LOG_STOP_MS};
use crate::ops::files::open_to_append;
pub use collector::{start_collecting, take_collected};
pub use line::Format;

/// Name of the thread that writes the lines.
pub const THREAD_NAME: &str = "log";

/// The process's log, for [`stop`] and [`write_final_line`].
static LOG: OnceLock<Log> = OnceLock::new();

#[derive(Debug)]
struct Log {
    lines: SyncSender<Line>,
    thread: JoinHandle<()>,
    file: Option<PathBuf>,
    format: Format,
}

/// Stops the log thread when dropped, after it has written the queued lines.
#[derive(Debug)]
pub struct LogGuard {
    handle: LogHandle,
}

/// The server's handle to its log. The default belongs to no log.
#[derive(Clone, Debug, Default)]
pub struct LogHandle {
    dropped: Arc<AtomicU64>,
    /// Set by a reopen request that found the queue full.
    reopen: Arc<AtomicBool>,
    /// Set when logging to a file.
    lines: Option<SyncSender<Line>>,
}

#[derive(Debug)]
enum Line {
    Text(Vec<u8>),
    Reopen,
    Stop,
}

/// Starts logging: appends to a file, or writes to standard error. [`log::set_max_level`] changes the level later.
///
/// # Errors
/// The file can't be opened, or the thread can't be started.
///
/// # Panics
/// When called twice in a process.
pub fn start(level: LevelFilter, format: Format, file: Option<&Path>) -> io::Result<LogGuard> {
    let output: Box<dyn Write + Send> = match file {
        // With O_APPEND, writing continues at the new end after another program truncates the file.
        Some(path) => Box::new(open_to_append(path)?),
        None => Box::new(io::stderr()),
    };
    let (lines, inbox) = sync_channel(LOG_LINES_MAX);
    let handle = LogHandle { lines: file.map(|_| lines.clone()), ..LogHandle::default() };
    let sink = Sink { output, dropped: Arc::clone(&handle.dropped), is_torn: false, lost: 0 };
    let (path, reopen) = (file.map(Path::to_owned), Arc::clone(&handle.reopen));
    let thread = std::thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .spawn(move || write_lines(&inbox, sink, path.as_ref(), &reopen))?;
    let dropped = Arc::clone(&handle.dropped);
    let queue = lines.clone();
    let logger = format.logger(move |line| {
        if queue.try_send(Line::Text(line)).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    });
    log::set_boxed_logger(logger).expect("the log is started once");
    log::set_max_level(level);
    LOG.set(Log { lines, thread, file: file.map(Path::to_owned), format }).expect("the log is started once");
    Ok(LogGuard { handle })
}

impl LogGuard {
    /// Returns a handle for the server.
    pub fn handle(&self) -> LogHandle {
        self.handle.clone()
    }
}

impl LogHandle {
    /// Returns the number of lines dropped because the queue was full or writing failed.
    pub fn lines_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Requests that the file be reopened by its name. Lines logged earlier go to the old file, later lines to the new one.
    /// Returns false when not logging to a file. Never blocks.
    pub fn reopen(&self) -> bool {
        let Some(lines) = &self.lines else { return false };
        if lines.try_send(Line::Reopen).is_err() {
            // The queue is full: the thread checks this flag after each line.
            self.reopen.store(true, Ordering::Relaxed);
        }
        true
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        stop();
    }
}

/// Stops the log thread after it has written the queued lines. Waits at most [`LOG_STOP_MS`] for a hung disk or terminal.
pub fn stop() {
    let Some(log) = LOG.get() else { return };
    let start = Instant::now();
    let mut is_sent = false;
    while !log.thread.is_finished() && start.elapsed() < Duration::from_millis(LOG_STOP_MS) {
        is_sent = is_sent || !matches!(log.lines.try_send(Line::Stop), Err(TrySendError::Full(_)));
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Writes an error line to standard error and to the log file, past the log thread, which [`stop`] must have ended.
pub fn write_final_line(text: &str) {
    let format = LOG.get().map_or(Format::Text, |log| log.format);
    let logger = format.logger(|line| {
        if let Some(path) = LOG.get().and_then(|log| log.file.as_deref())
            && let Ok(mut file) = open_to_append(path)
        {
            let _ = file.write_all(&line);
        }
        let _ = io::stderr().write_all(&line);
    });
    let mut record = Record::builder();
    record.target(module_path!()).level(Level::Error);
    logger.log(&record.args(format_args!("{text}")).build());
}

fn write_lines(inbox: &Receiver<Line>, mut sink: Sink, path: Option<&PathBuf>, reopen: &AtomicBool) {
    for line in inbox {
        let must_reopen = match line {
            Line::Text(text) => {
                sink.write_line(&text);
                reopen.swap(false, Ordering::Relaxed)
            }
            Line::Reopen => true,
            Line::Stop => break,
        };
        if let (true, Some(path)) = (must_reopen, path) {
            match open_to_append(path) {
                Ok(file) => sink.switch_to(Box::new(file)),
                // This line is queued like any other, and goes to the old file.
                Err(error) => log::error!(
                    "LOG_FILE={}: reopen failed; still writing to the old file: {error}",
                    path.display()
                ),
            }
        }
    }
    let _ = sink.output.flush();
}

/// Output of the log thread. A line that can't be written is dropped; a newline separates a torn line from the next one.
struct Sink {
    output: Box<dyn Write + Send>,
    dropped: Arc<AtomicU64>,
    /// The last line was written only in part.
    is_torn: bool,
    /// Lines dropped since the last successful write.
    lost: u64,
}

impl Sink {
    /// Writes a line. On failure, such as a full disk, the line is dropped and counted; the next write may succeed.
    fn write_line(&mut self, text: &[u8]) {
        let result = if self.is_torn { self.write_whole(b"\n") } else { Ok(()) };
        if result.and_then(|()| self.write_whole(text)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.lost += 1;
        } else if self.lost > 0 {
            log::warn!("{} log lines before this one could not be written", self.lost);
            self.lost = 0;
        }
    }

    fn write_whole(&mut self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match self.output.write(text) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    text = &text[count..];
                    self.is_torn = !text.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn switch_to(&mut self, output: Box<dyn Write + Send>) {
        self.output = output;
        self.is_torn = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A disk with limited free space.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Disk {
        fn set_free_space(&self, bytes: usize) {
            self.0.lock().unwrap().1 = bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (stored, room) = &mut *self.0.lock().unwrap();
            if *room == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(*room);
            stored.extend_from_slice(&bytes[..count]);
            *room -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_drops_lines_and_never_joins_two() {
        let disk = Disk::default();
        let dropped = Arc::default();
        let mut sink =
            Sink { output: Box::new(disk.clone()), dropped: Arc::clone(&dropped), is_torn: false, lost: 0 };
        disk.set_free_space(9);
        sink.write_line(b"first\n");
        sink.write_line(b"second\n");
        sink.write_line(b"third\n");
        assert_eq!((disk.text().as_str(), dropped.load(Ordering::Relaxed)), ("first\nsec", 2));
        disk.set_free_space(100);
        sink.write_line(b"fourth\n");
        assert_eq!((disk.text().as_str(), sink.lost), ("first\nsec\nfourth\n", 0));
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_new_file_does_not_start_with_the_rest_of_a_torn_line() {
        let (full, fresh) = (Disk::default(), Disk::default());
        let mut sink =
            Sink { output: Box::new(full.clone()), dropped: Arc::default(), is_torn: false, lost: 0 };
        full.set_free_space(3);
        sink.write_line(b"first\n");
        fresh.set_free_space(100);
        sink.switch_to(Box::new(fresh.clone()));
        sink.write_line(b"second\n");
        assert_eq!((full.text().as_str(), fresh.text().as_str()), ("fir", "second\n"));
    }

    #[test]
    fn a_process_without_a_log_file_does_not_reopen() {
        let handle = LogHandle::default();
        assert!(!handle.reopen());
        assert_eq!(handle.lines_dropped(), 0);
    }
}
