//! Generates the manual pages, shell completions and environment file that are installed with the programs. The sources are
//! the tables of settings and flags.

mod completions;
mod env_file;
mod man;
mod programs;
mod roff;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use game_client::Failure;
use game_client::options::{CommandLine, Program};

use completions::{CTL, Parts};
use programs::PROGRAMS;

/// The command line.
pub const PROGRAM: Program<'_> = Program {
    name: "pixi-game-ops manual",
    about: "Generates manual pages, shell completions and the environment file from the tables of settings and flags.\n\n\
            Usage: pixi-game-ops manual FOLDER\n\n\
            Exit status: 0 if the files are written, 1 if one can't be, 2 for invalid usage.",
    flags: &[],
    takes_arguments: true,
};

/// Runs the subcommand.
pub fn main(args: Vec<String>) -> ExitCode {
    PROGRAM.main(args, folder, |folder| match write_to(&folder) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Failed(format!("{}: {error}", folder.display()))),
    })
}

fn folder(line: &mut CommandLine<'_>) -> PathBuf {
    if let [folder] = line.arguments.as_slice() {
        return folder.into();
    }
    let count = line.arguments.len();
    line.problems.push(format!("expected one argument, the folder to write to, and got {count}"));
    PathBuf::new()
}

fn write_to(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("pixi-game-server.8"), man::server())?;
    fs::write(folder.join("pixi-game-server.env"), env_file::commented())?;
    write_completions(folder, "pixi-game-server", &[(CTL, Vec::new()), ("", completions::server())])?;
    for program in PROGRAMS {
        fs::write(folder.join(format!("{}.8", program.installed)), man::program(program))?;
        let flags = program.parts.iter().map(|part| (part.subcommand, completions::of_table(part.flags)));
        let mut flags: Vec<_> = flags.collect();
        if flags.iter().all(|(subcommand, _)| !subcommand.is_empty()) {
            flags.push(("", completions::of_table(&[])));
        }
        write_completions(folder, program.installed, &flags)?;
    }
    Ok(())
}

fn write_completions(folder: &Path, program: &str, parts: &Parts) -> io::Result<()> {
    fs::write(folder.join(format!("{program}.bash")), completions::bash(program, parts))?;
    fs::write(folder.join(format!("_{program}")), completions::zsh(program, parts))?;
    fs::write(folder.join(format!("{program}.fish")), completions::fish(program, parts))
}
