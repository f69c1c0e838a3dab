//! Reading a directory: first what is there and how large it is, then the bytes of what changed since the last time.
//!
//! Nothing is read before the limits hold for all of it, and a file that is the same as before keeps its bytes, so that a
//! reload holds the old files and the changed ones at most. A file is the same if its device, inode, size and times are;
//! one that was written within the same tick of the kernel's clock, with the same size, goes unnoticed until it is written again.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::iter;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Asset, AssetError, Assets, Limits, coded, etag};
use crate::files::open_regular;

/// Times a file is read that changes while it is.
const ATTEMPTS_MAX: usize = 3;

/// What tells a file from any other, and from itself after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds, of the content and of the inode, which no program can set back.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
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
    let root = fs::canonicalize(dir).map_err(|error| AssetError::Read(dir.to_owned(), error))?;
    read_all(survey(root, limits)?, previous)
}

/// What is below `root`, which is canonical.
fn survey(root: PathBuf, limits: Limits) -> Result<Survey, AssetError> {
    let mut survey = Survey {
        open_dirs: vec![root.clone()],
        root,
        limits,
        entries: 0,
        bytes: 0,
        counted: HashSet::new(),
        found: Vec::new(),
    };
    survey.walk("")?;
    Ok(survey)
}

/// A file that is to be served.
struct Found {
    /// Its path below the root, the key of [`Assets`].
    key: String,
    /// Canonical.
    path: PathBuf,
    identity: Identity,
}

/// The walk that reads no file.
struct Survey {
    /// Canonical, so that a canonical target below it can't leave it.
    root: PathBuf,
    /// The canonical directories from the root to the one being read. A link back to one of them is not followed,
    /// so that every walk ends.
    open_dirs: Vec<PathBuf>,
    limits: Limits,
    entries: usize,
    /// Of all files, each counted once however many names it has.
    bytes: u64,
    counted: HashSet<Identity>,
    found: Vec<Found>,
}

impl Survey {
    /// Lists the last of `open_dirs`, whose files get `prefix` before their names.
    fn walk(&mut self, prefix: &str) -> Result<(), AssetError> {
        let Some(dir) = self.open_dirs.last().cloned() else { return Ok(()) };
        let unreadable = |error| AssetError::Read(dir.clone(), error);
        for entry in fs::read_dir(&dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if name.starts_with('.') => {}
                Some(name) => self.note_entry(&path, format!("{prefix}{name}"))?,
                None => log::warn!("not served, as its name is not UTF-8: {}", path.display()),
            }
        }
        Ok(())
    }

    /// Notes what is found at `path` under the key `key`.
    fn note_entry(&mut self, path: &Path, key: String) -> Result<(), AssetError> {
        self.entries += 1;
        if self.entries > self.limits.files {
            return Err(AssetError::TooManyEntries(path.to_owned(), self.limits.files));
        }
        let unreadable = |error| AssetError::Read(path.to_owned(), error);
        let is_link = fs::symlink_metadata(path).map_err(unreadable)?.is_symlink();
        let target = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(error) if is_link => {
                log::warn!("not served, as the link leads nowhere: {}: {error}", path.display());
                return Ok(());
            }
            Err(error) => return Err(unreadable(error)),
        };
        if is_link && !self.may_serve(&target) {
            log::warn!("not served, as the link leads out of what is served: {}", path.display());
            return Ok(());
        }
        let metadata = fs::metadata(&target).map_err(unreadable)?;
        if metadata.is_file() {
            self.note_file(target, key, Identity::of(&metadata))
        } else if metadata.is_dir() && !self.open_dirs.contains(&target) {
            self.open_dirs.push(target);
            self.walk(&format!("{key}/"))?;
            self.open_dirs.pop();
            Ok(())
        } else {
            log::warn!("not served, as it is a loop or no regular file: {}", path.display());
            Ok(())
        }
    }

    /// Whether a link may lead to `target`: below the root, and to nothing hidden.
    fn may_serve(&self, target: &Path) -> bool {
        let hidden = |part: &OsStr| part.as_encoded_bytes().starts_with(b".");
        target.strip_prefix(&self.root).is_ok_and(|inside| !inside.iter().any(hidden))
    }

    fn note_file(&mut self, path: PathBuf, key: String, identity: Identity) -> Result<(), AssetError> {
        if self.counted.insert(identity) {
            self.bytes = self.bytes.saturating_add(identity.bytes);
        }
        if self.bytes > self.limits.bytes {
            return Err(AssetError::TooManyBytes(path, self.limits.bytes));
        }
        self.found.push(Found { key, path, identity });
        Ok(())
    }
}

fn read_all(survey: Survey, previous: &Assets) -> Result<Assets, AssetError> {
    let mut assets = Assets::default();
    // What the files that are not read yet may still take, as surveyed, is part of it.
    let mut bytes = survey.bytes;
    // A file that changed since the survey, by what it was then: its other names are not read, and not subtracted, again.
    let mut changed = HashMap::new();
    for Found { key, path, identity } in survey.found {
        let identity = *changed.get(&identity).unwrap_or(&identity);
        let known = assets.contents.get(&identity).or_else(|| previous.contents.get(&identity));
        let (identity, content) = if let Some(content) = known {
            (identity, content.clone())
        } else {
            let others = bytes - identity.bytes;
            let (read, body) = read_file(&path, survey.limits.bytes - others, survey.limits)?;
            bytes = others + read.bytes;
            assets.read += 1;
            changed.insert(identity, read);
            (read, content_of(body, previous.by_path.get(&key)))
        };
        let asset = Asset::of(&key, content.body.clone(), content.etag.clone());
        assets.by_path.insert(key, asset.modified_at(identity.modified.0));
        assets.contents.insert(identity, content);
    }
    coded::attach(&mut assets.by_path);
    Ok(assets)
}

/// A file that was written but says the same keeps its old bytes as well.
fn content_of(body: Arc<[u8]>, before: Option<&Asset>) -> Content {
    match before.filter(|before| before.body == body) {
        Some(before) => Content { body: Arc::clone(&before.body), etag: before.etag.clone() },
        None => Content { etag: etag(&body), body },
    }
}

/// Reads a file that may have `bytes_max`, straight into the memory in which it stays.
fn read_file(path: &Path, bytes_max: u64, limits: Limits) -> Result<(Identity, Arc<[u8]>), AssetError> {
    let unreadable = |error| AssetError::Read(path.to_owned(), error);
    for _ in 0..ATTEMPTS_MAX {
        // Another file may stand there since the survey, but none to which a link leads.
        if fs::canonicalize(path).map_err(unreadable)? != path {
            break;
        }
        let mut file = open_regular(path).map_err(unreadable)?;
        let identity = Identity::of(&file.metadata().map_err(unreadable)?);
        if identity.bytes > bytes_max {
            return Err(AssetError::TooManyBytes(path.to_owned(), limits.bytes));
        }
        let body = read_exactly(&mut file, identity.bytes as usize).map_err(unreadable)?;
        if let Some(body) = body
            && Identity::of(&file.metadata().map_err(unreadable)?) == identity
        {
            return Ok((identity, body));
        }
    }
    Err(AssetError::Changed(path.to_owned()))
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
