//! Static files, all read into memory at start, and again when the server is reloaded.
//!
//! A look-up is one in a table of what was found then. It never touches the disk: the loop is not held up, and no
//! request can name anything outside the directory.

use std::{
    collections::HashMap,
    error,
    ffi::OsStr,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Most files and directories loaded; with more, the server does not start.
const ENTRIES_MAX: usize = 16_384;

/// Most bytes of all files together; with more, the server does not start.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The files of one directory, by their path below it.
#[derive(Debug, Default)]
pub struct Assets {
    /// Keys are relative, `/` between segments, not percent-encoded.
    by_path: HashMap<String, Asset>,
}

/// One file.
#[derive(Debug)]
pub struct Asset {
    /// The content. Shared, so that a connection sends it from where it lies.
    pub body: Arc<[u8]>,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The value of `ETag`: strong, of the content's 64-bit FNV-1a hash and its length. It tells a client whether the
    /// operator's file changed; it is no defence against an operator who makes two files collide.
    pub etag: String,
}

/// Why a directory can't be served. The caller reports it and does not start.
#[derive(Debug)]
pub enum AssetError {
    /// A file or directory can't be read.
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
                write!(f, "{} exceeds the limit of {limit} static files and directories", path.display())
            }
            Self::TooManyBytes(path, limit) => {
                write!(f, "{} exceeds the limit of {limit} bytes of static files", path.display())
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
    /// Reads every regular file below `dir`. Names that start with a dot are left out. A symbolic link is followed
    /// if its target lies in `dir`; others are left out with a warning.
    ///
    /// # Errors
    /// If something can't be read or a limit is exceeded; see [`AssetError`].
    pub fn load(dir: &Path) -> Result<Self, AssetError> {
        Self::load_within(dir, ENTRIES_MAX, BYTES_MAX)
    }

    fn load_within(dir: &Path, entries_max: usize, bytes_max: u64) -> Result<Self, AssetError> {
        let root = fs::canonicalize(dir).map_err(|error| AssetError::Read(dir.to_owned(), error))?;
        let mut loader = Loader {
            open_dirs: vec![root.clone()],
            root,
            entries_left: entries_max,
            entries_max,
            bytes_left: bytes_max,
            bytes_max,
            assets: Self::default(),
        };
        loader.load_dir("")?;
        Ok(loader.assets)
    }

    /// How many files are served.
    pub fn file_count(&self) -> usize {
        self.by_path.len()
    }

    /// The file for a request's path, still percent-encoded. A directory stands for its `index.html`.
    pub fn lookup(&self, percent_encoded_path: &str) -> Option<&Asset> {
        let path = decode_path(percent_encoded_path)?;
        let path = path.strip_prefix('/')?;
        if let Some(asset) = self.by_path.get(path) {
            return Some(asset);
        }
        let index = if path.is_empty() || path.ends_with('/') { "index.html" } else { "/index.html" };
        self.by_path.get(&format!("{path}{index}"))
    }

    fn insert(&mut self, path: String, body: Arc<[u8]>) {
        let asset = Asset::new(&path, body);
        self.by_path.insert(path, asset);
    }
}

impl Asset {
    /// This content under this name, whose ending tells its type.
    pub fn new(name: &str, body: Arc<[u8]>) -> Self {
        Self { content_type: content_type(name), etag: etag(&body), body }
    }

    /// Whether the value of `If-None-Match` names this content, so that the answer is 304. Compares weakly, as
    /// RFC 9110 section 13.1.2 asks.
    pub fn matches(&self, if_none_match: &str) -> bool {
        let names_this = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag;
        if_none_match.split(',').any(|tag| names_this(tag.trim_ascii()))
    }
}

/// The state of one [`Assets::load`].
struct Loader {
    /// Canonical, so that a canonical target below it can't leave it.
    root: PathBuf,
    /// The canonical directories from the root to the one being read. A link back to one of them is not followed,
    /// so that every walk ends.
    open_dirs: Vec<PathBuf>,
    entries_left: usize,
    entries_max: usize,
    bytes_left: u64,
    bytes_max: u64,
    assets: Assets,
}

impl Loader {
    /// Reads the last of `open_dirs`, whose files get `prefix` before their names.
    fn load_dir(&mut self, prefix: &str) -> Result<(), AssetError> {
        let Some(dir) = self.open_dirs.last().cloned() else { return Ok(()) };
        let unreadable = |error| AssetError::Read(dir.clone(), error);
        for entry in fs::read_dir(&dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if name.starts_with('.') => {}
                Some(name) => self.load_entry(&path, format!("{prefix}{name}"))?,
                None => log::warn!("not served, as its name is not UTF-8: {}", path.display()),
            }
        }
        Ok(())
    }

    /// Loads what is found at `path` under the key `key`.
    fn load_entry(&mut self, path: &Path, key: String) -> Result<(), AssetError> {
        self.entries_left = self
            .entries_left
            .checked_sub(1)
            .ok_or_else(|| AssetError::TooManyEntries(path.to_owned(), self.entries_max))?;
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
            self.load_file(&target, &metadata, key)
        } else if metadata.is_dir() && !self.open_dirs.contains(&target) {
            self.open_dirs.push(target);
            self.load_dir(&format!("{key}/"))?;
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

    fn load_file(&mut self, path: &Path, metadata: &fs::Metadata, key: String) -> Result<(), AssetError> {
        let too_many = || AssetError::TooManyBytes(path.to_owned(), self.bytes_max);
        // Asked before reading, so that a huge file is refused and not read; then the bytes that really came count.
        if metadata.len() > self.bytes_left {
            return Err(too_many());
        }
        let body = fs::read(path).map_err(|error| AssetError::Read(path.to_owned(), error))?;
        self.bytes_left = self.bytes_left.checked_sub(body.len() as u64).ok_or_else(too_many)?;
        self.assets.insert(key, body.into());
        Ok(())
    }
}

/// The path in plain text, decoded once. `None` for what no file here can be named: broken or non-UTF-8 encodings,
/// NUL, backslashes, `.` and `..`.
fn decode_path(percent_encoded: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(percent_encoded.len());
    let mut bytes = percent_encoded.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            _ => byte,
        });
    }
    let path = String::from_utf8(decoded).ok()?;
    let unsafe_segment = path.split('/').any(|segment| segment == "." || segment == "..");
    (!unsafe_segment && !path.contains(['\0', '\\'])).then_some(path)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn etag(body: &[u8]) -> String {
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{hash:016x}-{:x}\"", body.len())
}

fn content_type(path: &str) -> &'static str {
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, ext)| ext);
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "txt" | "md" | "atlas" | "fnt" => "text/plain; charset=utf-8",
        "json" | "map" => "application/json",
        "xml" => "application/xml",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        "ktx2" => "image/ktx2",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "m4a" => "audio/mp4",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "glb" => "model/gltf-binary",
        "gltf" => "model/gltf+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
