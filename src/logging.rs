//! The log: formatted where it is written, stored by a thread of its own, so that a slow disk or terminal never holds
//! up the loop. When the thread can't keep up, lines are dropped and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log as _, Record};
use simplelog::{Config, ConfigBuilder, WriteLogger};

use crate::limits::{LOG_LINES_MAX, LOG_STOP_MS};

/// The name of the thread that stores the lines.
pub const THREAD_NAME: &str = "log";

/// The log in force, for whoever ends the process.
static LOG: OnceLock<Log> = OnceLock::new();

#[derive(Debug)]
struct Log {
    lines: SyncSender<Line>,
    thread: JoinHandle<()>,
    file: Option<PathBuf>,
}

/// Stops the log when dropped, after the lines logged so far.
#[derive(Debug)]
pub struct LogGuard {
    dropped: Arc<AtomicU64>,
}

enum Line {
    Text(Vec<u8>),
    Last,
}

/// Starts logging at this level, to a file (appended to) or to standard error.
///
/// # Errors
/// The file can't be opened, or no thread started.
///
/// # Panics
/// When called twice in a process.
pub fn start(level: LevelFilter, file: Option<&Path>) -> io::Result<LogGuard> {
    let sink: Box<dyn Write + Send> = match file {
        Some(path) => Box::new(open(path)?),
        None => Box::new(io::stderr()),
    };
    let (lines, inbox) = sync_channel(LOG_LINES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let thread =
        std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || write_lines(&inbox, sink))?;
    let writer = LineWriter { lines: lines.clone(), partial: Vec::new(), dropped: Arc::clone(&dropped) };
    WriteLogger::init(level, format(), writer).expect("the log is started once");
    LOG.set(Log { lines, thread, file: file.map(Path::to_owned) }).expect("the log is started once");
    Ok(LogGuard { dropped })
}

fn format() -> Config {
    ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_target_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        // tungstenite logs every frame; what a client sends must not fill the log.
        .add_filter_allow_str(env!("CARGO_CRATE_NAME"))
        .build()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl LogGuard {
    /// The count of lines that were dropped because the thread could not keep up.
    pub fn dropped_lines(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
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
pub fn write_last(text: &str) {
    if let Some(path) = LOG.get().and_then(|log| log.file.as_deref())
        && let Ok(file) = open(path)
    {
        write_directly(file, text);
    }
    write_directly(io::stderr(), text);
}

fn write_directly(sink: impl Write + Send + 'static, text: &str) {
    // A logger of its own: the one in force may be locked by the very thread that ends the process.
    let logger = WriteLogger::new(LevelFilter::Error, format(), io::BufWriter::new(sink));
    let target = env!("CARGO_CRATE_NAME");
    logger.log(&Record::builder().level(Level::Error).target(target).args(format_args!("{text}")).build());
    logger.flush();
}

/// Collects what the formatter writes piece by piece and hands over whole lines without ever waiting.
struct LineWriter {
    lines: SyncSender<Line>,
    partial: Vec<u8>,
    dropped: Arc<AtomicU64>,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.partial.extend_from_slice(bytes);
        if self.partial.ends_with(b"\n")
            && self.lines.try_send(Line::Text(std::mem::take(&mut self.partial))).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(inbox: &Receiver<Line>, mut sink: Box<dyn Write + Send>) {
    for line in inbox {
        match line {
            // A full disk must not end the server; the next line may find room again.
            Line::Text(text) => {
                let _ = sink.write_all(&text);
            }
            Line::Last => break,
        }
    }
    let _ = sink.flush();
}
