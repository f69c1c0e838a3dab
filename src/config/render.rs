//! Renders the help text, the version, and the effective configuration as an environment file.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Config;
use super::command_line::actions;
use super::env_file;
use super::settings::{RETIRED, SETTINGS};
use super::sources;
use crate::ops::secret::{MASK, Secret, without_credentials};

/// Column at which help texts start.
const HELP_COLUMN: usize = 30;

/// Renders the name and version of the server.
pub(super) fn version() -> String {
    format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}

/// Renders the text of `--help`, without a final newline.
pub(super) fn help() -> String {
    let mut text = format!(
        "{}: {}\n\n\
         Usage: {} [--flag value | --flag=value | -flag value | -flag=value]...\n\n\
         Actions instead of serving:\n",
        version(),
        env!("CARGO_PKG_DESCRIPTION"),
        env!("CARGO_PKG_NAME"),
    );
    for flag in actions() {
        let argument = flag.argument.map_or(String::new(), |argument| format!(" {argument}"));
        entry(&mut text, flag.short, &format!("{}{argument}", flag.long), flag.help);
    }
    text.push_str("\nSettings, each with its environment variable; a flag overrides the variable:\n");
    for setting in SETTINGS {
        entry(&mut text, setting.short, &setting.flag(), setting.help);
        let default = if setting.default.is_empty() { "unset" } else { setting.default };
        let (variable, allowed) = (setting.variable, setting.allowed);
        line(&mut text, "", &format!("[{variable}: {allowed}; default {default}]"));
    }
    let retired: Vec<_> = RETIRED.iter().map(|retired| retired.variable).collect();
    text.push_str("\nAccepted without effect, from earlier servers: ");
    text.push_str(&retired.join(", "));
    text.push_str("\nApplied on SIGHUP without a restart, together with the files of STATIC_DIR: ");
    let live: Vec<_> =
        SETTINGS.iter().filter(|setting| setting.is_live).map(|setting| setting.variable).collect();
    text.push_str(&live.join(", "));
    text
}

fn entry(text: &mut String, short: &str, long: &str, help: &str) {
    let short = if short.is_empty() { String::new() } else { format!(", -{short}") };
    line(text, &format!("  --{long}{short}"), help);
}

fn line(text: &mut String, left: &str, right: &str) {
    writeln!(text, "{left:HELP_COLUMN$}{right}").expect("writing to a string does not fail");
}

/// Renders the configuration as `NAME=value` lines in the order of the table, without a final newline. An unset setting has
/// an empty value. A value with a secret becomes a comment, so that the file stays valid.
pub(super) fn environment(config: &Config) -> String {
    let lines: Vec<_> =
        values(config).iter().map(|(variable, value)| environment_line(variable, value)).collect();
    lines.join("\n")
}

fn environment_line(variable: &str, value: &str) -> String {
    // A URL with a password may be set in any setting by mistake.
    let shown = sources::setting(variable).secrecy.redacted(value);
    let shown = without_credentials(&shown);
    if shown == value {
        env_file::write(variable, value)
    } else if shown == MASK {
        format!("# {variable} is set; its value is secret")
    } else {
        format!("# {variable} is set; its value is secret: {shown}")
    }
}

/// Returns every setting with its value, secrets included: the caller must not print them.
pub(super) fn values(config: &Config) -> [(&'static str, String); 52] {
    let path =
        |path: &Option<PathBuf>| path.as_ref().map_or(String::new(), |path| path.display().to_string());
    let optional = |number: Option<u32>| number.map_or(String::new(), |number| number.to_string());
    let networks: Vec<_> = config.trusted_proxies.iter().map(ToString::to_string).collect();
    [
        ("HOST", config.host.to_string()),
        ("PORT", config.port.to_string()),
        ("ADMIN_ADDR", config.admin_addr.map_or(String::new(), |address| address.to_string())),
        ("ALLOWED_ORIGINS", config.allowed_origins.to_string()),
        ("REQUIRE_ORIGIN", config.require_origin.to_string()),
        ("STATIC_DIR", path(&config.static_dir)),
        ("STATIC_MAX_FILES", config.static_max_files.to_string()),
        ("STATIC_MAX_MIB", config.static_max_mib.to_string()),
        ("WORKERS", config.workers.to_string()),
        ("MAX_CONNECTIONS", config.max_connections.to_string()),
        ("MAX_CONNS_PER_IP", optional(config.max_conns_per_ip)),
        ("IP_CONN_RATE", optional(config.ip_conn_rate)),
        ("IP_CONN_BURST", config.ip_conn_burst.to_string()),
        ("HTTP_CONNS_PER_IP", optional(config.http_conns_per_ip)),
        ("HTTP_RATE", optional(config.http_rate)),
        ("HTTP_BURST", config.http_burst.to_string()),
        ("HTTP_MIN_RATE", config.http_min_rate.to_string()),
        ("KEEPALIVE_TIMEOUT_SEC", config.keepalive_timeout_s.to_string()),
        ("TRUSTED_PROXIES", networks.join(",")),
        ("PROXY_PROTOCOL", config.proxy_protocol.to_string()),
        ("TICK_RATE", config.tick_rate_hz.to_string()),
        ("BATCH_INTERVAL_MS", config.batch_interval_ms.to_string()),
        ("SYNC_INTERVAL_SEC", config.sync_interval_s.to_string()),
        ("MAX_VISIBLE", config.max_visible.to_string()),
        ("WORLD_WIDTH", config.world_width.to_string()),
        ("WORLD_HEIGHT", config.world_height.to_string()),
        ("SPAWN_MIN_X", config.spawn_min_x.to_string()),
        ("SPAWN_MAX_X", config.spawn_max_x.to_string()),
        ("SPAWN_MIN_Y", config.spawn_min_y.to_string()),
        ("SPAWN_MAX_Y", config.spawn_max_y.to_string()),
        ("SPAWN_SEED", config.spawn_seed.map_or(String::new(), |seed| seed.to_string())),
        ("PLAYER_SPEED", config.player_speed.to_string()),
        ("ATTACK_DURATION_MS", config.attack_duration_ms.to_string()),
        ("RESUME_TTL_SEC", config.resume_ttl_s.to_string()),
        ("COOKIE_PATH", config.cookie_path.clone()),
        ("STATE_DIR", path(&config.state_dir)),
        ("CLUSTER_URL", config.cluster_url.as_ref().map_or("", Secret::reveal).to_owned()),
        ("CLUSTER_SECRET", config.cluster_secret.as_ref().map_or("", Secret::reveal).to_owned()),
        ("CLUSTER_WORLD", config.cluster_world.clone()),
        ("NODE_NAME", config.node_name.clone().unwrap_or_default()),
        ("RATE_LIMIT_MSG_SEC", config.rate_limit_msg_per_s.to_string()),
        ("RATE_LIMIT_BURST", config.rate_limit_burst.to_string()),
        ("READ_BUFFER_SIZE", config.read_buffer_bytes.to_string()),
        ("WRITE_BUFFER_SIZE", config.write_buffer_bytes.to_string()),
        ("PING_INTERVAL_SEC", config.ping_interval_s.to_string()),
        ("IDLE_TIMEOUT_SEC", config.idle_timeout_s.to_string()),
        ("WRITE_STALL_SEC", config.write_stall_s.to_string()),
        ("SHUTDOWN_TIMEOUT_SEC", config.shutdown_timeout_s.to_string()),
        ("LOG_LEVEL", config.log_level.to_string().to_ascii_lowercase()),
        ("LOG_FILE", path(&config.log_file)),
        ("LOG_FORMAT", config.log_format.to_string()),
        ("DEBUG", config.debug.to_string()),
    ]
}
