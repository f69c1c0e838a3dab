//! Starts the server: parses the configuration, opens the log, raises limits, binds and serves.
//!
//! Exit status: 0 after an orderly shutdown, 1 when the server could not start or failed, 2 for invalid configuration,
//! 70 after a panic, 128 plus the signal's number when a second signal ended the drain. A stall aborts the process (SIGABRT).

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{self, ExitCode, Stdio};

use log::kv::Value;
use log::{Level, Record};
use pixi_game_server::config::{self, Command, Config, ConfigError};
use pixi_game_server::control::ctl::{self, Call};
use pixi_game_server::ops::crash;
use pixi_game_server::ops::files;
#[cfg(feature = "profile-mem")]
use pixi_game_server::ops::heap_profile;
use pixi_game_server::ops::kernel_limits::{self, Workload};
use pixi_game_server::ops::logging;
use pixi_game_server::ops::printable::printable;
use pixi_game_server::ops::secret;
use pixi_game_server::server::core::assets::Assets;
use pixi_game_server::server::core::capacity::Capacity;
use pixi_game_server::server::driver::assets::{self, AssetError};
use pixi_game_server::server::driver::{capacity, health_check, os};
use pixi_game_server::server::{self, Outcome, Server};
use sd_notify::NotifyState;

/// The line that a process prints once it has taken over.
const TAKEN_OVER: &str = "taken over";

/// First argument of a process that starts the program with the other arguments, and exits at once.
const DETACH: &str = "detach";

const FAILED: u8 = 1;
const INVALID: u8 = 2;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(arg) if arg == "ctl" => return control(),
        Some(arg) if arg == DETACH => return detach(),
        _ => {}
    }
    // Before any thread exists, since threads inherit the signal mask.
    if let Err(error) = os::Signals::block() {
        return fail(FAILED, &format!("signals can't be blocked: {error}"));
    }
    let command = match read_command() {
        Ok(command) => command,
        Err(error) => return fail(INVALID, &error.to_string()),
    };
    if !matches!(command, Command::Run(..)) {
        // Ctrl-C must end a slow health check.
        let _ = os::Signals::unblock();
    }
    match command {
        Command::Help(text) | Command::Version(text) | Command::PrintConfig(text) => {
            // A closed pipe (`--help | head`) is not an error.
            let _ = writeln!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Command::CheckConfig(config, notices) => {
            secret::register(config.secrets());
            check(&config, notices)
        }
        Command::HealthCheck(config) => {
            match health_check::probe(config.host, config.port, config.proxy_protocol) {
                Ok(()) => ExitCode::SUCCESS,
                Err(reason) => fail(FAILED, &reason),
            }
        }
        Command::BackgroundTakeover => take_over_in_background(foreground_arguments()),
        Command::Run(config, notices) => {
            secret::register(config.secrets());
            run(config, &notices, Start::Bind)
        }
        Command::TakeOver(config, notices) => {
            secret::register(config.secrets());
            run(config, &notices, Start::TakeOver)
        }
    }
}

/// Runs `ctl`, whose arguments follow it.
fn control() -> ExitCode {
    let call = match ctl::parse(std::env::args_os().skip(2)) {
        Ok(call) => call,
        Err(problem) => return fail(INVALID, &problem),
    };
    let printed = match call {
        Call::Help(text) => Ok(text),
        Call::TakeOver(arguments) => return take_over_in_background(arguments),
        Call::Send { command, socket, node, env_file, is_json } => {
            ctl::send(&command, socket, node.as_deref(), env_file, is_json)
        }
    };
    match printed {
        Ok(text) => {
            let _ = writeln!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(problem) => fail(FAILED, &problem),
    }
}

fn read_command() -> Result<Command, ConfigError> {
    config::parse(std::env::args_os().skip(1), |name| std::env::var_os(name))
}

/// Reads arguments, environment and environment file again, for a reload.
fn reread() -> Result<Config, ConfigError> {
    match read_command()? {
        Command::Run(config, _) | Command::TakeOver(config, _) => {
            secret::register(config.secrets());
            Ok(config)
        }
        _ => unreachable!("the arguments of a running server start a server"),
    }
}

/// Returns this process's arguments, for a process that takes over in the foreground.
fn foreground_arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os().skip(1).map(|arg| match arg.to_str() {
        Some("--background-takeover" | "-background-takeover") => OsString::from("--takeover"),
        _ => arg,
    })
}

/// Starts a process that takes over and stays, with these arguments. Returns once it has taken over or failed.
///
/// A process in between starts it. Once that one has exited, the parent is the service manager, which supervises only its
/// children without restrictions.
fn take_over_in_background(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match config::parse(arguments.iter().cloned(), |name| std::env::var_os(name)) {
        Ok(Command::TakeOver(config, _)) => {
            secret::register(config.secrets());
            if let Err(error) = check_log_file(&config) {
                return fail(INVALID, &error);
            }
        }
        Ok(_) => {}
        Err(error) => return fail(INVALID, &error.to_string()),
    }
    let spawned = std::env::current_exe().and_then(|program| {
        let mut command = process::Command::new(program);
        command.arg(DETACH).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
    });
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return cannot_start(&error),
    };
    // The end of the output means that the process failed, and has said why.
    let mut line = String::new();
    let read = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
    let _ = child.wait();
    if matches!(read, Some(Ok(_))) && line.trim_end() == TAKEN_OVER {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(FAILED)
}

/// Starts this program with the arguments after the first one.
fn detach() -> ExitCode {
    let spawned = std::env::current_exe()
        .and_then(|program| process::Command::new(program).args(std::env::args_os().skip(2)).spawn());
    match spawned {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => cannot_start(&error),
    }
}

fn cannot_start(error: &io::Error) -> ExitCode {
    fail(FAILED, &format!("the process that takes over can't be started: {error}"))
}

/// How a server gets its sockets.
#[derive(Clone, Copy)]
enum Start {
    Bind,
    /// From the running server.
    TakeOver,
}

fn run(config: Config, notices: &[String], start: Start) -> ExitCode {
    crash::install_panic_hook();
    let signals = match os::Signals::for_server() {
        Ok(signals) => signals,
        Err(error) => return fail(FAILED, &format!("signals can't be received: {error}")),
    };
    #[cfg(feature = "profile-mem")]
    let _heap_profile = match heap_profile::HeapProfile::start() {
        Ok(profile) => profile,
        Err(error) => return fail(FAILED, &format!("the heap can't be profiled: {error}")),
    };
    let log = match logging::start(config.log_level, config.log_format, config.log_file.as_deref()) {
        Ok(log) => log,
        Err(error) => return fail(INVALID, &log_file_error(&config, &error)),
    };
    for notice in notices {
        log::warn!("{notice}");
    }
    let status = serve(config, signals, &log, start);
    // Dropped before the process exits, so that queued lines are written.
    drop(log);
    status
}

/// Runs the startup steps without outside effects and prints all problems. Returns the first exit status.
fn check(config: &Config, notices: Vec<String>) -> ExitCode {
    logging::start_collecting();
    let log_file = check_log_file(config).map_err(|problem| (INVALID, problem));
    let capacity = capacity::raise_for(config.max_connections, config.reuse_port);
    warn_about_kernel_limits(config, capacity);
    let assets = assets::configured(config, &Assets::default());
    let assets = assets
        .map(|assets| log_skipped_files(config, &assets))
        .map_err(|error| (FAILED, static_dir_error(&error)));
    let sockets = server::check(config).into_iter().map(|error| (FAILED, start_error(&error)));
    let problems: Vec<(u8, String)> =
        [log_file, assets].into_iter().filter_map(Result::err).chain(sockets).collect();
    let mut lines: Vec<String> = problems.iter().map(|(_, problem)| problem.clone()).collect();
    lines.extend(notices.into_iter().chain(logging::take_collected()));
    if let Some((status, _)) = problems.first() {
        return fail(*status, &lines.join("\n"));
    }
    lines.insert(0, "configuration is valid".to_owned());
    for line in secret::redact(&lines.join("\n")).lines() {
        let _ = writeln!(io::stdout(), "{}", printable(line));
    }
    ExitCode::SUCCESS
}

fn check_log_file(config: &Config) -> Result<(), String> {
    let log_file = config.log_file.as_deref();
    log_file.map_or(Ok(()), files::check_append).map_err(|error| log_file_error(config, &error))
}

fn log_file_error(config: &Config, error: &io::Error) -> String {
    let path = config.log_file.as_deref().unwrap_or(Path::new(""));
    format!("LOG_FILE={}: can't be written: {error}", secret::without_credentials(&path.to_string_lossy()))
}

/// Logs the files below `STATIC_DIR` that are not served.
fn log_skipped_files(config: &Config, assets: &Assets) {
    assets.log_notices();
    server::log_shadowed_files(config, assets);
}

fn static_dir_error(error: &AssetError) -> String {
    format!("STATIC_DIR: {error}")
}

fn start_error(error: &io::Error) -> String {
    format!("the server can't start: {error}")
}

fn serve(config: Config, signals: os::Signals, log: &logging::LogGuard, start: Start) -> ExitCode {
    let capacity = capacity::raise_for(config.max_connections, config.reuse_port);
    warn_about_kernel_limits(&config, capacity);
    let assets = match assets::configured(&config, &Assets::default()) {
        Ok(assets) => assets,
        Err(error) => return fail_logged(&static_dir_error(&error)),
    };
    log_skipped_files(&config, &assets);
    // Each process of a shared port logs this line, with the name by which its peers know it.
    let node = config.node_name.as_ref().filter(|_| config.reuse_port);
    let name = node.map_or_else(String::new, |node| format!(" as {node}"));
    let (own, has_front_page) = (config.clone(), assets.lookup("/").is_some());
    let addresses = |public, admin| server::browser_addresses(&own, has_front_page, public, admin);
    let make = match start {
        Start::Bind => Server::bind,
        Start::TakeOver => Server::take_over,
    };
    let server = match make(config, capacity, assets, signals, log.handle(), reread) {
        Ok(server) => server,
        Err(error) => return fail_logged(&start_error(&error)),
    };
    match (server.admin_addr(), server.local_addr()) {
        (Ok(admin), Ok(public)) => log_start(&name, public, &addresses(public, admin)),
        (Err(error), _) | (_, Err(error)) => {
            return fail_logged(&format!("a listening socket has no address: {error}"));
        }
    }
    // Without a service manager this has no effect.
    if let Err(error) = sd_notify::notify(&[NotifyState::MainPid(process::id()), NotifyState::Ready]) {
        log::warn!("the service manager can't be notified: {error}");
    }
    if let Start::TakeOver = start {
        // For `--background-takeover`.
        let _ = writeln!(io::stdout(), "{TAKEN_OVER}");
    }
    match server.run() {
        Ok(Outcome::ShutDown) => {
            log::info!("stopped");
            ExitCode::SUCCESS
        }
        Ok(Outcome::HandedOver) => {
            log::info!("handed over to another process");
            ExitCode::SUCCESS
        }
        Ok(Outcome::Aborted(signal)) => {
            log::warn!("a second signal ended the drain");
            ExitCode::from(128 + u8::try_from(signal).unwrap_or(0))
        }
        Err(error) => fail_logged(&format!("the event loop failed: {error}")),
    }
}

/// Logs the last line of a start: the server is ready. It has the addresses for a browser on this machine, in JSON also as fields.
fn log_start(name: &str, public: SocketAddr, addresses: &[(&str, String)]) {
    if !log::log_enabled!(Level::Info) {
        return;
    }
    let mut line =
        format!("pixi-game-server {} listening on http://{public}{name}", env!("CARGO_PKG_VERSION"));
    let mut fields: Vec<(&str, Value<'_>)> = Vec::new();
    for (page, url) in addresses {
        line.push_str(&[", ", page, " at ", url].concat());
        fields.push((page, Value::from(url.as_str())));
    }
    let fields = fields.as_slice();
    let mut record = Record::builder();
    record.level(Level::Info).target(module_path!()).key_values(&fields);
    log::logger().log(&record.args(format_args!("{line}")).build());
}

/// Warns about kernel settings that would make the machine refuse players. `pixi-game-ops tune` shows all relevant ones.
fn warn_about_kernel_limits(config: &Config, capacity: Capacity) {
    let is_proxy_local = config.trusted_proxies.iter().any(|network| network.addr().is_loopback());
    let workload = Workload { players: capacity.players as u64, is_proxy_local };
    let settings = kernel_limits::inspect(&workload, os::page_bytes(), |path| fs::read_to_string(path).ok());
    for setting in settings.iter().filter(|setting| setting.is_critical) {
        let (name, value, recommended) = (setting.name, &setting.value, &setting.recommended);
        log::warn!(
            "{name} is {value} and should be {recommended} for {} players ({}); to change it, run as root: {}",
            workload.players,
            setting.description,
            setting.command()
        );
    }
}

fn fail(status: u8, problem: &str) -> ExitCode {
    let problem = secret::redact(problem);
    for line in problem.lines() {
        // Standard error may be closed or full: the exit status still reports the failure.
        let _ = writeln!(io::stderr(), "pixi-game-server: {}", printable(line));
    }
    ExitCode::from(status)
}

fn fail_logged(problem: &str) -> ExitCode {
    log::error!("{problem}");
    ExitCode::from(FAILED)
}
