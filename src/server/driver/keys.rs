//! The file with the keys that verify tokens.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::auth::{KEYS_FILE_BYTES_MAX, KeySet};
use crate::config::Config;
use crate::ops::files::read_bounded;
use crate::ops::secret::without_credentials;

/// Permission of other users to read a file.
const READABLE_BY_OTHERS: u32 = 0o004;

/// Permission of the group or of other users to change a file.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Reads the keys of this configuration, and logs what an operator should know about the file. A file is read with
/// `AUTH=none` as well, so that it can be checked before it is used.
///
/// # Errors
/// Returns a line if the file can't be read or is no valid key set.
pub(super) fn load(config: &Config) -> Result<KeySet, String> {
    let Some(path) = &config.auth_keys else { return Ok(KeySet::default()) };
    let name = without_credentials(&path.to_string_lossy()).into_owned();
    let error_line = |why: String| format!("AUTH_KEYS={name}: {why}");
    let bytes = read_bounded(path, KEYS_FILE_BYTES_MAX)
        .map_err(|error| error_line(format!("can't be read: {error}")))?;
    if bytes.len() as u64 > KEYS_FILE_BYTES_MAX {
        return Err(error_line(format!("larger than {KEYS_FILE_BYTES_MAX} bytes")));
    }
    let parsed = KeySet::parse(&bytes).map_err(error_line)?;
    for notice in parsed.notices {
        log::warn!("AUTH_KEYS={name}: {notice}");
    }
    warn_about_mode(path, &name, parsed.has_secret);
    Ok(parsed.keys)
}

/// A reader of a secret can sign tokens, and a writer of the file can add a key. Messages have the path as `name`.
fn warn_about_mode(path: &Path, name: &str, has_secret: bool) {
    let mode = fs::metadata(path).map_or(0, |file| file.permissions().mode());
    if has_secret && mode & READABLE_BY_OTHERS != 0 {
        log::warn!("AUTH_KEYS={name}: every user can read the secret in it, and sign tokens: chmod o-r");
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        log::warn!("AUTH_KEYS={name}: other users can change it: chmod go-w");
    }
}
