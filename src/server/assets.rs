//! Static files, all read into memory at the start and at each reload.
//!
//! A lookup searches the table of loaded files. It never accesses the disk: the loop is not blocked, and no
//! request can name a file outside the directory.

mod encoded;
mod load;
mod scan;
mod skipped;
mod types;

use std::{
    borrow::Cow,
    collections::HashMap,
    error, fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use httpdate::HttpDate;
use percent_encoding::percent_decode_str;

use crate::config::Config;
use crate::wire::http::{ContentCoding, http_date};
use load::{Content, FileIdentity};
use skipped::Skipped;
use types::content_type;

/// Limits of a directory. Above them the server does not start, and a reload changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of files and directories.
    pub files: usize,
    /// Maximum total size of all files, in bytes.
    pub bytes: u64,
}

/// The files of one directory, by relative path.
#[derive(Debug, Default)]
pub struct Assets {
    /// Keys are relative paths with `/` between segments, not percent-encoded.
    by_path: HashMap<String, Asset>,
    /// The same contents by identity, for the next reload.
    contents: HashMap<FileIdentity, Content>,
    /// Number of files that were read; the others share the bytes of the previous load.
    read: usize,
    /// Bytes of all files, each counted once even if it has several names.
    bytes: u64,
    skipped: Skipped,
}

/// One file.
#[derive(Debug)]
pub struct Asset {
    /// The content, shared with the connections that send it.
    pub body: Arc<[u8]>,
    /// The value of `Content-Type`.
    pub content_type: Cow<'static, str>,
    /// The strong `ETag`: the 64-bit FNV-1a hash of the content, and its length. It detects changes by the
    /// operator; it does not resist deliberate collisions.
    pub etag: String,
    /// The last modification of the content, if known.
    pub modified: Option<HttpDate>,
    /// Compressed variants by [`ContentCoding`]; each has the content type of the file and its own tag.
    encoded: [Option<Box<Asset>>; ContentCoding::ALL.len()],
}

/// Why a directory cannot be served. The caller reports it and does not start.
#[derive(Debug)]
pub enum AssetError {
    /// The directory itself can't be read.
    Read(PathBuf, io::Error),
    /// The directory has more entries than the limit; this is the first one above it.
    TooManyEntries(PathBuf, usize),
    /// The files exceed the limit of bytes; this is the file that exceeds it.
    TooManyBytes(PathBuf, u64),
}

impl fmt::Display for AssetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "can't read {}: {error}", path.display()),
            Self::TooManyEntries(path, limit) => {
                write!(f, "{} exceeds STATIC_MAX_FILES={limit} files and directories", path.display())
            }
            Self::TooManyBytes(path, limit) => {
                let mib = limit >> 20;
                write!(f, "{} exceeds STATIC_MAX_MIB={mib} for all files together", path.display())
            }
        }
    }
}

impl error::Error for AssetError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Read(_, error) => Some(error),
            Self::TooManyEntries(..) | Self::TooManyBytes(..) => None,
        }
    }
}

impl Assets {
    /// Loads the files of this configuration. Unchanged files share their bytes with `previous` and are not
    /// read.
    ///
    /// # Errors
    /// As for [`Assets::load`].
    pub fn configured(config: &Config, previous: &Self) -> Result<Self, AssetError> {
        let limits = Limits { files: config.static_max_files, bytes: config.static_max_mib << 20 };
        config
            .static_dir
            .as_deref()
            .map_or_else(|| Ok(Self::default()), |dir| Self::load(dir, limits, previous))
    }

    /// Loads every regular file below `dir`. Hidden names are skipped, except `/.well-known`. A link is
    /// followed if its target lies in `dir` and does not have a hidden name itself. Other files that cannot
    /// be served are skipped and listed in [`Assets::notices`].
    ///
    /// # Errors
    /// `dir` cannot be read or a limit is exceeded, which is checked before any file is read; see
    /// [`AssetError`].
    pub fn load(dir: &Path, limits: Limits, previous: &Self) -> Result<Self, AssetError> {
        load::load(dir, limits, previous)
    }

    /// Returns the log lines about skipped entries, a bounded number of them.
    pub fn notices(&self) -> Vec<(log::Level, String)> {
        self.skipped.notices()
    }

    /// Logs the notices.
    pub fn log_notices(&self) {
        for (level, line) in self.notices() {
            log::log!(level, "{line}");
        }
    }

    /// Returns the number of files that were read; the others share the bytes of the previous load.
    pub fn read_count(&self) -> usize {
        self.read
    }

    /// Returns the bytes held in memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of files served.
    pub fn file_count(&self) -> usize {
        self.by_path.len()
    }

    /// Whether a file with this relative path exists.
    pub fn has(&self, key: &str) -> bool {
        self.by_path.contains_key(key)
    }

    /// Returns the file for a request's percent-encoded path. A folder with a trailing slash means its
    /// `index.html`.
    pub fn lookup(&self, percent_encoded_path: &str) -> Option<&Asset> {
        let path = decode_path(percent_encoded_path)?;
        let path = path.strip_prefix('/')?;
        if path.is_empty() || path.ends_with('/') {
            return self.by_path.get(&format!("{path}index.html"));
        }
        self.by_path.get(path)
    }

    /// Whether a path without a trailing slash names a folder with an `index.html`.
    pub fn is_folder(&self, percent_encoded_path: &str) -> bool {
        let Some(path) = decode_path(percent_encoded_path) else { return false };
        path.strip_prefix('/').is_some_and(|path| self.by_path.contains_key(&format!("{path}/index.html")))
    }

    /// Adds a file under one of its names.
    fn insert(&mut self, key: String, identity: FileIdentity, content: Content) {
        let asset = Asset::of(&key, Arc::clone(&content.body), content.etag.clone());
        self.by_path.insert(key, asset.modified_at(identity.modified.0));
        let bytes = content.body.len() as u64;
        if self.contents.insert(identity, content).is_none() {
            self.bytes += bytes;
        }
    }
}

impl Asset {
    /// Creates a file; the extension of its name determines the content type.
    pub fn new(name: &str, body: Arc<[u8]>) -> Self {
        let etag = etag(&body);
        Self::of(name, body, etag)
    }

    fn of(name: &str, body: Arc<[u8]>, etag: String) -> Self {
        Self { content_type: content_type(name), etag, body, modified: None, encoded: Default::default() }
    }

    /// Returns the variant in this coding, if there is one.
    pub fn encoded(&self, coding: ContentCoding) -> Option<&Self> {
        self.encoded[coding as usize].as_deref()
    }

    /// Whether the response depends on `Accept-Encoding`.
    pub fn has_encodings(&self) -> bool {
        self.encoded.iter().any(Option::is_some)
    }

    /// Sets the last modification, in seconds of Unix time.
    fn modified_at(self, seconds: i64) -> Self {
        Self { modified: Some(http_date(seconds.max(0) as u64)), ..self }
    }
}

/// Percent-decodes a path once. `None` for paths that no served file can have: invalid UTF-8, NUL, backslashes,
/// `.` and `..`.
fn decode_path(percent_encoded: &str) -> Option<Cow<'_, str>> {
    let path = percent_decode_str(percent_encoded).decode_utf8().ok()?;
    let unsafe_segment = path.split('/').any(|segment| segment == "." || segment == "..");
    (!unsafe_segment && !path.contains(['\0', '\\'])).then_some(path)
}

fn etag(body: &[u8]) -> String {
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{hash:016x}-{:x}\"", body.len())
}

#[cfg(test)]
mod tests;
