//! Checks kernel settings against a number of players and prints a table, prints a sysctl file, or applies the changes.
//!
//! Exit status: 0 if every setting is sufficient or was made so, 1 otherwise, 2 for invalid usage.

mod apply;
mod options;
mod table;

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

use game_client::console::report_error;
use options::{Action, Command};
use pixi_game_server::ops::kernel_limits::{Workload, inspect, sysctl_file};
use pixi_game_server::server::driver::os::page_bytes;

const INSUFFICIENT: u8 = 1;
const INVALID: u8 = 2;

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    let options = match options::parse(std::env::args().skip(1), variable) {
        Ok(Command::Help(text)) => return print(&text, true),
        Ok(Command::Run(options)) => options,
        Err(problem) => {
            report_error("pixi-game-tune", &problem);
            return ExitCode::from(INVALID);
        }
    };
    let workload = Workload { players: u64::from(options.players), is_proxy_local: options.is_proxy_local };
    let settings = inspect(&workload, page_bytes(), |path| fs::read_to_string(path).ok());
    let all_sufficient = settings.iter().all(|setting| setting.is_sufficient);
    match options.action {
        Action::Show => print(&table::show(&settings, options.players), all_sufficient),
        Action::PrintSysctl => print(&sysctl_file(&settings, workload.players), true),
        Action::Apply => {
            let changes = apply::apply(&settings);
            print(&apply::describe(&changes), changes.iter().all(apply::Change::is_done))
        }
    }
}

/// Ignores a closed pipe (`pixi-game-tune | head`).
fn print(text: &str, is_sufficient: bool) -> ExitCode {
    let _ = write!(std::io::stdout(), "{text}");
    if is_sufficient { ExitCode::SUCCESS } else { ExitCode::from(INSUFFICIENT) }
}
