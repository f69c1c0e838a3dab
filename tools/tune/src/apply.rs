//! Changes the running kernel, and says what became of each change.

use std::fmt::Write as _;
use std::io;
use std::{fs, iter};

use pixi_game_server::ops::kernel_limits::{CPU_GOVERNOR, Finding, GOVERNOR};

/// What became of a change.
#[derive(Debug)]
pub enum Change<'a> {
    /// The kernel took it.
    Made(&'a Finding),
    /// It did not.
    Refused(&'a Finding, io::Error),
    /// It is no business of the kernel's: whoever starts the server sets it.
    NotHere(&'a Finding),
}

impl Change<'_> {
    /// Whether nothing is left to be done here.
    pub fn is_made(&self) -> bool {
        !matches!(self, Change::Refused(..))
    }
}

/// Changes whatever is not as wanted.
pub fn apply(findings: &[Finding]) -> Vec<Change<'_>> {
    findings
        .iter()
        .filter(|finding| !finding.is_met)
        .map(|finding| match write(finding) {
            None => Change::NotHere(finding),
            Some(Ok(())) => Change::Made(finding),
            Some(Err(error)) => Change::Refused(finding, error),
        })
        .collect()
}

/// A line for each change.
pub fn tell(changes: &[Change<'_>]) -> String {
    let mut text = String::new();
    for change in changes {
        let _ = match change {
            Change::Made(it) => writeln!(text, "{}: {} -> {}", it.name, it.value, it.wanted),
            Change::Refused(it, error) => {
                writeln!(text, "{}: {} stays, as root run: {} ({error})", it.name, it.value, it.command())
            }
            Change::NotHere(it) => writeln!(
                text,
                "{}: {} is for whoever starts the server: {}, or LimitNOFILE={} in its unit",
                it.name,
                it.value,
                it.command(),
                it.wanted
            ),
        };
    }
    if text.is_empty() { "All is as wanted.\n".to_owned() } else { text }
}

/// Nothing where no file of the kernel is behind it.
fn write(finding: &Finding) -> Option<io::Result<()>> {
    if let Some(path) = finding.path() {
        return Some(fs::write(path, &finding.wanted));
    }
    (finding.name == CPU_GOVERNOR).then(|| governors().try_for_each(|path| fs::write(path, &finding.wanted)))
}

/// The files of all cores that have a choice.
fn governors() -> impl Iterator<Item = String> {
    let mut core = 0;
    iter::from_fn(move || {
        let path = GOVERNOR.replace("cpu0", &format!("cpu{core}"));
        core += 1;
        fs::exists(&path).is_ok_and(|exists| exists).then_some(path)
    })
}
