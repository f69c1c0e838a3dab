//! Writes what is installed beside the programs and made from the table of settings: manual pages, shell completions and
//! the environment file, so that none of them says what `--help` does not.
//!
//! Exit status: 0, 1 when a file can't be written, 2 for bad usage.

mod completions;
mod env_file;
mod man;
mod roff;

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use stage::ask::{self, Command};
use stage::console::{complain, tell};

const BRIEF: &str =
    "Writes manual pages, shell completions and the environment file, made from the table of settings.

Usage: manual FOLDER";

const FAILED: u8 = 1;
const INVALID: u8 = 2;

fn main() -> ExitCode {
    let asked = ask::arguments(
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
            tell(format_args!("{}", text.trim_end()));
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            complain("manual", &problem);
            return ExitCode::from(INVALID);
        }
    };
    match write_to(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain("manual", &format_args!("{folder}: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn write_to(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let files = [
        ("pixi-game-server.8", man::server()),
        ("pixi-game-tune.8", man::tune()),
        ("pixi-game-server.bash", completions::bash()),
        ("_pixi-game-server", completions::zsh()),
        ("pixi-game-server.fish", completions::fish()),
        ("pixi-game-server.env", env_file::commented()),
    ];
    files.into_iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
}
