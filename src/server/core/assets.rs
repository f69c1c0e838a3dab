//! Static files, all read into memory at the start and at each reload.
//!
//! A lookup searches the table of loaded files. It never accesses the disk: the loop is not blocked, and no
//! request can name a file outside the directory.

pub(crate) mod encoded;
pub(crate) mod skipped;
mod types;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use httpdate::HttpDate;
use percent_encoding::percent_decode_str;

use crate::wire::http::{ContentCoding, http_date};
use encoded::Compressed;
use skipped::Skipped;
use types::content_type;

/// The files of one directory, by relative path.
#[derive(Debug, Default)]
pub struct Assets {
    /// Keys are relative paths with `/` between segments, not percent-encoded.
    pub(crate) by_path: HashMap<String, Asset>,
    /// The same contents by identity, for the next reload.
    pub(crate) contents: HashMap<FileIdentity, Content>,
    /// Number of files that were read; the others share the bytes of the previous load.
    pub(crate) read: usize,
    /// Bytes of all files, each counted once even if it has several names.
    pub(crate) bytes: u64,
    pub(crate) skipped: Skipped,
    /// Compressed contents by the tag of the original, for the next reload.
    pub(crate) compressed: Compressed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileIdentity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) bytes: u64,
    /// Modification time of the content and change time of the inode, each in seconds and nanoseconds.
    /// Programs can set back the modification time, but not the change time.
    pub(crate) modified: (i64, i64),
    pub(crate) changed: (i64, i64),
}

/// The bytes of a file, shared by all its names.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) body: Arc<[u8]>,
    pub(crate) etag: String,
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

impl Assets {
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

    /// Returns the file for a percent-encoded path. A folder with a trailing slash means its `index.html`.
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
    pub(crate) fn insert(&mut self, key: String, identity: FileIdentity, content: Content) {
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

    pub(crate) fn of(name: &str, body: Arc<[u8]>, etag: String) -> Self {
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

    /// Adds the variant that the server compresses itself, if the content is worth it.
    pub(crate) fn with_gzip(mut self) -> Self {
        if let Some(body) = encoded::gzip_of(&self) {
            self.attach_gzip(&body);
        }
        self
    }

    fn attach_gzip(&mut self, body: &Arc<[u8]>) {
        let variant = Self {
            body: Arc::clone(body),
            content_type: self.content_type.clone(),
            etag: encoded::variant_etag(&etag(body), ContentCoding::Gzip),
            modified: self.modified,
            encoded: Default::default(),
        };
        self.encoded[ContentCoding::Gzip as usize] = Some(Box::new(variant));
    }

    /// Sets the last modification, in seconds of Unix time.
    pub(crate) fn modified_at(self, seconds: i64) -> Self {
        Self { modified: Some(http_date(seconds.max(0) as u64)), ..self }
    }
}

/// Percent-decodes a path once. `None` for what no file can have: invalid UTF-8, NUL, backslashes, `.` and `..`.
fn decode_path(percent_encoded: &str) -> Option<Cow<'_, str>> {
    let path = percent_decode_str(percent_encoded).decode_utf8().ok()?;
    let unsafe_segment = path.split('/').any(|segment| segment == "." || segment == "..");
    (!unsafe_segment && !path.contains(['\0', '\\'])).then_some(path)
}

pub(crate) fn etag(body: &[u8]) -> String {
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{hash:016x}-{:x}\"", body.len())
}
