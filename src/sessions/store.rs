//! File store for sessions, so that they survive a restart. A dedicated thread does all file I/O.
//!
//! The event loop puts entries into a shared map and never waits for the disk. The thread takes the map every
//! [`SESSION_STORE_WRITE_MS`] and writes it in one transaction. If the store fails, its sessions are lost, and the server logs
//! the failure.

mod file;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{mem, thread};

use super::{SessionEntry, SessionToken};
use crate::limits::{
    SESSION_FILES_BROKEN_MAX, SESSION_STORE_STOP_MS, SESSION_STORE_WRITE_MS, SESSIONS_SAVED_MAX,
};
use file::{StoreError, StoreFile, set_aside};

/// Name of the file in the state directory.
pub const FILE: &str = "resume.redb";

/// Write rounds between two removals of expired rows.
const ROUNDS_PER_EXPIRY: u32 = 60;

/// A row that an earlier process wrote.
#[derive(Debug)]
pub struct StoredSession {
    /// The row's key.
    pub token: SessionToken,
    /// The row's value.
    pub entry: SessionEntry,
    /// Age of the row, in seconds.
    pub age_s: u32,
}

/// An open store. Dropping it writes the pending entries and waits up to [`SESSION_STORE_STOP_MS`] for the write.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    loaded: Vec<StoredSession>,
    stop: Option<Sender<()>>,
    stopped: Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    ttl_s: AtomicU32,
    /// Entries not yet written, only the latest of each token; at most [`SESSIONS_SAVED_MAX`].
    pending: Mutex<HashMap<SessionToken, SessionEntry>>,
    failures: AtomicU64,
}

impl Store {
    /// Opens the store in this directory and loads its rows. A corrupt file is set aside and replaced by an empty one.
    ///
    /// # Errors
    /// Returns a log line if the directory is not writable or another process has the file open.
    pub fn open(folder: &Path, ttl_s: u32) -> Result<Self, String> {
        let path = folder.join(FILE);
        let to_line = |why: &str| error_line(&path, why);
        let (file, loaded) = open_or_replace(&path, ttl_s).map_err(|why| to_line(&why))?;
        let shared = Arc::new(Shared {
            ttl_s: AtomicU32::new(ttl_s),
            pending: Mutex::default(),
            failures: AtomicU64::new(0),
        });
        let (stop, stop_requested) = channel();
        let (done, stopped) = channel();
        let (path, shared_with) = (path.clone(), Arc::clone(&shared));
        let writer =
            Writer { file: Some(file), path, shared: shared_with, is_failing: false, corrupt_files: 0 };
        thread::Builder::new()
            .name("resume-store".to_owned())
            .spawn(move || {
                writer.run(&stop_requested);
                // The receiver is gone if `Drop` has timed out.
                let _ = done.send(());
            })
            .map_err(|error| to_line(&error.to_string()))?;
        Ok(Self { shared, loaded, stop: Some(stop), stopped })
    }

    /// Returns the rows that earlier processes wrote; empty after the first call.
    pub(super) fn take_loaded(&mut self) -> Vec<StoredSession> {
        mem::take(&mut self.loaded)
    }

    pub(super) fn set_ttl(&self, ttl_s: u32) {
        self.shared.ttl_s.store(ttl_s, Ordering::Relaxed);
    }

    pub(super) fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    /// Queues an entry for the next write. At [`SESSIONS_SAVED_MAX`] pending tokens (the disk hangs), other tokens are dropped.
    pub(super) fn save(&self, token: SessionToken, entry: SessionEntry) {
        let mut pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() < SESSIONS_SAVED_MAX || pending.contains_key(&token) {
            pending.insert(token, entry);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop = None;
        if self.stopped.recv_timeout(Duration::from_millis(SESSION_STORE_STOP_MS))
            == Err(RecvTimeoutError::Timeout)
        {
            log::error!("STATE_DIR: {FILE} was not written in time; the latest disconnects are lost");
        }
    }
}

/// Checks whether [`Store::open`] could open the file, without creating or changing it. A lock held by another process is not
/// an error: that process may be the running server.
///
/// # Errors
/// Returns the same log line as [`Store::open`].
pub fn check(folder: &Path) -> Result<(), String> {
    let path = folder.join(FILE);
    file::check(&path).map_err(|error| error_line(&path, &error.to_string()))
}

fn error_line(path: &Path, why: &str) -> String {
    format!("STATE_DIR: {}: {why}", path.display())
}

/// Opens and reads the file. A corrupt file is set aside, and a new one is created.
fn open_or_replace(path: &Path, ttl_s: u32) -> Result<(StoreFile, Vec<StoredSession>), String> {
    let open = || StoreFile::open(path)?.read(ttl_s, unix_s());
    match open() {
        Ok(opened) => Ok(opened),
        Err(StoreError::Unavailable(why)) => Err(why),
        Err(StoreError::Corrupt(why)) => {
            set_aside(path, &why)?;
            open().map_err(StoreError::why)
        }
    }
}

struct Writer {
    /// `None` after a failure, until the file can be reopened.
    file: Option<StoreFile>,
    path: PathBuf,
    shared: Arc<Shared>,
    is_failing: bool,
    /// Number of files that became corrupt under this process.
    corrupt_files: u32,
}

impl Writer {
    fn run(mut self, stop_requested: &Receiver<()>) {
        let mut round = 0;
        loop {
            let is_last = stop_requested.recv_timeout(Duration::from_millis(SESSION_STORE_WRITE_MS))
                != Err(RecvTimeoutError::Timeout);
            let rows = mem::take(&mut *self.pending());
            let is_expiring = round % ROUNDS_PER_EXPIRY == 0;
            if !rows.is_empty() || is_expiring {
                let result = self.write(&rows, is_expiring);
                if result.is_err() {
                    self.requeue(rows);
                }
                self.log_transition(result);
            }
            if is_last {
                if let Some(file) = self.file {
                    file.close();
                }
                return;
            }
            round += 1;
        }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, HashMap<SessionToken, SessionEntry>> {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues rows again after a failed write. Entries queued since then take precedence.
    fn requeue(&self, rows: HashMap<SessionToken, SessionEntry>) {
        let mut pending = self.pending();
        for (token, entry) in rows {
            if pending.len() < SESSIONS_SAVED_MAX {
                pending.entry(token).or_insert(entry);
            }
        }
    }

    /// Writes rows. If the file is corrupt, it is set aside, and the rows go into a new file.
    fn write(&mut self, rows: &HashMap<SessionToken, SessionEntry>, is_expiring: bool) -> Result<(), String> {
        let ttl_s = is_expiring.then(|| self.shared.ttl_s.load(Ordering::Relaxed));
        loop {
            if self.corrupt_files >= SESSION_FILES_BROKEN_MAX {
                return Err("too many corrupt files".to_owned());
            }
            let file = self.file.take().map_or_else(|| StoreFile::open(&self.path), Ok);
            match file.and_then(|file| file.write(rows, unix_s(), ttl_s)) {
                Ok(file) => {
                    self.file = Some(file);
                    return Ok(());
                }
                Err(StoreError::Unavailable(why)) => return Err(why),
                Err(StoreError::Corrupt(why)) => {
                    self.corrupt_files += 1;
                    set_aside(&self.path, &why)?;
                }
            }
        }
    }

    /// Logs one line when writes begin to fail, and one when they succeed again.
    fn log_transition(&mut self, result: Result<(), String>) {
        let (path, was_failing) = (self.path.display(), self.is_failing);
        self.is_failing = result.is_err();
        self.shared.failures.fetch_add(u64::from(self.is_failing), Ordering::Relaxed);
        match result {
            Ok(()) if was_failing => log::info!("STATE_DIR: {path} is writable again"),
            Err(why) if !was_failing => {
                log::error!("STATE_DIR: {path} can't be written; sessions will not survive a restart: {why}");
            }
            _ => {}
        }
    }
}

/// Returns the wall clock in seconds since 1970: row ages must be comparable across processes and reboots.
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a writer with a file in its own temporary directory.
    fn writer(name: &str) -> Writer {
        let folder = std::env::temp_dir().join(format!("pixi-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let shared =
            Shared { ttl_s: AtomicU32::new(300), pending: Mutex::default(), failures: AtomicU64::new(0) };
        Writer {
            file: None,
            path: folder.join(FILE),
            shared: Arc::new(shared),
            is_failing: false,
            corrupt_files: 0,
        }
    }

    fn rows(numbers: std::ops::Range<u128>) -> HashMap<SessionToken, SessionEntry> {
        numbers
            .map(|number| (SessionToken::of(number), SessionEntry::ReplacedBy(SessionToken::of(number + 1))))
            .collect()
    }

    fn found(writer: &Writer) -> usize {
        open_or_replace(&writer.path, 300).unwrap().1.len()
    }

    /// Corrupts the file. The writer closes it first, as after a failure.
    fn corrupt_file(writer: &mut Writer) {
        writer.file.take().unwrap().close();
        let bytes = std::fs::read(&writer.path).unwrap();
        let zeros: Vec<u8> =
            bytes.iter().enumerate().map(|(at, &byte)| if at < 512 { byte } else { 0xa5 }).collect();
        std::fs::write(&writer.path, zeros).unwrap();
    }

    #[test]
    fn a_file_that_becomes_corrupt_is_replaced_and_loses_only_its_own_rows() {
        let mut writer = writer("breaks");
        writer.write(&rows(0..20_000), true).unwrap();
        corrupt_file(&mut writer);
        writer.write(&rows(30_000..30_005), true).unwrap();
        assert!(writer.path.with_extension("redb.broken").exists());
        writer.file.take().unwrap().close();
        assert_eq!((writer.corrupt_files, found(&writer)), (1, 5));
    }

    #[test]
    fn writing_stops_after_too_many_corrupt_files() {
        let mut writer = writer("again");
        for round in 0..SESSION_FILES_BROKEN_MAX {
            writer.write(&rows(0..20_000), true).unwrap();
            corrupt_file(&mut writer);
            assert_eq!(writer.corrupt_files, round);
            // After the last corrupt file nothing is written.
            assert_eq!(writer.write(&rows(0..1), true).is_ok(), round + 1 < SESSION_FILES_BROKEN_MAX);
        }
    }

    #[test]
    fn a_failed_write_is_retried_and_newer_entries_win() {
        let mut writer = writer("later");
        std::fs::create_dir(&writer.path).unwrap();
        assert!(writer.write(&rows(0..3), false).is_err());
        writer.pending().insert(SessionToken::of(1), SessionEntry::Deleted);
        writer.requeue(rows(0..3));
        std::fs::remove_dir(&writer.path).unwrap();
        let pending = mem::take(&mut *writer.pending());
        writer.write(&pending, false).unwrap();
        writer.file.take().unwrap().close();
        assert_eq!(found(&writer), 2);
    }

    #[test]
    fn the_file_size_is_bounded() {
        let mut writer = writer("size");
        for round in 0..6 {
            writer.write(&rows(round * 50_000..(round + 1) * 50_000), false).unwrap();
        }
        writer.file.take().unwrap().close();
        assert!(std::fs::metadata(&writer.path).unwrap().len() <= crate::limits::SESSION_FILE_BYTES_MAX);
        assert!(found(&writer) <= SESSIONS_SAVED_MAX);
    }
}
