//! Entries of the directory that are not served, and why. The log names some of them and counts the rest, so that a
//! directory of ten thousand such entries costs a few lines.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use log::Level;

/// Entries named in the log for each reason; those beyond are counted.
const NAMED_MAX: usize = 5;

/// The only hidden directory that is served, at the root of the site alone (RFC 8615, section 3).
pub(super) const WELL_KNOWN: &str = ".well-known";

/// Whether a name starts with a dot.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Why an entry is not served, or not as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SkipReason {
    /// A link to something that is not below the root.
    OutsideRoot,
    /// A link to a file or directory with a hidden name.
    HiddenTarget,
    /// A link whose target does not exist.
    BrokenLink,
    /// A link to itself, or to a directory that holds it.
    LinkLoop,
    /// A directory below too many others.
    TooDeep,
    /// A FIFO, a socket, a device.
    NotRegular,
    /// A name that no request can spell.
    NotUtf8,
    /// The operating system refuses to read it.
    Unreadable,
    /// It did not stay the same while it was read, several times.
    Changed,
    /// The same, but an earlier reading of it is there.
    Stale,
}

impl SkipReason {
    const COUNT: usize = Self::Stale as usize + 1;

    fn text(self) -> &'static str {
        match self {
            Self::OutsideRoot => "the link leads out of the directory",
            Self::HiddenTarget => "the link leads to a hidden file or directory",
            Self::BrokenLink => "the link leads nowhere",
            Self::LinkLoop => "the link is a loop",
            Self::TooDeep => "it lies too deep",
            Self::NotRegular => "it is no regular file",
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

/// What a load left out.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    hidden: usize,
    /// At most [`NAMED_MAX`] of each reason.
    named: Vec<Named>,
    counts: [usize; SkipReason::COUNT],
    has_vanished: bool,
}

impl Skipped {
    /// Counts an entry whose name starts with a dot.
    pub fn record_hidden(&mut self) {
        self.hidden += 1;
    }

    /// Notes an entry that is left out for this reason.
    pub fn record(&mut self, path: &Path, reason: SkipReason) {
        self.add(path, reason, None);
    }

    /// Notes an entry that the operating system refuses to read.
    pub fn record_unreadable(&mut self, path: &Path, error: io::Error) {
        self.has_vanished |= matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        self.add(path, SkipReason::Unreadable, Some(error));
    }

    /// Whether an entry that was listed did not exist a moment later: the directory changes at present.
    pub fn has_vanished(&self) -> bool {
        self.has_vanished
    }

    fn add(&mut self, path: &Path, reason: SkipReason, error: Option<io::Error>) {
        let count = &mut self.counts[reason as usize];
        *count += 1;
        if *count <= NAMED_MAX {
            self.named.push(Named { reason, path: path.to_owned(), error });
        }
    }

    /// Lines for the log.
    pub fn notices(&self) -> Vec<(Level, String)> {
        let mut notices = Vec::new();
        if self.hidden > 0 {
            let line = format!(
                "STATIC_DIR: hidden files and directories that are not served: {}; of such names only \
                 /{WELL_KNOWN} is served",
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
    fn the_log_names_a_few_of_each_reason_and_counts_the_rest() {
        let mut skipped = Skipped::default();
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
        assert!(lines[0].starts_with("STATIC_DIR: hidden files and directories that are not served: 3;"));
        assert_eq!(lines[5], "STATIC_DIR: not served: /site/4: the link leads out of the directory");
        assert_eq!(
            lines[6],
            "STATIC_DIR: not served: 9995 more for the same reason: the link leads out of the directory"
        );
        assert_eq!(lines[7], "STATIC_DIR: not served: /site/fifo: it is no regular file");
        assert_eq!(
            lines[8],
            "STATIC_DIR: not served: /site/io: it can't be read: Input/output error (os error 5)"
        );
    }

    #[test]
    fn nothing_left_out_is_no_line() {
        assert!(Skipped::default().notices().is_empty());
    }
}
