//! The scan of a directory: finds its files and their sizes, and records the skipped entries. Reads no file.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::load::identity_of;
use super::{AssetError, Limits};
use crate::server::core::assets::FileIdentity;
use crate::server::core::assets::skipped::{SkipReason, Skipped, WELL_KNOWN, is_hidden};

/// Maximum depth of directories. Links could otherwise make a walk deep enough to overflow the stack.
pub(super) const DEPTH_MAX: usize = 64;

pub(super) struct FoundFile {
    /// The path relative to the root, which is the key in [`Assets`](crate::server::core::assets::Assets).
    pub key: String,
    /// The canonical path.
    pub path: PathBuf,
    pub identity: FileIdentity,
}

/// The result of a scan, and its state while it runs.
pub(super) struct Scan {
    /// The canonical root, so that a prefix check on a canonical target detects an escape.
    root: PathBuf,
    /// The canonical directories down to the current one. Links back to them are not followed: walks end.
    open_dirs: Vec<PathBuf>,
    pub limits: Limits,
    entries: usize,
    /// Bytes of all files, each counted once even if it has several names.
    pub bytes: u64,
    counted: HashSet<FileIdentity>,
    pub found: Vec<FoundFile>,
    pub skipped: Skipped,
}

/// Scans `dir`. Only `dir` itself must be readable.
pub(super) fn scan(dir: &Path, limits: Limits) -> Result<Scan, AssetError> {
    let unreadable = |error| AssetError::Read(dir.to_owned(), error);
    let root = fs::canonicalize(dir).map_err(unreadable)?;
    let mut scan = Scan {
        open_dirs: vec![root.clone()],
        root: root.clone(),
        limits,
        entries: 0,
        bytes: 0,
        counted: HashSet::new(),
        found: Vec::new(),
        skipped: Skipped::default(),
    };
    let entries = scan.list(&root)?.map_err(unreadable)?;
    scan.walk(entries, "")?;
    Ok(scan)
}

impl Scan {
    /// Lists the visible entries of a directory, all or none, and counts them towards the limit.
    fn list(&mut self, dir: &Path) -> Result<io::Result<Vec<PathBuf>>, AssetError> {
        let mut paths = Vec::new();
        let listing = match fs::read_dir(dir) {
            Ok(listing) => listing,
            Err(error) => return Ok(Err(error)),
        };
        for entry in listing {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Ok(Err(error)),
            };
            let name = entry.file_name();
            if is_hidden(&name) && !(dir == self.root && name == WELL_KNOWN) {
                self.skipped.record_hidden();
                continue;
            }
            self.entries += 1;
            if self.entries > self.limits.files {
                return Err(AssetError::TooManyEntries(entry.path(), self.limits.files));
            }
            paths.push(entry.path());
        }
        Ok(Ok(paths))
    }

    /// Visits the entries of the last of `open_dirs`; the keys of its files start with `prefix`.
    fn walk(&mut self, entries: Vec<PathBuf>, prefix: &str) -> Result<(), AssetError> {
        for path in entries {
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) => self.visit_entry(&path, format!("{prefix}{name}"))?,
                None => self.skipped.record(&path, SkipReason::NotUtf8),
            }
        }
        Ok(())
    }

    fn visit_entry(&mut self, path: &Path, key: String) -> Result<(), AssetError> {
        let (target, metadata) = match resolve(path) {
            Ok(resolved) => resolved,
            Err(Unresolved::Link(reason)) => {
                self.skipped.record(path, reason);
                return Ok(());
            }
            Err(Unresolved::Unreadable(error)) => {
                self.skipped.record_unreadable(path, error);
                return Ok(());
            }
        };
        if let Some(reason) = self.target_skip_reason(&target) {
            self.skipped.record(path, reason);
        } else if metadata.is_file() {
            return self.add_file(target, key, identity_of(&metadata));
        } else if !metadata.is_dir() {
            self.skipped.record(path, SkipReason::NotRegular);
        } else if self.open_dirs.contains(&target) {
            self.skipped.record(path, SkipReason::LinkLoop);
        } else if self.open_dirs.len() > DEPTH_MAX {
            self.skipped.record(path, SkipReason::TooDeep);
        } else {
            match self.list(&target)? {
                Ok(entries) => {
                    self.open_dirs.push(target);
                    self.walk(entries, &format!("{key}/"))?;
                    self.open_dirs.pop();
                }
                Err(error) => self.skipped.record_unreadable(path, error),
            }
        }
        Ok(())
    }

    /// Returns why this target may not be served: it is outside the root, or its own name is hidden.
    /// Directories on the way may be hidden, as `..data` of a Kubernetes volume is. Without a link the target
    /// is the entry itself, whose name was checked before.
    fn target_skip_reason(&self, target: &Path) -> Option<SkipReason> {
        let Ok(inside) = target.strip_prefix(&self.root) else { return Some(SkipReason::OutsideRoot) };
        let name = inside.file_name()?;
        (is_hidden(name) && name != WELL_KNOWN).then_some(SkipReason::HiddenTarget)
    }

    fn add_file(&mut self, path: PathBuf, key: String, identity: FileIdentity) -> Result<(), AssetError> {
        if self.counted.insert(identity) {
            self.bytes = self.bytes.saturating_add(identity.bytes);
        }
        if self.bytes > self.limits.bytes {
            return Err(AssetError::TooManyBytes(path, self.limits.bytes));
        }
        self.found.push(FoundFile { key, path, identity });
        Ok(())
    }
}

/// Why a path could not be resolved.
enum Unresolved {
    Link(SkipReason),
    Unreadable(io::Error),
}

/// Returns the canonical target of `path` and its metadata.
fn resolve(path: &Path) -> Result<(PathBuf, fs::Metadata), Unresolved> {
    let is_link = fs::symlink_metadata(path).map_err(Unresolved::Unreadable)?.is_symlink();
    let target = fs::canonicalize(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory if is_link => Unresolved::Link(SkipReason::BrokenLink),
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            Unresolved::Link(SkipReason::LinkLoop)
        }
        _ => Unresolved::Unreadable(error),
    })?;
    let metadata = fs::metadata(&target).map_err(Unresolved::Unreadable)?;
    Ok((target, metadata))
}
