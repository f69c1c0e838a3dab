//! The store's file: rows in a redb database that may be corrupt in any way.
//!
//! redb panics on some corrupt files, even while it closes them. So every call runs inside [`catch_panic_message`], and a
//! database that panicked is leaked instead of closed. The caller bounds how often that happens.

use std::collections::HashMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata as _, TableDefinition};

use super::super::{SavedPlayer, SessionEntry, SessionToken};
use super::StoredSession;
use crate::limits::{SESSION_FILE_BYTES_MAX, SESSION_STORE_CACHE_BYTES, SESSIONS_SAVED_MAX};
use crate::ops::crash::catch_panic_message;
use crate::ops::files::check_read_write;
use crate::world::ReconciliationBudget;

/// Rows by token, encoded by [`row_of`].
const TABLE: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("sessions-2");

/// Table of earlier versions: save time in seconds since 1970, and the player's state. It is migrated once, then deleted.
const FIRST_TABLE: TableDefinition<'_, u128, FirstRow> = TableDefinition::new("players-1");
type FirstRow = (u64, u16, u16, bool, Option<(u16, u16)>);

/// Mode of the file: only the service may read session tokens.
const MODE: u32 = 0o600;

const KIND_SESSION: u8 = 1;
const KIND_FORMER: u8 = 2;

#[derive(Debug)]
pub(super) struct StoreFile {
    database: Database,
    path: PathBuf,
}

/// Reason why an operation failed.
#[derive(Debug)]
pub(super) enum StoreError {
    /// The file is not a valid store. The caller sets it aside and creates a new one.
    Corrupt(String),
    /// The environment is at fault, and a new file would not help. The database must be reopened.
    Unavailable(String),
}

impl StoreError {
    pub(super) fn why(self) -> String {
        match self {
            Self::Corrupt(why) | Self::Unavailable(why) => why,
        }
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        use redb::Error;
        let why = error.to_string();
        match error {
            // redb also reports truncated and inconsistent files as I/O errors.
            Error::Io(error) => match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Corrupt(why),
                _ => Self::Unavailable(why),
            },
            Error::PreviousIo | Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => {
                Self::Unavailable(why)
            }
            _ => Self::Corrupt(why),
        }
    }
}

impl StoreFile {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = open_private(path).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let create = || {
            let backend = FileBackend::new(file)?;
            Database::builder().set_cache_size(SESSION_STORE_CACHE_BYTES).create_with_backend(backend)
        };
        let database =
            catch_panic_message(create).map_err(StoreError::Corrupt)?.map_err(redb::Error::from)?;
        Ok(Self { database, path: path.to_owned() })
    }

    /// Runs an operation. A database that panicked is leaked: even closing it could panic again.
    fn attempt<T>(
        self,
        act: impl FnOnce(&mut Database) -> Result<T, redb::Error>,
    ) -> Result<(Self, T), StoreError> {
        let Self { database, path } = self;
        let mut database = ManuallyDrop::new(database);
        let result = catch_panic_message(|| act(&mut database)).map_err(StoreError::Corrupt)?;
        let file = Self { database: ManuallyDrop::into_inner(database), path };
        match result {
            Ok(done) => Ok((file, done)),
            Err(error) => {
                file.close();
                Err(error.into())
            }
        }
    }

    /// Returns the rows younger than `ttl_s`, after migrating the table of earlier versions.
    pub(super) fn read(self, ttl_s: u32, now_s: u64) -> Result<(Self, Vec<StoredSession>), StoreError> {
        let (file, ()) = self.attempt(|database| migrate_first_table(database))?;
        file.attempt(|database| read(database, ttl_s, now_s))
    }

    /// Writes these rows, and removes rows older than `ttl_s` if it is given.
    pub(super) fn write(
        self,
        rows: &HashMap<SessionToken, SessionEntry>,
        now_s: u64,
        ttl_s: Option<u32>,
    ) -> Result<Self, StoreError> {
        let (file, ()) = self.attempt(|database| write(database, rows, now_s, ttl_s))?;
        if !file.is_too_large() {
            return Ok(file);
        }
        let (file, _) = file.attempt(|database| {
            database.compact().map_err(|error| match error {
                redb::CompactionError::Storage(error) => error.into(),
                other => redb::Error::Corrupted(other.to_string()),
            })
        })?;
        if file.is_too_large() {
            file.close();
            return Err(StoreError::Corrupt(format!("larger than {SESSION_FILE_BYTES_MAX} bytes")));
        }
        Ok(file)
    }

    fn is_too_large(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.len() > SESSION_FILE_BYTES_MAX)
    }

    /// Closes the file. A failure at this point has no consequence and is ignored.
    pub(super) fn close(self) {
        let _ = catch_panic_message(move || drop(self));
    }
}

/// Checks whether [`StoreFile::open`] could open the file, without creating it.
pub(super) fn check(path: &Path) -> io::Result<()> {
    expect_regular(path)?;
    check_read_write(path)
}

/// Rejects anything but a regular file; opening a FIFO would block.
fn expect_regular(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|file| !file.is_file()) {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(())
}

/// Opens or creates a file with mode [`MODE`], and restricts the mode of an existing one.
fn open_private(path: &Path) -> io::Result<fs::File> {
    expect_regular(path)?;
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != MODE
        && let Err(error) = file.set_permissions(Permissions::from_mode(MODE))
    {
        log::warn!("STATE_DIR: others may read {}, which holds session tokens: {error}", path.display());
    }
    Ok(file)
}

/// Migrates the rows of earlier versions. They have no budget, so their players reconnect with an empty one.
fn migrate_first_table(database: &Database) -> Result<(), redb::Error> {
    let has_none =
        matches!(database.begin_read()?.open_table(FIRST_TABLE), Err(redb::TableError::TableDoesNotExist(_)));
    if has_none {
        return Ok(());
    }
    in_transaction(database, |transaction| {
        {
            let (first, mut table) = (transaction.open_table(FIRST_TABLE)?, transaction.open_table(TABLE)?);
            for row in first.iter()? {
                let (token, row) = row?;
                let (saved_s, x, y, faces_right, viewport) = row.value();
                let (budget, reconnected_ms_ago) = (ReconciliationBudget::EMPTY, SavedPlayer::LONG_AGO);
                let saved =
                    SavedPlayer { x, y, faces_right, viewport, budget, reconnected_ms_ago, account: None };
                table.insert(token.value(), &*row_of(&SessionEntry::Disconnected(saved), saved_s))?;
            }
        }
        transaction.delete_table(FIRST_TABLE)?;
        Ok(())
    })
}

/// Runs an operation in a transaction, which is leaked after a panic: aborting it could panic again and end the process.
fn in_transaction(
    database: &Database,
    act: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let transaction = ManuallyDrop::new(database.begin_write()?);
    let result = act(&transaction);
    let transaction = ManuallyDrop::into_inner(transaction);
    result?;
    Ok(transaction.commit()?)
}

fn read(database: &Database, ttl_s: u32, now_s: u64) -> Result<Vec<StoredSession>, redb::Error> {
    let table = match database.begin_read()?.open_table(TABLE) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table?,
    };
    let mut found = Vec::new();
    for row in table.iter()? {
        let (token, row) = row?;
        let Some((entry, saved_s)) = read_row(row.value()) else { continue };
        let age_s = now_s.saturating_sub(saved_s);
        if age_s < u64::from(ttl_s) {
            found.push(StoredSession { token: SessionToken::of(token.value()), entry, age_s: age_s as u32 });
        }
    }
    Ok(found)
}

fn write(
    database: &Database,
    rows: &HashMap<SessionToken, SessionEntry>,
    now_s: u64,
    ttl_s: Option<u32>,
) -> Result<(), redb::Error> {
    in_transaction(database, |transaction| {
        let mut table = transaction.open_table(TABLE)?;
        for (token, entry) in rows {
            match entry {
                SessionEntry::Deleted => drop(table.remove(token.number())?),
                entry => drop(table.insert(token.number(), &*row_of(entry, now_s))?),
            }
        }
        if let Some(ttl_s) = ttl_s {
            let is_young =
                |row: &[u8]| saved_s(row).is_some_and(|at_s| now_s.saturating_sub(at_s) < ttl_s.into());
            table.retain(|_, row| is_young(row))?;
        }
        if table.len()? > SESSIONS_SAVED_MAX as u64 {
            evict_oldest_rows(&mut table)?;
        }
        Ok(())
    })
}

/// Removes the oldest rows above the bound, and another sixteenth of the bound, so that not every write scans the table.
fn evict_oldest_rows(table: &mut redb::Table<'_, u128, &'static [u8]>) -> Result<(), redb::Error> {
    let mut rows = Vec::with_capacity(table.len()? as usize);
    for row in table.iter()? {
        let (token, row) = row?;
        rows.push((saved_s(row.value()).unwrap_or(0), token.value()));
    }
    let over = (rows.len() - (SESSIONS_SAVED_MAX - SESSIONS_SAVED_MAX / 16)).min(rows.len() - 1);
    let (oldest, ..) = rows.select_nth_unstable(over);
    for (_, token) in oldest {
        table.remove(*token)?;
    }
    Ok(())
}

/// Encodes a row: kind, save time in seconds since 1970, then the value.
fn row_of(entry: &SessionEntry, now_s: u64) -> Vec<u8> {
    let (kind, kept) = match entry {
        SessionEntry::Active(saved, _) | SessionEntry::Disconnected(saved) => {
            (KIND_SESSION, saved.to_bytes().to_vec())
        }
        SessionEntry::ReplacedBy(token) => (KIND_FORMER, token.number().to_le_bytes().to_vec()),
        SessionEntry::Deleted => return Vec::new(),
    };
    [&[kind][..], &now_s.to_le_bytes(), &kept].concat()
}

fn saved_s(row: &[u8]) -> Option<u64> {
    row.get(1..9)?.try_into().ok().map(u64::from_le_bytes)
}

/// Decodes a row into its entry and save time; `None` if the row is invalid.
fn read_row(row: &[u8]) -> Option<(SessionEntry, u64)> {
    let (saved_s, kept) = (saved_s(row)?, &row[9..]);
    let entry = match row[0] {
        KIND_SESSION => SessionEntry::Disconnected(SavedPlayer::from_bytes(kept)?),
        KIND_FORMER => SessionEntry::ReplacedBy(SessionToken::of(u128::from_le_bytes(kept.try_into().ok()?))),
        _ => return None,
    };
    Some((entry, saved_s))
}

/// Renames a corrupt file, replacing the one set aside before.
pub(super) fn set_aside(path: &Path, why: &str) -> Result<(), String> {
    let aside = path.with_extension("redb.broken");
    fs::rename(path, &aside).map_err(|error| format!("{why}; setting it aside failed: {error}"))?;
    log::error!("STATE_DIR: {}: {why}; set aside as {}", path.display(), aside.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_as_corruption_and_leaks_the_database() {
        let folder = std::env::temp_dir().join(format!("pixi-store-panic-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = StoreFile::open(&folder.join("store")).unwrap();
        let result = file.attempt(|database| -> Result<(), _> {
            in_transaction(database, |_| panic!("inside a transaction"))
        });
        assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
    }

    #[test]
    fn decoding_reverses_encoding_and_rejects_other_rows() {
        let row = row_of(&SessionEntry::ReplacedBy(SessionToken::of(7)), 1_000);
        assert_eq!(read_row(&row), Some((SessionEntry::ReplacedBy(SessionToken::of(7)), 1_000)));
        for cut in 0..row.len() {
            assert_eq!(read_row(&row[..cut]), None);
        }
        let unknown = [&[9][..], &row[1..]].concat();
        assert_eq!(read_row(&unknown), None);
    }
}
