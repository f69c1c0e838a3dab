//! Programs from Debian's packages that tests need: installed when they are missing, never done without.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs};

/// One installation at a time.
static INSTALLING: Mutex<()> = Mutex::new(());

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether these tests run as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Where a program is, after its package was installed if need be.
pub fn program(name: &str, package: &str) -> PathBuf {
    let _one = INSTALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(file) = find(name) {
        return file;
    }
    let install = format!("apt-get install --yes --no-install-recommends {package}");
    let as_root = if is_root() { "" } else { "sudo --non-interactive " };
    for command in [&install, "apt-get update", &install] {
        let _ = Command::new("sh").arg("-c").arg(format!("{as_root}{command} >&2")).status();
        if let Some(file) = find(name) {
            return file;
        }
    }
    panic!("{name} is missing and can't be installed; run as root: {install}")
}
