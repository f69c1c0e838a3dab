//! Applies the recommended settings to the running kernel and reports each outcome.

use std::fmt::Write as _;
use std::io;
use std::{fs, iter};

use pixi_game_server::ops::kernel_limits::{CPU_GOVERNOR, CPU_GOVERNOR_FILE, KernelSetting};

/// Applies every setting that is not sufficient. Returns a line for each, and whether the kernel refused none. A process
/// limit is not changed: the service manager or the shell sets it before it starts the server.
pub fn apply(settings: &[KernelSetting]) -> (String, bool) {
    let (mut text, mut is_done) = (String::new(), true);
    for it in settings.iter().filter(|setting| !setting.is_sufficient) {
        let (name, value, recommended, command) = (it.name, &it.value, &it.recommended, it.command());
        let _ = match write(it) {
            Some(Ok(())) => writeln!(text, "{name}: {value} -> {recommended}"),
            Some(Err(error)) => {
                is_done = false;
                writeln!(text, "{name}: still {value}; as root run: {command} ({error})")
            }
            None => writeln!(
                text,
                "{name}: {value}; set it where the server is started: {command}, or LimitNOFILE={recommended} in its \
                 unit"
            ),
        };
    }
    if text.is_empty() {
        text.push_str("Every setting is sufficient.\n");
    }
    (text, is_done)
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
