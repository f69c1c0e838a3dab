//! Static files, all read into memory at start, and again when the server is reloaded.
//!
//! A look-up is one in a table of what was found then. It never touches the disk: the loop is not held up, and no
//! request can name anything outside the directory.

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

/// What a directory may hold. With more, the server does not start, and a reload changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most files and directories.
    pub files: usize,
    /// Most bytes of all files together.
    pub bytes: u64,
}

/// The files of one directory, by their path below it.
#[derive(Debug, Default)]
pub struct Assets {
    /// Keys are relative, `/` between segments, not percent-encoded.
    by_path: HashMap<String, Asset>,
    /// The same files as the next reload will know them.
    contents: HashMap<FileIdentity, Content>,
    /// Files whose bytes were read, since none were there that could be kept.
    read: usize,
    /// Of all files, each counted once however many names it has.
    bytes: u64,
    skipped: Skipped,
}

/// One file.
#[derive(Debug)]
pub struct Asset {
    /// The content. Shared, so that a connection sends it from where it lies.
    pub body: Arc<[u8]>,
    /// The value of `Content-Type`.
    pub content_type: Cow<'static, str>,
    /// The value of `ETag`: strong, of the content's 64-bit FNV-1a hash and its length. It tells a client whether the
    /// operator's file changed; it is no defence against an operator who makes two files collide.
    pub etag: String,
    /// When its content was written last, if that is known.
    pub modified: Option<HttpDate>,
    /// Its compressed forms, by [`ContentCoding`]; each has the type of the file, and a tag of its own.
    encoded: [Option<Box<Asset>>; ContentCoding::ALL.len()],
}

/// Why a directory can't be served. The caller reports it and does not start.
#[derive(Debug)]
pub enum AssetError {
    /// The directory itself can't be read.
    Read(PathBuf, io::Error),
    /// The directory holds more entries than the limit; this is the first one beyond it.
    TooManyEntries(PathBuf, usize),
    /// The files hold more bytes than the limit; this is the file that goes beyond it.
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
                write!(f, "{} exceeds STATIC_MAX_MIB={mib} of all files together", path.display())
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
    /// The files of this configuration. Those that `previous` holds already are shared with it and not read.
    ///
    /// # Errors
    /// As [`Assets::load`].
    pub fn configured(config: &Config, previous: &Self) -> Result<Self, AssetError> {
        let limits = Limits { files: config.static_max_files, bytes: config.static_max_mib << 20 };
        config
            .static_dir
            .as_deref()
            .map_or_else(|| Ok(Self::default()), |dir| Self::load(dir, limits, previous))
    }

    /// Takes every regular file below `dir`. Hidden names are left out, except `/.well-known`. A link is followed if its
    /// target lies in `dir` and has no hidden name itself. What else can't be served is left out as well, and part of
    /// [`Assets::notices`].
    ///
    /// # Errors
    /// If `dir` can't be read or a limit is exceeded, which is known before anything is read; see [`AssetError`].
    pub fn load(dir: &Path, limits: Limits, previous: &Self) -> Result<Self, AssetError> {
        load::load(dir, limits, previous)
    }

    /// What the log is to say about entries that were left out: a bounded number of lines.
    pub fn notices(&self) -> Vec<(log::Level, String)> {
        self.skipped.notices()
    }

    /// Writes the notices to the log.
    pub fn log_notices(&self) {
        for (level, line) in self.notices() {
            log::log!(level, "{line}");
        }
    }

    /// How many files were read; the others are shared with the files before them.
    pub fn read_count(&self) -> usize {
        self.read
    }

    /// How many bytes are held in memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files are served.
    pub fn file_count(&self) -> usize {
        self.by_path.len()
    }

    /// Whether there is a file of this path below the directory.
    pub fn has(&self, key: &str) -> bool {
        self.by_path.contains_key(key)
    }

    /// The file for a request's path, still percent-encoded. A folder with a slash at its end stands for its `index.html`.
    pub fn lookup(&self, percent_encoded_path: &str) -> Option<&Asset> {
        let path = decode_path(percent_encoded_path)?;
        let path = path.strip_prefix('/')?;
        if path.is_empty() || path.ends_with('/') {
            return self.by_path.get(&format!("{path}index.html"));
        }
        self.by_path.get(path)
    }

    /// Whether a path without a slash at its end names a folder that has an `index.html`.
    pub fn is_folder(&self, percent_encoded_path: &str) -> bool {
        let Some(path) = decode_path(percent_encoded_path) else { return false };
        path.strip_prefix('/').is_some_and(|path| self.by_path.contains_key(&format!("{path}/index.html")))
    }
}

impl Asset {
    /// This content under this name, whose ending tells its type.
    pub fn new(name: &str, body: Arc<[u8]>) -> Self {
        let etag = etag(&body);
        Self::of(name, body, etag)
    }

    fn of(name: &str, body: Arc<[u8]>, etag: String) -> Self {
        Self { content_type: content_type(name), etag, body, modified: None, encoded: Default::default() }
    }

    /// Its form in this coding, if there is one.
    pub fn encoded(&self, coding: ContentCoding) -> Option<&Self> {
        self.encoded[coding as usize].as_deref()
    }

    /// Whether the answer depends on the codings that a client takes.
    pub fn has_encodings(&self) -> bool {
        self.encoded.iter().any(Option::is_some)
    }

    /// The same, written last in the second `seconds` after the start of 1970.
    fn modified_at(self, seconds: i64) -> Self {
        Self { modified: Some(http_date(seconds.max(0) as u64)), ..self }
    }
}

/// The path in plain text, decoded once. `None` for what no file here can be named: what is not UTF-8, NUL, backslashes,
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
