//! The results of a measurement: their folder and files, and figures of several runs.

use std::fs;
use std::path::{Path, PathBuf};

use game_client::Failure;
use game_client::console::output;
use game_client::statistics::Spread;
use serde::Serialize;

use crate::machine::Machine;

/// Folder of all results. Each machine and day has a subfolder.
const RESULTS_FOLDER: &str = "bench/results";

/// Text in place of a figure that was not measured.
pub const NOT_MEASURED: &str = "not measured";

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

/// Writes results as JSON in one line and as Markdown: `name.json` and `name.md`.
///
/// # Errors
/// A file can't be written.
pub fn write_both(
    folder: &Path,
    name: &str,
    results: &impl Serialize,
    markdown: &str,
) -> Result<(), Failure> {
    let json = serde_json::to_string(results).map_err(|error| Failure::Failed(error.to_string()))?;
    write(&folder.join(format!("{name}.json")), &format!("{json}\n"))?;
    write(&folder.join(format!("{name}.md")), markdown)
}

/// Prints a report, the written file, and the verdict: `yes`, or `no` with the missed limits. Returns whether none is
/// missed.
pub fn print_verdict(markdown: &str, file: &Path, missed: &[String]) -> bool {
    let verdict = if missed.is_empty() { "yes".to_owned() } else { format!("no:\n{}", missed.join("\n")) };
    output(format_args!("{markdown}\nwritten to {}\n\n{verdict}", file.display()));
    missed.is_empty()
}

/// Formats the median, with the range if the values differ.
pub fn spread_text(values: &[f64], decimals: usize) -> String {
    let number = |value: f64| format!("{value:.decimals$}");
    let Some(Spread { median, min, max }) = Spread::of(values) else { return NOT_MEASURED.to_owned() };
    let (median, min, max) = (number(median), number(min), number(max));
    if min == max { median } else { format!("{median} ({min}..{max})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_values_have_a_range_and_none_are_not_measured() {
        for (values, text) in
            [(&[2.0, 1.0, 9.0][..], "2.0 (1.0..9.0)"), (&[1.0, 1.04], "1.0"), (&[], NOT_MEASURED)]
        {
            assert_eq!(spread_text(values, 1), text);
        }
    }
}
