//! Entries of the directory that are not served, with the reason. The log names some of them and counts the
//! rest, so that ten thousand such entries cost a few lines.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use log::Level;

/// Entries that the log names for each reason; further ones are only counted.
const NAMED_MAX: usize = 5;

/// The only hidden directory that is served, only in the root of the site (RFC 8615, section 3).
pub(crate) const WELL_KNOWN: &str = ".well-known";

/// Whether a name starts with a dot.
pub(crate) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Why an entry is not served, or not in its current version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SkipReason {
    /// A link whose target is outside the root.
    OutsideRoot,
    /// A link to a file or directory with a hidden name.
    HiddenTarget,
    /// A link whose target does not exist.
    BrokenLink,
    /// A link to itself, or to a directory that contains it.
    LinkLoop,
    /// A directory past the depth limit.
    TooDeep,
    /// A FIFO, a socket or a device.
    NotRegular,
    /// A name that is not UTF-8; no request can contain it.
    NotUtf8,
    /// The operating system reports an error.
    Unreadable,
    /// The file changed during every attempt to read it.
    Changed,
    /// As [`SkipReason::Changed`], but the content of the previous load is served.
    Stale,
}

impl SkipReason {
    const COUNT: usize = Self::Stale as usize + 1;

    fn text(self) -> &'static str {
        match self {
            Self::OutsideRoot => "the link points outside the directory",
            Self::HiddenTarget => "the link points to a hidden file or directory",
            Self::BrokenLink => "the link is broken",
            Self::LinkLoop => "the link is a loop",
            Self::TooDeep => "it is nested too deeply",
            Self::NotRegular => "it is not a regular file",
            Self::NotUtf8 => "its name is not UTF-8",
            Self::Unreadable => "it can't be read",
            Self::Changed => "it changes while it is read",
            Self::Stale => "it changes while it is read; the content of the previous load is served",
        }
    }
}

/// An entry that the log names.
#[derive(Debug)]
struct Named {
    reason: SkipReason,
    path: PathBuf,
    error: Option<io::Error>,
}

/// The entries that a load skipped.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    hidden: usize,
    /// At most [`NAMED_MAX`] of each reason.
    named: Vec<Named>,
    counts: [usize; SkipReason::COUNT],
    has_vanished: bool,
}

impl Skipped {
    /// Counts an entry whose name starts with a dot.
    pub(crate) fn record_hidden(&mut self) {
        self.hidden += 1;
    }

    pub(crate) fn record(&mut self, path: &Path, reason: SkipReason) {
        self.add(path, reason, None);
    }

    /// Records an entry that the operating system cannot read.
    pub(crate) fn record_unreadable(&mut self, path: &Path, error: io::Error) {
        self.has_vanished |= matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        self.add(path, SkipReason::Unreadable, Some(error));
    }

    /// Whether a listed entry was removed before it could be read: the directory is being changed.
    pub(crate) fn has_vanished(&self) -> bool {
        self.has_vanished
    }

    fn add(&mut self, path: &Path, reason: SkipReason, error: Option<io::Error>) {
        let count = &mut self.counts[reason as usize];
        *count += 1;
        if *count <= NAMED_MAX {
            self.named.push(Named { reason, path: path.to_owned(), error });
        }
    }

    pub(crate) fn notices(&self) -> Vec<(Level, String)> {
        let mut notices = Vec::new();
        if self.hidden > 0 {
            let line = format!(
                "STATIC_DIR: hidden files and directories not served: {}; the only hidden name served is \
                 /{WELL_KNOWN}",
                self.hidden
            );
            notices.push((Level::Info, line));
        }
        for Named { reason, path, error } in &self.named {
            let start = if *reason == SkipReason::Stale { "not updated" } else { "not served" };
            let error = error.as_ref().map_or(String::new(), |error| format!(": {error}"));
            let line = format!("STATIC_DIR: {start}: {}: {}{error}", path.display(), reason.text());
            notices.push((Level::Warn, line));
            let count = self.counts[*reason as usize];
            let is_last_named = self.named.iter().rfind(|named| named.reason == *reason);
            if count > NAMED_MAX && is_last_named.is_some_and(|named| named.path == *path) {
                let rest = count - NAMED_MAX;
                let line = format!("STATIC_DIR: {start}: {rest} more for the same reason: {}", reason.text());
                notices.push((Level::Warn, line));
            }
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_some_entries_of_each_reason_and_counts_the_rest() {
        let mut skipped = Skipped::default();
        assert!(skipped.notices().is_empty(), "every file is served");
        for number in 0..10_000 {
            skipped.record(Path::new(&format!("/site/{number}")), SkipReason::OutsideRoot);
        }
        skipped.record(Path::new("/site/fifo"), SkipReason::NotRegular);
        skipped.record_unreadable(Path::new("/site/io"), io::Error::from_raw_os_error(5));
        for _ in 0..3 {
            skipped.record_hidden();
        }
        let lines: Vec<String> = skipped.notices().into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines.len(), 9, "{lines:#?}");
        assert!(lines[0].starts_with("STATIC_DIR: hidden files and directories not served: 3;"));
        assert_eq!(lines[5], "STATIC_DIR: not served: /site/4: the link points outside the directory");
        assert_eq!(
            lines[6],
            "STATIC_DIR: not served: 9995 more for the same reason: the link points outside the directory"
        );
        assert_eq!(lines[7], "STATIC_DIR: not served: /site/fifo: it is not a regular file");
        assert_eq!(
            lines[8],
            "STATIC_DIR: not served: /site/io: it can't be read: Input/output error (os error 5)"
        );
    }
}
