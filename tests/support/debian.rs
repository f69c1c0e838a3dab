//! Programs that tests run. `tests/install.sh` installs a missing program, so no test is skipped.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs};

/// Serializes installations.
static INSTALLING: Mutex<()> = Mutex::new(());

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Path of a program. Installs its package first if it is missing.
pub fn program(name: &str) -> PathBuf {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/install.sh");
    let _one = INSTALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(file) = find(name) {
        return file;
    }
    let installed = Command::new(SCRIPT).status();
    find(name).unwrap_or_else(|| panic!("{name} is missing and {SCRIPT} could not install it: {installed:?}"))
}
