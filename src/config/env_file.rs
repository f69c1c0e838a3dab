//! An environment file: `KEY=value` lines, as `--print-config` writes them and systemd and Docker read them.
//!
//! A line is blank, a comment (`#` at its start), or a variable, `=` and its value, which may stand in single or double
//! quotes. Nothing is substituted or escaped. Keys are the server's own variables and nothing else, so that a mistyped
//! one is no silent default. A message names a line by its number and never repeats it: it may hold a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::settings::{RETIRED, SETTINGS};
use crate::files;
use crate::secret::without_password;

/// Longest environment file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What a file says; without one, nothing.
#[derive(Default)]
pub(super) struct EnvFile {
    path: PathBuf,
    /// Variable -> its line, counted from 1, and its value.
    values: BTreeMap<String, (usize, String)>,
}

impl EnvFile {
    /// Reads a file.
    ///
    /// # Errors
    /// One line for each thing that is wrong, with the file and the line's number.
    pub fn read(path: &Path) -> Result<Self, Vec<String>> {
        let unreadable = |why: &dyn fmt::Display| {
            let path = path.to_string_lossy();
            vec![format!("--env-file {}: can't be read: {why}", without_password(&path))]
        };
        let text = files::read_text(path, FILE_BYTES_MAX).map_err(|error| unreadable(&error))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(unreadable(&format_args!("it is longer than {FILE_BYTES_MAX} bytes")));
        }
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Vec<String>> {
        let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut report = |what: String| problems.push(format!("{}:{number}: {what}", path.display()));
            match line.split_once('=') {
                None => report("expected KEY=value".to_owned()),
                Some((key, _)) if !is_known(key.trim()) => {
                    let name =
                        if is_name_like(key.trim()) { format!("{}: ", key.trim()) } else { String::new() };
                    report(format!("{name}no setting has this name; see --help"));
                }
                // As in a shell, the last line counts.
                Some((key, value)) => {
                    values.insert(key.trim().to_owned(), (number, unquoted(value.trim()).to_owned()));
                }
            }
        }
        if problems.is_empty() { Ok(Self { path: path.to_owned(), values }) } else { Err(problems) }
    }

    /// The value of a variable, if the file gives it one.
    pub fn value(&self, variable: &str) -> Option<&str> {
        self.values.get(variable).map(|(_, value)| value.as_str())
    }

    /// Where the file gives a variable its value, for messages.
    pub fn place(&self, variable: &str) -> String {
        let line = self.values.get(variable).map_or(0, |(line, _)| *line);
        format!("{}:{line}", self.path.display())
    }
}

impl fmt::Debug for EnvFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("EnvFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Whether this is a variable's name by its looks: words of capital letters. A secret has digits, small letters or no `_`.
fn is_name_like(key: &str) -> bool {
    let key = key.strip_prefix("export ").unwrap_or(key);
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
    key.contains('_') && key.split('_').all(is_word)
}

fn is_known(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.variable == key)
        || RETIRED.iter().any(|retired| retired.variable == key)
}

fn unquoted(value: &str) -> &str {
    let between = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    between('"').or_else(|| between('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<EnvFile, Vec<String>> {
        EnvFile::parse(Path::new("game.env"), text)
    }

    #[test]
    fn lines_are_settings_comments_or_blank() {
        let file =
            parse("# limits\n\n PORT=1 \r\nSTATIC_DIR='/a b'\nLOG_FILE=\"/x=y\"\nPORT = 2\nHOST=\n").unwrap();
        let values = ["PORT", "STATIC_DIR", "LOG_FILE", "HOST", "DEBUG"].map(|key| file.value(key));
        assert_eq!(values, [Some("2"), Some("/a b"), Some("/x=y"), Some(""), None]);
        assert_eq!(file.place("PORT"), "game.env:6");
    }

    #[test]
    fn quotes_belong_to_a_value_unless_they_enclose_it() {
        let file = parse("HOST='a\"\nLOG_FILE='\nSTATIC_DIR=''").unwrap();
        let values = ["HOST", "LOG_FILE", "STATIC_DIR"].map(|key| file.value(key).unwrap());
        assert_eq!(values, ["'a\"", "'", ""]);
    }

    #[test]
    fn everything_else_is_named_with_its_line() {
        let problems =
            parse("PORT\n=3\nMAX_VISIBEL=1\nGOGC=50\nexport TICK_RATE=1\nJBSWY3DP====\nhunter_two=1")
                .unwrap_err();
        let expected = [
            "game.env:1: expected KEY=value",
            "game.env:2: no setting has this name; see --help",
            "game.env:3: MAX_VISIBEL: no setting has this name; see --help",
            "game.env:5: export TICK_RATE: no setting has this name; see --help",
            "game.env:6: no setting has this name; see --help",
            "game.env:7: no setting has this name; see --help",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn a_file_that_is_missing_or_too_long_is_named() {
        let problems = EnvFile::read(Path::new("/nowhere/game.env")).unwrap_err();
        assert!(problems[0].starts_with("--env-file /nowhere/game.env: can't be read: "), "{problems:?}");
        let problems = EnvFile::read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(problems, ["--env-file /dev/zero: can't be read: it is longer than 65536 bytes"]);
    }
}
