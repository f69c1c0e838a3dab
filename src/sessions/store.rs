//! What outlives the process of what players left behind: a file, written by a thread of its own.
//!
//! The loop puts what is to be kept into a map and goes on; the thread takes the map every second and writes it in one
//! transaction. A store that fails costs the sessions in it and a line in the log.

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

/// The file below the folder that is given.
pub const FILE: &str = "resume.redb";

/// How often what is too old is taken out, in rounds of writing.
const ROUNDS_PER_CLEANING: u32 = 60;

/// What was kept by an earlier process.
#[derive(Debug)]
pub struct StoredSession {
    /// Whose it is.
    pub token: SessionToken,
    /// What it left behind, or which token its session has now.
    pub entry: SessionEntry,
    /// How long ago, in seconds.
    pub age_s: u32,
}

/// A store at work. Dropped, it writes what is left.
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
    /// What waits to be written, the latest of each token.
    waiting: Mutex<HashMap<SessionToken, SessionEntry>>,
    failures: AtomicU64,
}

impl Store {
    /// Opens the store in this folder and reads it. A file that is broken is set aside for a new one.
    ///
    /// # Errors
    /// A line about why there is none: the folder can't be written to, or another process has it.
    pub fn open(folder: &Path, ttl_s: u32) -> Result<Self, String> {
        let path = folder.join(FILE);
        let complain = |why: &str| complaint(&path, why);
        let (file, loaded) = open_or_replace(&path, ttl_s).map_err(|why| complain(&why))?;
        let shared = Arc::new(Shared {
            ttl_s: AtomicU32::new(ttl_s),
            waiting: Mutex::default(),
            failures: AtomicU64::new(0),
        });
        let (stop, asked_to_stop) = channel();
        let (has_stopped, stopped) = channel();
        let (path, shared_with) = (path.clone(), Arc::clone(&shared));
        let writer = Writer { file: Some(file), path, shared: shared_with, is_failing: false, broken: 0 };
        thread::Builder::new()
            .name("resume-store".to_owned())
            .spawn(move || {
                writer.run(&asked_to_stop);
                // Nobody listens any more when that took too long.
                let _ = has_stopped.send(());
            })
            .map_err(|error| complain(&error.to_string()))?;
        Ok(Self { shared, loaded, stop: Some(stop), stopped })
    }

    /// What earlier processes kept, once.
    pub(super) fn take_loaded(&mut self) -> Vec<StoredSession> {
        mem::take(&mut self.loaded)
    }

    pub(super) fn set_ttl(&self, ttl_s: u32) {
        self.shared.ttl_s.store(ttl_s, Ordering::Relaxed);
    }

    pub(super) fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    /// Has this written with the next round. While the disk hangs, [`SESSIONS_SAVED_MAX`] tokens wait, each with its latest state.
    pub(super) fn save(&self, token: SessionToken, entry: SessionEntry) {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < SESSIONS_SAVED_MAX || waiting.contains_key(&token) {
            waiting.insert(token, entry);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop = None;
        if self.stopped.recv_timeout(Duration::from_millis(SESSION_STORE_STOP_MS))
            == Err(RecvTimeoutError::Timeout)
        {
            log::error!("STATE_DIR: {FILE} is not written in time: who left lately is not remembered");
        }
    }
}

/// Checks whether [`Store::open`] could have the file, without making or changing one. The lock of another process is no
/// problem: the server that runs has it.
///
/// # Errors
/// The line of [`Store::open`].
pub fn check(folder: &Path) -> Result<(), String> {
    let path = folder.join(FILE);
    file::check(&path).map_err(|error| complaint(&path, &error.to_string()))
}

fn complaint(path: &Path, why: &str) -> String {
    format!("STATE_DIR: {}: {why}", path.display())
}

/// Opens and reads the file; one that can't be read is moved out of the way.
fn open_or_replace(path: &Path, ttl_s: u32) -> Result<(StoreFile, Vec<StoredSession>), String> {
    let open = || StoreFile::open(path)?.read(ttl_s, unix_s());
    match open() {
        Ok(whole) => Ok(whole),
        Err(StoreError::Unavailable(why)) => Err(why),
        Err(StoreError::Corrupt(why)) => {
            set_aside(path, &why)?;
            open().map_err(StoreError::why)
        }
    }
}

struct Writer {
    /// None after a failure, until it can be opened again.
    file: Option<StoreFile>,
    path: PathBuf,
    shared: Arc<Shared>,
    is_failing: bool,
    /// Files that broke under this process.
    broken: u32,
}

impl Writer {
    fn run(mut self, asked_to_stop: &Receiver<()>) {
        let mut round = 0;
        loop {
            let is_last = asked_to_stop.recv_timeout(Duration::from_millis(SESSION_STORE_WRITE_MS))
                != Err(RecvTimeoutError::Timeout);
            let rows = mem::take(&mut *self.waiting());
            let is_cleaning = round % ROUNDS_PER_CLEANING == 0;
            if !rows.is_empty() || is_cleaning {
                let result = self.write(&rows, is_cleaning);
                if result.is_err() {
                    self.put_back(rows);
                }
                self.note(result);
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

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<SessionToken, SessionEntry>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What could not be written is written with a later round, unless something newer is.
    fn put_back(&self, rows: HashMap<SessionToken, SessionEntry>) {
        let mut waiting = self.waiting();
        for (token, entry) in rows {
            if waiting.len() < SESSIONS_SAVED_MAX {
                waiting.entry(token).or_insert(entry);
            }
        }
    }

    /// Writes rows; a file that turns out to be broken is set aside, and the rows go into a new one.
    fn write(&mut self, rows: &HashMap<SessionToken, SessionEntry>, is_cleaning: bool) -> Result<(), String> {
        let ttl_s = is_cleaning.then(|| self.shared.ttl_s.load(Ordering::Relaxed));
        loop {
            if self.broken >= SESSION_FILES_BROKEN_MAX {
                return Err("it broke too often".to_owned());
            }
            let file = self.file.take().map_or_else(|| StoreFile::open(&self.path), Ok);
            match file.and_then(|file| file.write(rows, unix_s(), ttl_s)) {
                Ok(file) => {
                    self.file = Some(file);
                    return Ok(());
                }
                Err(StoreError::Unavailable(why)) => return Err(why),
                Err(StoreError::Corrupt(why)) => {
                    self.broken += 1;
                    set_aside(&self.path, &why)?;
                }
            }
        }
    }

    /// One line when it begins to fail, and one when it is well again.
    fn note(&mut self, result: Result<(), String>) {
        let (path, was_failing) = (self.path.display(), self.is_failing);
        self.is_failing = result.is_err();
        self.shared.failures.fetch_add(u64::from(self.is_failing), Ordering::Relaxed);
        match result {
            Ok(()) if was_failing => log::info!("STATE_DIR: {path} is written again"),
            Err(why) if !was_failing => {
                log::error!(
                    "STATE_DIR: {path} can't be written, who comes back after a restart begins anew: {why}"
                );
            }
            _ => {}
        }
    }
}

/// Seconds since 1970: what is kept outlives every other clock.
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer over a file of its own below the folder for temporary files.
    fn writer(name: &str) -> Writer {
        let folder = std::env::temp_dir().join(format!("pixi-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let shared =
            Shared { ttl_s: AtomicU32::new(300), waiting: Mutex::default(), failures: AtomicU64::new(0) };
        Writer { file: None, path: folder.join(FILE), shared: Arc::new(shared), is_failing: false, broken: 0 }
    }

    fn rows(numbers: std::ops::Range<u128>) -> HashMap<SessionToken, SessionEntry> {
        numbers
            .map(|number| (SessionToken::of(number), SessionEntry::ReplacedBy(SessionToken::of(number + 1))))
            .collect()
    }

    fn found(writer: &Writer) -> usize {
        open_or_replace(&writer.path, 300).unwrap().1.len()
    }

    /// Damages the file, which the writer has closed as after a failure.
    fn break_under(writer: &mut Writer) {
        writer.file.take().unwrap().close();
        let bytes = std::fs::read(&writer.path).unwrap();
        let zeros: Vec<u8> =
            bytes.iter().enumerate().map(|(at, &byte)| if at < 512 { byte } else { 0xa5 }).collect();
        std::fs::write(&writer.path, zeros).unwrap();
    }

    #[test]
    fn a_file_that_breaks_in_use_is_replaced_and_costs_its_own_rows() {
        let mut writer = writer("breaks");
        writer.write(&rows(0..20_000), true).unwrap();
        break_under(&mut writer);
        writer.write(&rows(30_000..30_005), true).unwrap();
        assert!(writer.path.with_extension("redb.broken").exists());
        writer.file.take().unwrap().close();
        assert_eq!((writer.broken, found(&writer)), (1, 5));
    }

    #[test]
    fn files_that_break_again_and_again_are_given_up() {
        let mut writer = writer("again");
        for round in 0..SESSION_FILES_BROKEN_MAX {
            writer.write(&rows(0..20_000), true).unwrap();
            break_under(&mut writer);
            assert_eq!(writer.broken, round);
            // Of the last one nothing more is written.
            assert_eq!(writer.write(&rows(0..1), true).is_ok(), round + 1 < SESSION_FILES_BROKEN_MAX);
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_later_unless_something_newer_is() {
        let mut writer = writer("later");
        std::fs::create_dir(&writer.path).unwrap();
        assert!(writer.write(&rows(0..3), false).is_err());
        writer.waiting().insert(SessionToken::of(1), SessionEntry::Deleted);
        writer.put_back(rows(0..3));
        std::fs::remove_dir(&writer.path).unwrap();
        let waiting = mem::take(&mut *writer.waiting());
        writer.write(&waiting, false).unwrap();
        writer.file.take().unwrap().close();
        assert_eq!(found(&writer), 2);
    }

    #[test]
    fn the_file_stays_small_however_much_is_written() {
        let mut writer = writer("size");
        for round in 0..6 {
            writer.write(&rows(round * 50_000..(round + 1) * 50_000), false).unwrap();
        }
        writer.file.take().unwrap().close();
        assert!(std::fs::metadata(&writer.path).unwrap().len() <= crate::limits::SESSION_FILE_BYTES_MAX);
        assert!(found(&writer) <= SESSIONS_SAVED_MAX);
    }
}
