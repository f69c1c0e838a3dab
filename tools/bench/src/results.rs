//! The results of a measurement: their folder and files, and the verdict.

use std::fs;
use std::path::{Path, PathBuf};

use game_client::Failure;
use game_client::console::output;
use serde::Serialize;

use crate::machine::Machine;

/// Folder of all results. Each machine and day has a subfolder.
const RESULTS_FOLDER: &str = "bench/results";

/// Creates the folder for the results: the given one, or that of this machine and day.
///
/// # Errors
/// The folder can't be created.
pub fn folder(given: Option<&Path>, machine: &Machine) -> Result<PathBuf, Failure> {
    let usual = || Path::new(RESULTS_FOLDER).join(machine.folder());
    let folder = given.map_or_else(usual, Path::to_path_buf);
    fs::create_dir_all(&folder).map_err(|error| Failure::Failed(format!("{}: {error}", folder.display())))?;
    Ok(folder)
}

/// Writes a file of the folder.
///
/// # Errors
/// The file can't be written. The message names it.
pub fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))
}

/// Writes results as JSON in one line.
///
/// # Errors
/// The file can't be written.
pub fn write_json(file: &Path, results: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(results).map_err(|error| Failure::Failed(error.to_string()))?;
    write(file, &format!("{json}\n"))
}

/// Writes and prints a report, and prints the verdict: `yes`, or `no` with the missed limits. Returns whether none is
/// missed.
///
/// # Errors
/// The file can't be written.
pub fn report(file: &Path, markdown: &str, missed: &[String]) -> Result<bool, Failure> {
    write(file, markdown)?;
    let verdict = if missed.is_empty() { "yes".to_owned() } else { format!("no:\n{}", missed.join("\n")) };
    output(format_args!("{markdown}\nwritten to {}\n\n{verdict}", file.display()));
    Ok(missed.is_empty())
}
