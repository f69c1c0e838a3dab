//! Generates the manual pages, shell completions and environment file that are installed with the programs. The sources are
//! the table of settings and the `--help` of the programs in the same folder.
//!
//! Exit status: 0 on success, 1 if a file can't be written, 2 for invalid usage.

mod completions;
mod env_file;
mod man;
mod roff;
mod tools;

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use completions::Flag;
use game_client::cli::{self, Command};
use game_client::console::{output, report_error};
use tools::TOOLS;

const BRIEF: &str =
    "Generates manual pages, shell completions and the environment file from the table of settings.

Usage: manual FOLDER";

const FAILED: u8 = 1;
const INVALID: u8 = 2;

fn main() -> ExitCode {
    let asked = cli::parse_with_arguments(
        "manual",
        std::env::args().skip(1),
        BRIEF,
        |_| {},
        |given| match given.free.as_slice() {
            [folder] => Ok(folder.clone()),
            others => Err(format!("expected one argument, the folder to write to, and got {}", others.len())),
        },
    );
    let folder = match asked {
        Ok(Command::Run(folder)) => folder,
        Ok(Command::Help(text)) => {
            output(format_args!("{}", text.trim_end()));
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            report_error("manual", &problem);
            return ExitCode::from(INVALID);
        }
    };
    match write_to(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report_error("manual", &format_args!("{folder}: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn write_to(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let programs = std::env::current_exe()?;
    let programs = programs.parent().unwrap_or(Path::new("/"));
    fs::write(folder.join("pixi-game-server.8"), man::server())?;
    fs::write(folder.join("pixi-game-server.env"), env_file::commented())?;
    write_completions(folder, "pixi-game-server", &completions::server())?;
    for tool in TOOLS {
        let rows = tool.rows(programs)?;
        fs::write(folder.join(format!("{}.8", tool.installed)), man::tool(tool, &rows))?;
        write_completions(folder, tool.installed, &completions::tool(&rows))?;
    }
    Ok(())
}

fn write_completions(folder: &Path, program: &str, flags: &[Flag]) -> io::Result<()> {
    fs::write(folder.join(format!("{program}.bash")), completions::bash(program, flags))?;
    fs::write(folder.join(format!("_{program}")), completions::zsh(program, flags))?;
    fs::write(folder.join(format!("{program}.fish")), completions::fish(program, flags))
}
