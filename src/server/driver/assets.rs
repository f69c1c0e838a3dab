//! Loads the files of `STATIC_DIR` into memory, at the start and at each reload.

mod load;
mod scan;

use std::path::PathBuf;
use std::{error, fmt, io};

use crate::config::Config;
use crate::server::core::assets::Assets;
pub use load::load;

/// Limits of a directory. Above them the server does not start, and a reload changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of files and directories.
    pub files: usize,
    /// Maximum total size of all files, in bytes.
    pub bytes: u64,
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

/// Loads the files of this configuration. Unchanged files share their bytes with `previous` and are not read.
///
/// # Errors
/// As for [`load()`].
pub fn configured(config: &Config, previous: &Assets) -> Result<Assets, AssetError> {
    let limits = Limits { files: config.static_max_files, bytes: config.static_max_mib << 20 };
    config.static_dir.as_deref().map_or_else(|| Ok(Assets::default()), |dir| load(dir, limits, previous))
}

#[cfg(test)]
mod tests;
