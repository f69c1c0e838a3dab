//! Options -> what the box has for so many players -> a table, a file for sysctl, or the changes themselves.
//!
//! Exit status: 0 when all is as wanted, or was made so; 1 when something is not; 2 for bad usage.

mod apply;
mod options;
mod table;

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

use options::{Action, Command};
use pixi_game_server::ops::kernel_limits::{Demand, examine, sysctl_file};
use stage::console::report_error;

const NOT_AS_WANTED: u8 = 1;
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
    let demand = Demand { players: u64::from(options.players), is_proxy_local: options.is_proxy_local };
    let findings = examine(&demand, |path| fs::read_to_string(path).ok());
    let all_met = findings.iter().all(|finding| finding.is_met);
    match options.action {
        Action::Show => print(&table::show(&findings, options.players), all_met),
        Action::PrintSysctl => print(&sysctl_file(&findings, demand.players), true),
        Action::Apply => {
            let changes = apply::apply(&findings);
            print(&apply::tell(&changes), changes.iter().all(apply::Change::is_made))
        }
    }
}

/// A closed pipe is the reader's choice.
fn print(text: &str, is_well: bool) -> ExitCode {
    let _ = write!(std::io::stdout(), "{text}");
    if is_well { ExitCode::SUCCESS } else { ExitCode::from(NOT_AS_WANTED) }
}
