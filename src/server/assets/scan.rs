//! The walk through the directory that reads no file: what is there, how large it is, and what is left out.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::load::FileIdentity;
use super::skipped::{SkipReason, Skipped, WELL_KNOWN, is_hidden};
use super::{AssetError, Limits};

/// Directories within each other that are looked into. A walk through links could otherwise be as deep as there are
/// directories, and take the stack.
pub(super) const DEPTH_MAX: usize = 64;

/// A file that is to be served.
pub(super) struct FoundFile {
    /// Its path below the root, the key of [`super::Assets`].
    pub key: String,
    /// Canonical.
    pub path: PathBuf,
    pub identity: FileIdentity,
}

/// What is below a directory.
pub(super) struct Scan {
    /// Canonical, so that a canonical target below it can't leave it.
    root: PathBuf,
    /// The canonical directories from the root to the one being read. A link back to one of them is not followed,
    /// so that every walk ends.
    open_dirs: Vec<PathBuf>,
    pub limits: Limits,
    entries: usize,
    /// Of all files, each counted once however many names it has.
    pub bytes: u64,
    counted: HashSet<FileIdentity>,
    pub found: Vec<FoundFile>,
    pub skipped: Skipped,
}

/// What is below `dir`. Everything but `dir` itself may be unreadable.
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
    /// The paths of a directory's entries, all or none: those that may be served, and that are within the limit together
    /// with all others found so far.
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

    /// Notes the entries of the last of `open_dirs`, whose files get `prefix` before their names.
    fn walk(&mut self, entries: Vec<PathBuf>, prefix: &str) -> Result<(), AssetError> {
        for path in entries {
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) => self.visit_entry(&path, format!("{prefix}{name}"))?,
                None => self.skipped.record(&path, SkipReason::NotUtf8),
            }
        }
        Ok(())
    }

    /// Notes what is found at `path` under the key `key`.
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
            return self.add_file(target, key, FileIdentity::of(&metadata));
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

    /// Why nothing may lead to this target: it lies outside, or its own name is hidden. The directories on the way may be
    /// hidden, as `..data` of a Kubernetes volume is. What is no link leads to itself, which passed for its name before.
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

/// Why a path has no target.
enum Unresolved {
    Link(SkipReason),
    Unreadable(io::Error),
}

/// The canonical path that `path` leads to, and what is there.
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
