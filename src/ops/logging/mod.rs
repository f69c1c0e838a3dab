//! The log: formatted where it is written, stored by a thread of its own, so that a slow disk or terminal never holds
//! up the loop. Lines that the thread can't keep up with, or that the disk has no room for, are dropped and counted.
//! The file can be opened anew at any time, so that whoever rotates it may rename it.

mod collector;
mod line;

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Metadata, Record};
use time::OffsetDateTime;

use crate::limits::{LOG_LINES_MAX, LOG_STOP_MS};
use crate::ops::files::open_to_append;
pub use collector::{collect, collected};
pub use line::Format;

/// The name of the thread that stores the lines.
pub const THREAD_NAME: &str = "log";

/// The log in force, for whoever ends the process.
static LOG: OnceLock<Log> = OnceLock::new();

#[derive(Debug)]
struct Log {
    lines: SyncSender<Line>,
    thread: JoinHandle<()>,
    file: Option<PathBuf>,
    format: Format,
}

/// Stops the log when dropped, after the lines logged so far.
#[derive(Debug)]
pub struct LogGuard {
    handle: LogHandle,
}

/// What a running server may ask of its log. The default is that of a process without one.
#[derive(Clone, Debug, Default)]
pub struct LogHandle {
    dropped: Arc<AtomicU64>,
    /// For a request to open the file anew that found the channel full.
    reopen: Arc<AtomicBool>,
    /// Set where there is a file.
    lines: Option<SyncSender<Line>>,
}

#[derive(Debug)]
enum Line {
    Text(Vec<u8>),
    Reopen,
    Last,
}

/// Starts logging at this level, which [`log::set_max_level`] can change later, to a file (appended to) or to standard
/// error.
///
/// # Errors
/// The file can't be opened, or no thread started.
///
/// # Panics
/// When called twice in a process.
pub fn start(level: LevelFilter, format: Format, file: Option<&Path>) -> io::Result<LogGuard> {
    let output: Box<dyn Write + Send> = match file {
        // Appending, so that a file that is cut to nothing while it is written goes on from there.
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
    let logger = Logger { lines: lines.clone(), format, dropped };
    log::set_boxed_logger(Box::new(logger)).expect("the log is started once");
    log::set_max_level(level);
    LOG.set(Log { lines, thread, file: file.map(Path::to_owned), format }).expect("the log is started once");
    Ok(LogGuard { handle })
}

impl LogGuard {
    /// For the server.
    pub fn handle(&self) -> LogHandle {
        self.handle.clone()
    }
}

impl LogHandle {
    /// Lines that were dropped, since the thread could not keep up or they could not be written.
    pub fn lines_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Asks for the file to be opened anew, by its name: lines logged before go to the old one, later ones to the new
    /// one. False where there is no file. Never waits.
    pub fn reopen(&self) -> bool {
        let Some(lines) = &self.lines else { return false };
        if lines.try_send(Line::Reopen).is_err() {
            // A thousand lines wait: the thread, on its way through them, will see this.
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

/// Ends the log's thread after the lines logged so far. A disk or terminal that hangs is waited for, but not for ever.
pub fn stop() {
    let Some(log) = LOG.get() else { return };
    let start = Instant::now();
    let mut told = false;
    while !log.thread.is_finished() && start.elapsed() < Duration::from_millis(LOG_STOP_MS) {
        told = told || !matches!(log.lines.try_send(Line::Last), Err(TrySendError::Full(_)));
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Writes a line as an error past the log's thread, which must have been [`stop`]ped or be gone: to standard error, and to
/// the log's file if there is one.
pub fn write_final_line(text: &str) {
    let format = LOG.get().map_or(Format::Text, |log| log.format);
    let record = |args| Record::builder().level(Level::Error).args(args).build();
    let line = format.line(OffsetDateTime::now_utc(), &record(format_args!("{text}")));
    if let Some(path) = LOG.get().and_then(|log| log.file.as_deref())
        && let Ok(mut file) = open_to_append(path)
    {
        let _ = file.write_all(&line);
    }
    let _ = io::stderr().write_all(&line);
}

/// tungstenite logs every frame; what a client sends must not fill the log.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
}

/// Formats where a line is logged, and hands it over without ever waiting.
struct Logger {
    lines: SyncSender<Line>,
    format: Format,
    dropped: Arc<AtomicU64>,
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = self.format.line(OffsetDateTime::now_utc(), record);
            if self.lines.try_send(Line::Text(line)).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn flush(&self) {}
}

fn write_lines(inbox: &Receiver<Line>, mut sink: Sink, path: Option<&PathBuf>, reopen: &AtomicBool) {
    for line in inbox {
        let asked = match line {
            Line::Text(text) => {
                sink.write_line(&text);
                reopen.swap(false, Ordering::Relaxed)
            }
            Line::Reopen => true,
            Line::Last => break,
        };
        if let (true, Some(path)) = (asked, path) {
            match open_to_append(path) {
                Ok(file) => sink.turn_to(Box::new(file)),
                // Goes through the channel, like every line, and into the old file.
                Err(error) => log::error!(
                    "LOG_FILE={}: can't be opened anew, the old file is used on: {error}",
                    path.display()
                ),
            }
        }
    }
    let _ = sink.output.flush();
}

/// Where lines go, whole or not at all.
struct Sink {
    output: Box<dyn Write + Send>,
    dropped: Arc<AtomicU64>,
    /// The last line ends in its middle.
    is_torn: bool,
    /// Lines dropped since one could be written.
    lost: u64,
}

impl Sink {
    /// A full disk must not end the server: the line is dropped and counted; the next one may find room again.
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

    fn turn_to(&mut self, output: Box<dyn Write + Send>) {
        self.output = output;
        self.is_torn = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A disk with so much room left.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Disk {
        fn make_room(&self, bytes: usize) {
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
    fn a_full_disk_costs_lines_and_never_joins_two() {
        let disk = Disk::default();
        let dropped = Arc::default();
        let mut sink =
            Sink { output: Box::new(disk.clone()), dropped: Arc::clone(&dropped), is_torn: false, lost: 0 };
        disk.make_room(9);
        sink.write_line(b"first\n");
        sink.write_line(b"second\n");
        sink.write_line(b"third\n");
        assert_eq!((disk.text().as_str(), dropped.load(Ordering::Relaxed)), ("first\nsec", 2));
        disk.make_room(100);
        sink.write_line(b"fourth\n");
        assert_eq!((disk.text().as_str(), sink.lost), ("first\nsec\nfourth\n", 0));
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_new_file_does_not_begin_with_the_end_of_a_torn_line() {
        let (full, fresh) = (Disk::default(), Disk::default());
        let mut sink =
            Sink { output: Box::new(full.clone()), dropped: Arc::default(), is_torn: false, lost: 0 };
        full.make_room(3);
        sink.write_line(b"first\n");
        fresh.make_room(100);
        sink.turn_to(Box::new(fresh.clone()));
        sink.write_line(b"second\n");
        assert_eq!((full.text().as_str(), fresh.text().as_str()), ("fir", "second\n"));
    }

    #[test]
    fn a_process_without_a_log_file_has_nothing_to_open_anew() {
        let handle = LogHandle::default();
        assert!(!handle.reopen());
        assert_eq!(handle.lines_dropped(), 0);
    }
}
