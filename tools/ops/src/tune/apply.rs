//! Applies the recommended settings to the running kernel and reports each outcome.

use std::fmt::Write as _;
use std::io;
use std::{fs, iter};

use pixi_game_server::ops::kernel_limits::{CPU_GOVERNOR, CPU_GOVERNOR_FILE, KernelSetting};

/// Outcome of a change.
#[derive(Debug)]
pub enum Change<'a> {
    /// The kernel accepted it.
    Applied(&'a KernelSetting),
    /// The kernel refused it.
    Refused(&'a KernelSetting, io::Error),
    /// Nothing was changed: the service manager or the shell sets a process limit before it starts the server.
    ProcessLimit(&'a KernelSetting),
}

impl Change<'_> {
    /// Whether the kernel needs no further change.
    pub fn is_done(&self) -> bool {
        !matches!(self, Change::Refused(..))
    }
}

/// Applies every setting that is not sufficient.
pub fn apply(settings: &[KernelSetting]) -> Vec<Change<'_>> {
    settings
        .iter()
        .filter(|setting| !setting.is_sufficient)
        .map(|setting| match write(setting) {
            None => Change::ProcessLimit(setting),
            Some(Ok(())) => Change::Applied(setting),
            Some(Err(error)) => Change::Refused(setting, error),
        })
        .collect()
}

/// Renders one line per change.
pub fn describe(changes: &[Change<'_>]) -> String {
    let mut text = String::new();
    for change in changes {
        let _ = match change {
            Change::Applied(it) => writeln!(text, "{}: {} -> {}", it.name, it.value, it.recommended),
            Change::Refused(it, error) => {
                writeln!(text, "{}: still {}; as root run: {} ({error})", it.name, it.value, it.command())
            }
            Change::ProcessLimit(it) => writeln!(
                text,
                "{}: {}; set it where the server is started: {}, or LimitNOFILE={} in its unit",
                it.name,
                it.value,
                it.command(),
                it.recommended
            ),
        };
    }
    if text.is_empty() { "Every setting is sufficient.\n".to_owned() } else { text }
}

/// Writes the recommended value; `None` where no kernel file holds the setting.
fn write(setting: &KernelSetting) -> Option<io::Result<()>> {
    if let Some(path) = setting.path() {
        return Some(fs::write(path, &setting.recommended));
    }
    (setting.name == CPU_GOVERNOR)
        .then(|| governors().try_for_each(|path| fs::write(path, &setting.recommended)))
}

/// Governor files of all cores that have one.
fn governors() -> impl Iterator<Item = String> {
    let mut core = 0;
    iter::from_fn(move || {
        let path = CPU_GOVERNOR_FILE.replace("cpu0", &format!("cpu{core}"));
        core += 1;
        fs::exists(&path).is_ok_and(|exists| exists).then_some(path)
    })
}
