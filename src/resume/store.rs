//! What outlives the process of what players left behind: a file, written by a thread of its own.
//!
//! The loop puts what is to be kept into a map and goes on; the thread takes the map every second and writes it in one
//! transaction. A store that fails costs the resumes in it and a line in the log.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io, mem, thread};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Saved, Ticket};
use crate::last_line::contain;
use crate::limits::{RESUME_CACHE_BYTES, RESUME_STOP_MS, RESUME_STORE_MS, RESUMES_MAX};

/// The file below the folder that is given.
pub const FILE: &str = "resume.redb";

/// By ticket: when it was saved, in seconds since 1970, and what.
const TABLE: TableDefinition<'_, u128, Row> = TableDefinition::new("players-1");
type Row = (u64, u16, u16, bool, Option<(u16, u16)>);

/// How often what is too old is taken out, in rounds of writing.
const ROUNDS_PER_CLEANING: u32 = 60;

/// What was kept by an earlier process.
#[derive(Debug)]
pub struct Kept {
    /// Whose it is.
    pub ticket: Ticket,
    /// What it left behind.
    pub saved: Saved,
    /// How long ago, in seconds.
    pub age_s: u32,
}

/// A store at work. Dropped, it writes what is left.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    kept: Vec<Kept>,
    stop: Option<Sender<()>>,
    stopped: Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    ttl_s: AtomicU32,
    /// What waits to be written, the latest of each player.
    waiting: Mutex<HashMap<Ticket, Saved>>,
    failures: AtomicU64,
}

impl Store {
    /// Opens the store in this folder and reads it. A file that is broken is put aside for a new one.
    ///
    /// # Errors
    /// A line about why there is none: the folder can't be written to, or another process has it.
    pub fn open(folder: &Path, ttl_s: u32) -> Result<Self, String> {
        let path = folder.join(FILE);
        let complain = |why: &str| format!("STATE_DIR: {}: {why}", path.display());
        let (database, kept) = open_whole(&path, ttl_s).map_err(|why| complain(&why))?;
        let shared = Arc::new(Shared {
            ttl_s: AtomicU32::new(ttl_s),
            waiting: Mutex::default(),
            failures: AtomicU64::new(0),
        });
        let (stop, asked_to_stop) = channel();
        let (has_stopped, stopped) = channel();
        let writer = Writer { database, path: path.clone(), shared: Arc::clone(&shared), is_failing: false };
        thread::Builder::new()
            .name("resume-store".to_owned())
            .spawn(move || {
                writer.run(&asked_to_stop);
                // Nobody listens any more when that took too long.
                let _ = has_stopped.send(());
            })
            .map_err(|error| complain(&error.to_string()))?;
        Ok(Self { shared, kept, stop: Some(stop), stopped })
    }

    /// What earlier processes kept, once.
    pub(super) fn take_kept(&mut self) -> Vec<Kept> {
        mem::take(&mut self.kept)
    }

    pub(super) fn set_ttl(&self, ttl_s: u32) {
        self.shared.ttl_s.store(ttl_s, Ordering::Relaxed);
    }

    pub(super) fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    /// Has this written with the next round. While the disk hangs, the latest of so many players is remembered.
    pub(super) fn save(&self, ticket: Ticket, saved: Saved) {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < RESUMES_MAX || waiting.contains_key(&ticket) {
            waiting.insert(ticket, saved);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop = None;
        if self.stopped.recv_timeout(Duration::from_millis(RESUME_STOP_MS)) == Err(RecvTimeoutError::Timeout)
        {
            log::error!("STATE_DIR: {FILE} is not written in time: who left lately is not remembered");
        }
    }
}

/// Opens and reads the file; one that can't be read is moved out of the way.
fn open_whole(path: &Path, ttl_s: u32) -> Result<(Database, Vec<Kept>), String> {
    let broken = match open_and_read(path, ttl_s) {
        Ok(whole) => return Ok(whole),
        Err(Trouble::Elsewhere(why)) => return Err(why),
        Err(Trouble::Broken(why)) => why,
    };
    let aside = path.with_extension("redb.broken");
    fs::rename(path, &aside).map_err(|error| format!("{broken}; it can't be put aside: {error}"))?;
    log::error!("STATE_DIR: {}: {broken}; put aside as {}", path.display(), aside.display());
    open_and_read(path, ttl_s).map_err(|trouble| match trouble {
        Trouble::Broken(why) | Trouble::Elsewhere(why) => why,
    })
}

enum Trouble {
    /// The file is no store, or not any more.
    Broken(String),
    /// Something that another file would not change.
    Elsewhere(String),
}

fn open_and_read(path: &Path, ttl_s: u32) -> Result<(Database, Vec<Kept>), Trouble> {
    let panicked = || Trouble::Broken("it is broken".to_owned());
    let create = || Database::builder().set_cache_size(RESUME_CACHE_BYTES).create(path);
    let database = contain(create).ok_or_else(panicked)?.map_err(trouble_of)?;
    let kept = contain(|| read(&database, ttl_s)).ok_or_else(panicked)?;
    Ok((database, kept.map_err(|error| Trouble::Broken(error.to_string()))?))
}

fn trouble_of(error: redb::DatabaseError) -> Trouble {
    use redb::{DatabaseError, StorageError};
    let why = error.to_string();
    match error {
        DatabaseError::DatabaseAlreadyOpen => Trouble::Elsewhere(why),
        // What is no store at all is reported as invalid data.
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            Trouble::Elsewhere(why)
        }
        _ => Trouble::Broken(why),
    }
}

fn read(database: &Database, ttl_s: u32) -> Result<Vec<Kept>, redb::Error> {
    let now_s = unix_s();
    let table = match database.begin_read()?.open_table(TABLE) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table?,
    };
    let mut kept = Vec::new();
    for row in table.iter()? {
        let (ticket, row) = row?;
        let (saved_s, x, y, faces_right, viewport) = row.value();
        let age_s = now_s.saturating_sub(saved_s);
        if age_s < u64::from(ttl_s) && kept.len() < RESUMES_MAX {
            let saved = Saved { x, y, faces_right, viewport };
            kept.push(Kept { ticket: Ticket::of(ticket.value()), saved, age_s: age_s as u32 });
        }
    }
    Ok(kept)
}

struct Writer {
    database: Database,
    path: PathBuf,
    shared: Arc<Shared>,
    is_failing: bool,
}

impl Writer {
    fn run(mut self, asked_to_stop: &Receiver<()>) {
        let mut round = 0;
        loop {
            let is_last = asked_to_stop.recv_timeout(Duration::from_millis(RESUME_STORE_MS))
                != Err(RecvTimeoutError::Timeout);
            let waiting = mem::take(&mut *self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            let is_cleaning = round % ROUNDS_PER_CLEANING == 0;
            if !waiting.is_empty() || is_cleaning {
                let result = contain(|| self.write(&waiting, is_cleaning));
                self.note(
                    result.map_or(Err("it is broken".to_owned()), |done| {
                        done.map_err(|error| error.to_string())
                    }),
                );
            }
            if is_last {
                return;
            }
            round += 1;
        }
    }

    fn write(&self, waiting: &HashMap<Ticket, Saved>, is_cleaning: bool) -> Result<(), redb::Error> {
        let now_s = unix_s();
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (ticket, &Saved { x, y, faces_right, viewport }) in waiting {
                table.insert(ticket.number(), (now_s, x, y, faces_right, viewport))?;
            }
            if is_cleaning {
                let ttl_s = u64::from(self.shared.ttl_s.load(Ordering::Relaxed));
                table.retain(|_, (saved_s, ..)| now_s.saturating_sub(saved_s) < ttl_s)?;
            }
        }
        transaction.commit()?;
        Ok(())
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
