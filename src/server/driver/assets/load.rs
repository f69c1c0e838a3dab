//! Loads a directory: scans files and sizes, then reads the files that changed since the previous load.
//!
//! No file is read before the whole directory is within the limits. An unchanged file keeps its bytes, so
//! that a reload holds at most the old files and the changed ones. An unreadable file is skipped. A file is
//! unchanged if its device, inode, size and times are. A second write within the same tick of the kernel's
//! clock, with the same size, stays unnoticed until the next write.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::iter;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::scan::{FoundFile, Scan, scan};
use super::{AssetError, Limits};
use crate::ops::files::open_regular;
use crate::server::core::assets::skipped::SkipReason;
use crate::server::core::assets::{Asset, Assets, Content, FileIdentity, encoded, etag};

/// Maximum number of scans while entries vanish between scan and read. A deployment is then in progress, and the
/// new version of an entry may have another path.
const SCANS_MAX: usize = 3;

/// Maximum number of attempts to read a file that changes while it is read.
const ATTEMPTS_MAX: usize = 3;

pub(super) fn identity_of(metadata: &Metadata) -> FileIdentity {
    FileIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// Loads every regular file below `dir`; those in `previous` are not read. Hidden names are skipped, except
/// `/.well-known`. A link is followed if its target lies in `dir` and does not have a hidden name itself. Other files
/// that cannot be served are skipped and listed in [`Assets::notices`].
///
/// # Errors
/// `dir` cannot be read or a limit is exceeded, which is checked before any file is read; see [`AssetError`].
pub fn load(dir: &Path, limits: Limits, previous: &Assets) -> Result<Assets, AssetError> {
    load_scanned(|| scan(dir, limits), previous)
}

/// Reads the files that a scan finds, and scans again while entries vanish in between.
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
    // The current identity of a changed file, so that its other names are neither read nor subtracted again.
    let mut changed = HashMap::new();
    for FoundFile { key, path, identity } in found {
        let identity = *changed.get(&identity).unwrap_or(&identity);
        let known = assets.contents.get(&identity).or_else(|| previous.contents.get(&identity));
        if let Some(content) = known.cloned() {
            assets.insert(key, identity, content);
            continue;
        }
        // The sum includes the scanned sizes of files not read yet, and of skipped files.
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
                // The old bytes are shared with `previous`, but still count towards the limit.
                let old = previous.by_path.get(&key);
                match old.filter(|old| bytes + old.body.len() as u64 <= limits.bytes) {
                    Some(old) => {
                        bytes += old.body.len() as u64;
                        assets.bytes += old.body.len() as u64;
                        assets.skipped.record(&path, SkipReason::Stale);
                        let mut asset = Asset::of(&key, Arc::clone(&old.body), old.etag.clone());
                        asset.modified = old.modified;
                        assets.by_path.insert(key, asset);
                    }
                    None => assets.skipped.record(&path, SkipReason::Changed),
                }
            }
        }
    }
    encoded::attach(&mut assets.by_path);
    assets.compressed = encoded::compress(&mut assets.by_path, &previous.compressed);
    Ok(assets)
}

/// Why a file was not read.
#[derive(Debug)]
enum Failure {
    /// The file exceeds the remaining bytes.
    TooLarge,
    Unreadable(io::Error),
    /// The file changed during every attempt, or its path now leads elsewhere.
    Changes,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Keeps the old bytes of a file that was rewritten with the same content.
fn content_of(body: Arc<[u8]>, before: Option<&Asset>) -> Content {
    match before.filter(|before| before.body == body) {
        Some(before) => Content { body: Arc::clone(&before.body), etag: before.etag.clone() },
        None => Content { etag: etag(&body), body },
    }
}

/// Reads a file of at most `bytes_max` bytes, directly into its final allocation.
fn read_file(path: &Path, bytes_max: u64) -> Result<(FileIdentity, Arc<[u8]>), Failure> {
    for _ in 0..ATTEMPTS_MAX {
        // A file that was replaced since the scan is read, unless its path now leads through a link.
        if fs::canonicalize(path)? != path {
            break;
        }
        let mut file = open_regular(path)?;
        let identity = identity_of(&file.metadata()?);
        if identity.bytes > bytes_max {
            return Err(Failure::TooLarge);
        }
        let body = read_exactly(&mut file, identity.bytes as usize)?;
        if let Some(body) = body
            && identity_of(&file.metadata()?) == identity
        {
            return Ok((identity, body));
        }
    }
    Err(Failure::Changes)
}

/// Reads this many bytes; `None` if the file is shorter.
fn read_exactly(file: &mut File, bytes: usize) -> io::Result<Option<Arc<[u8]>>> {
    let mut body: Arc<[u8]> = iter::repeat_n(0, bytes).collect();
    let slice = Arc::get_mut(&mut body).expect("the new Arc has one owner");
    match file.read_exact(slice) {
        Ok(()) => Ok(Some(body)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
