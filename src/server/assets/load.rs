//! Reading a directory: first what is there and how large it is, then the bytes of what changed since the last time.
//!
//! Nothing is read before the limits hold for all of it, and a file that is the same as before keeps its bytes, so that a
//! reload holds the old files and the changed ones at most. One that can't be read is left out. A file is the same if its device, inode, size and times are;
//! one that was written within the same tick of the kernel's clock, with the same size, goes unnoticed until it is written again.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::iter;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::scan::{FoundFile, Scan, scan};
use super::skipped::SkipReason;
use super::{Asset, AssetError, Assets, Limits, encoded, etag};
use crate::ops::files::open_regular;

/// Times a directory is surveyed out of which an entry vanishes before it is read: a deployment is under way, and what
/// replaces the entry may have another path.
const SCANS_MAX: usize = 3;

/// Times a file is read that changes while it is.
const ATTEMPTS_MAX: usize = 3;

/// What tells a file from any other, and from itself after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
    pub(super) bytes: u64,
    /// Seconds and nanoseconds, of the content and of the inode, which no program can set back.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileIdentity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The bytes of a file, however many names it has.
#[derive(Debug, Clone)]
pub(super) struct Content {
    body: Arc<[u8]>,
    etag: String,
}

/// Reads every regular file below `dir` that `previous` does not hold.
pub(super) fn load(dir: &Path, limits: Limits, previous: &Assets) -> Result<Assets, AssetError> {
    load_scanned(|| scan(dir, limits), previous)
}

/// Reads what a scan finds, and scans once more while entries vanish meanwhile.
fn load_scanned(
    mut scan: impl FnMut() -> Result<Scan, AssetError>,
    previous: &Assets,
) -> Result<Assets, AssetError> {
    for _ in 1..SCANS_MAX {
        let assets = read_all(scan()?, previous)?;
        if !assets.skipped.has_vanished() {
            return Ok(assets);
        }
    }
    read_all(scan()?, previous)
}

fn read_all(scan: Scan, previous: &Assets) -> Result<Assets, AssetError> {
    let Scan { limits, mut bytes, found, skipped, .. } = scan;
    let mut assets = Assets { skipped, ..Assets::default() };
    // A file that changed since the scan, by what it was then: its other names are not read, and not subtracted, again.
    let mut changed = HashMap::new();
    for FoundFile { key, path, identity } in found {
        let identity = *changed.get(&identity).unwrap_or(&identity);
        let known = assets.contents.get(&identity).or_else(|| previous.contents.get(&identity));
        if let Some(content) = known.cloned() {
            assets.insert(key, identity, content);
            continue;
        }
        // What the files that are not read yet may still take, as rescan, is part of it. What is left out stays part.
        let others = bytes - identity.bytes;
        match read_file(&path, limits.bytes - others) {
            Ok((read, body)) => {
                bytes = others + read.bytes;
                assets.read += 1;
                changed.insert(identity, read);
                let content = content_of(body, previous.by_path.get(&key));
                assets.insert(key, read, content);
            }
            Err(Failure::TooLarge) => return Err(AssetError::TooManyBytes(path, limits.bytes)),
            Err(Failure::Unreadable(error)) => assets.skipped.record_unreadable(&path, error),
            Err(Failure::Changes) => {
                // Old bytes are shared with `previous`, but count as those of a file of their own.
                let old = previous.by_path.get(&key);
                match old.filter(|old| bytes + old.body.len() as u64 <= limits.bytes) {
                    Some(old) => {
                        bytes += old.body.len() as u64;
                        assets.bytes += old.body.len() as u64;
                        assets.skipped.record(&path, SkipReason::Stale);
                        let asset = Asset::of(&key, Arc::clone(&old.body), old.etag.clone());
                        assets.by_path.insert(key, Asset { modified: old.modified, ..asset });
                    }
                    None => assets.skipped.record(&path, SkipReason::Changed),
                }
            }
        }
    }
    encoded::attach(&mut assets.by_path);
    Ok(assets)
}

impl Assets {
    fn insert(&mut self, key: String, identity: FileIdentity, content: Content) {
        let asset = Asset::of(&key, Arc::clone(&content.body), content.etag.clone());
        self.by_path.insert(key, asset.modified_at(identity.modified.0));
        let bytes = content.body.len() as u64;
        if self.contents.insert(identity, content).is_none() {
            self.bytes += bytes;
        }
    }
}

/// Why a file was not read.
#[derive(Debug)]
enum Failure {
    /// It holds more bytes than it may.
    TooLarge,
    Unreadable(io::Error),
    /// It did not stay the same while it was read, several times, or something else is in its place.
    Changes,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// A file that was written but says the same keeps its old bytes as well.
fn content_of(body: Arc<[u8]>, before: Option<&Asset>) -> Content {
    match before.filter(|before| before.body == body) {
        Some(before) => Content { body: Arc::clone(&before.body), etag: before.etag.clone() },
        None => Content { etag: etag(&body), body },
    }
}

/// Reads a file that may have `bytes_max`, straight into the memory in which it stays.
fn read_file(path: &Path, bytes_max: u64) -> Result<(FileIdentity, Arc<[u8]>), Failure> {
    for _ in 0..ATTEMPTS_MAX {
        // Another file may stand there since the scan, but none to which a link leads.
        if fs::canonicalize(path)? != path {
            break;
        }
        let mut file = open_regular(path)?;
        let identity = FileIdentity::of(&file.metadata()?);
        if identity.bytes > bytes_max {
            return Err(Failure::TooLarge);
        }
        let body = read_exactly(&mut file, identity.bytes as usize)?;
        if let Some(body) = body
            && FileIdentity::of(&file.metadata()?) == identity
        {
            return Ok((identity, body));
        }
    }
    Err(Failure::Changes)
}

/// This many bytes, or `None` if the file ends before.
fn read_exactly(file: &mut File, bytes: usize) -> io::Result<Option<Arc<[u8]>>> {
    let mut body: Arc<[u8]> = iter::repeat_n(0, bytes).collect();
    let slice = Arc::get_mut(&mut body).expect("nobody else has it yet");
    match file.read_exact(slice) {
        Ok(()) => Ok(Some(body)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
