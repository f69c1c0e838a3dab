//! Parses an environment file: `NAME=value` lines, as `--print-config` writes and as systemd, Docker and dotenv read them.
//! [`mod@line`] has the grammar.
//!
//! Only the server's own variables are allowed, so that a mistyped name is an error. A message states a position by line
//! and column and never repeats the text, which may be a secret.

mod line;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::settings::{RETIRED, SETTINGS};
use crate::ops::files;
use crate::ops::secret::without_credentials;
use line::{Entry, SyntaxError};
pub(super) use line::{entry, write};

/// Largest environment file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The byte order mark of UTF-8, which editors on Windows write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The byte order marks of UTF-16, in both orders.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// The values of an environment file; empty if there is none.
#[derive(Default)]
pub(super) struct EnvFile {
    path: PathBuf,
    /// By variable.
    values: BTreeMap<String, Value>,
}

/// A value and its position, counted from 1.
struct Value {
    line: usize,
    column: usize,
    text: String,
}

impl EnvFile {
    /// Reads a file.
    ///
    /// # Errors
    /// One line per problem, with file, line and column.
    pub fn read(path: &Path) -> Result<Self, Vec<String>> {
        let unreadable = |why: &dyn fmt::Display| {
            let path = path.to_string_lossy();
            vec![format!("--env-file {}: can't be read: {why}", without_credentials(&path))]
        };
        let bytes = files::read_bounded(path, FILE_BYTES_MAX).map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(unreadable(&format_args!("it is longer than {FILE_BYTES_MAX} bytes")));
        }
        if UTF_16_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
            return Err(unreadable(&"it starts with a UTF-16 byte order mark: save it as UTF-8"));
        }
        Self::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Vec<String>> {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
        for (index, bytes) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = index + 1;
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            match text(bytes).and_then(entry).and_then(known) {
                Ok(None) => {}
                // As in a shell, the last line wins.
                Ok(Some(Entry { name, value, column, .. })) => {
                    values.insert(name.to_owned(), Value { line, column, text: value });
                }
                Err(SyntaxError { column, message }) => {
                    problems.push(format!("{}:{line}:{column}: {message}", path.display()));
                }
            }
        }
        if problems.is_empty() { Ok(Self { path: path.to_owned(), values }) } else { Err(problems) }
    }

    /// Returns the value of a variable, if the file has one.
    pub fn value(&self, variable: &str) -> Option<&str> {
        self.values.get(variable).map(|value| value.text.as_str())
    }

    /// Returns the position of a variable's value, for messages.
    pub fn position(&self, variable: &str) -> String {
        let (line, column) = self.values.get(variable).map_or((0, 0), |value| (value.line, value.column));
        format!("{}:{line}:{column}", self.path.display())
    }
}

impl fmt::Debug for EnvFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("EnvFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn text(bytes: &[u8]) -> Result<&str, SyntaxError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        SyntaxError { column: before.chars().count() + 1, message: "not valid UTF-8".to_owned() }
    })
}

fn known(entry: Option<Entry<'_>>) -> Result<Option<Entry<'_>>, SyntaxError> {
    let is_known = |name: &str| {
        SETTINGS.iter().any(|setting| setting.variable == name)
            || RETIRED.iter().any(|retired| retired.variable == name)
    };
    match entry {
        Some(entry) if !is_known(entry.name) => {
            let shown = if is_name_like(entry.name) { format!("{}: ", entry.name) } else { String::new() };
            let message = format!("{shown}no setting has this name; see --help");
            Err(SyntaxError { column: entry.name_column, message })
        }
        entry => Ok(entry),
    }
}

/// Returns whether a text could be a variable's name: capital words joined by `_`. Most secrets are not.
fn is_name_like(name: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
    name.contains('_') && name.split('_').all(is_word)
}
