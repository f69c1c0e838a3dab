//! The log: formatted where it is written, stored by a thread of its own, so that a slow disk or terminal never holds
//! up the loop. When the thread can't keep up, lines are dropped and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use log::LevelFilter;
use simplelog::{ConfigBuilder, WriteLogger};

use crate::limits::LOG_LINES_MAX;

/// Waits, when dropped or told to, for the lines logged so far.
#[derive(Debug)]
pub struct LogGuard {
    lines: SyncSender<Line>,
    thread: Option<JoinHandle<()>>,
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
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&inbox, sink))?;
    let writer = LineWriter { lines: lines.clone(), partial: Vec::new(), dropped: Arc::clone(&dropped) };
    let format = ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_target_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        // tungstenite logs every frame; what a client sends must not fill the log.
        .add_filter_allow_str(env!("CARGO_CRATE_NAME"))
        .build();
    WriteLogger::init(level, format, writer).expect("the log is started once");
    Ok(LogGuard { lines, thread: Some(thread), dropped })
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
        // Fails only when the thread is gone, and then there is nothing to wait for.
        let _ = self.lines.send(Line::Last);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
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
