//! Tests of [`parse`]. `command_line` tests the forms of a flag.

use std::collections::BTreeMap;

use super::*;
use crate::ops::secret::Secrecy;

pub(super) type Env<'a> = &'a [(&'a str, &'a str)];

pub(super) fn command(args: &[&str], env: Env) -> Result<Command, ConfigError> {
    let env: BTreeMap<_, _> = env.iter().copied().collect();
    parse(args.iter().map(OsString::from), |variable| env.get(variable).map(OsString::from))
}

fn run(args: &[&str], env: Env) -> (Config, Vec<String>) {
    match command(args, env) {
        Ok(Command::Run(config, notices)) => (config, notices),
        other => panic!("{other:?}"),
    }
}

pub(super) fn config(args: &[&str], env: Env) -> Config {
    run(args, env).0
}

pub(super) fn problems(args: &[&str], env: Env) -> Vec<String> {
    command(args, env).unwrap_err().problems
}

fn printed(env: Env) -> String {
    match command(&["--print-config"], env) {
        Ok(Command::PrintConfig(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn lines(text: &str) -> Vec<(&str, &str)> {
    text.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| !name.starts_with('#')).collect()
}

fn workers_here() -> usize {
    default_workers(thread::available_parallelism().unwrap().get())
}

/// Every setting with a valid value that is not its default.
const ALL_CHANGED: Env = &[
    ("HOST", "::1"),
    ("PORT", "65535"),
    ("REUSE_PORT", "true"),
    ("ADMIN_ADDR", "[::1]:9108-9111"),
    ("ALLOWED_ORIGINS", "https://*.example.com:8443,null,file://"),
    ("REQUIRE_ORIGIN", "true"),
    ("AUTH", "jwt"),
    ("AUTH_KEYS", "/proc/version"),
    ("AUTH_COOKIE", "__Host-site.user"),
    ("AUTH_AUDIENCE", "https://game.example/"),
    ("AUTH_LEEWAY_SEC", "600"),
    ("AUTH_SESSIONS_PER_SUB", "1000"),
    ("STATIC_DIR", "/"),
    ("STATIC_MAX_FILES", "1000000"),
    ("STATIC_MAX_MIB", "65536"),
    ("WORKERS", "63"),
    ("MAX_CONNECTIONS", "1000000"),
    ("MAX_CONNS_PER_IP", "1000000"),
    ("IP_CONN_RATE", "100000"),
    ("IP_CONN_BURST", "0"),
    ("HTTP_CONNS_PER_IP", "512"),
    ("HTTP_RATE", "1000000"),
    ("HTTP_BURST", "0"),
    ("HTTP_MIN_RATE", "0"),
    ("KEEPALIVE_TIMEOUT_SEC", "600"),
    ("TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.1/32,2001:db8::/32"),
    ("PROXY_PROTOCOL", "true"),
    ("TICK_RATE", "128"),
    ("BATCH_INTERVAL_MS", "1000"),
    ("SYNC_INTERVAL_SEC", "300"),
    ("MAX_VISIBLE", "4096"),
    ("WORLD_WIDTH", "65535"),
    ("WORLD_HEIGHT", "65534"),
    ("SPAWN_MIN_X", "65534"),
    ("SPAWN_MAX_X", "65535"),
    ("SPAWN_MIN_Y", "0"),
    ("SPAWN_MAX_Y", "1"),
    ("SPAWN_SEED", "18446744073709551615"),
    ("PLAYER_SPEED", "5.33"),
    ("ATTACK_DURATION_MS", "60000"),
    ("RESUME_TTL_SEC", "86400"),
    ("COOKIE_PATH", "/game"),
    ("STATE_DIR", "/"),
    ("CONTROL_SOCKET", "/run/game/control.sock"),
    ("CLUSTER_URL", "redis://[::1]:6380/3"),
    ("CLUSTER_SECRET", "0123456789abcdef0123456789abcdef"),
    ("CLUSTER_WORLD", "arena-2"),
    ("NODE_NAME", "box_1.example:8108"),
    ("RATE_LIMIT_MSG_SEC", "10000"),
    ("RATE_LIMIT_BURST", "100000"),
    ("READ_BUFFER_SIZE", "65536"),
    ("WRITE_BUFFER_SIZE", "65535"),
    ("PING_INTERVAL_SEC", "3600"),
    ("IDLE_TIMEOUT_SEC", "7200"),
    ("WRITE_STALL_SEC", "3600"),
    ("SHUTDOWN_TIMEOUT_SEC", "300"),
    ("LOG_LEVEL", "trace"),
    ("LOG_FILE", "/var/log/a name=with spaces.log"),
    ("LOG_FORMAT", "json"),
    ("DEBUG", "true"),
];

#[test]
fn nothing_given_selects_the_defaults() {
    assert_eq!(run(&[], &[]), (Config::default(), vec![]));
    assert_eq!(Config::default().workers, workers_here());
}

#[test]
fn a_flag_wins_over_a_variable() {
    let config = config(&["-port=1"], &[("PORT", "2"), ("TICK_RATE", "30"), ("HOST", "localhost")]);
    assert_eq!((config.port, config.tick_rate_hz), (1, 30));
    assert_eq!(config.host, IpAddr::from([127, 0, 0, 1]));
    assert_eq!(self::config(&["--port", "1"], &[("PORT", "x")]).port, 1, "it also hides an invalid one");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    assert_eq!(config(&[], &[("PORT", ""), ("STATIC_DIR", ""), ("SPAWN_SEED", "")]), Config::default());
}

#[test]
fn an_empty_flag_unsets_only_an_optional_setting() {
    assert_eq!(
        config(&["--static-dir=", "--spawn-seed="], &[("STATIC_DIR", "/"), ("SPAWN_SEED", "1")]),
        Config::default()
    );
    assert_eq!(problems(&["--port="], &[]), ["--port '': expected a whole number from 0 to 65535"]);
}

#[test]
fn bounds_are_inclusive_and_a_value_beyond_is_reported_with_the_range() {
    let mut checked = 0;
    for setting in SETTINGS {
        let Allowed::Whole { min, max } = setting.allowed else { continue };
        checked += 1;
        for bound in [min, max] {
            // Bounds hold here; relations between settings may be violated.
            let problems = command(&[], &[(setting.variable, &bound.to_string())])
                .map_or_else(|e| e.problems, |_| vec![]);
            assert!(problems.iter().all(|line| !line.contains("expected")), "{problems:?}");
        }
        let beyond = [
            min.checked_sub(1).map_or("-1".to_owned(), |n| n.to_string()),
            (u128::from(max) + 1).to_string(),
        ];
        for value in beyond.into_iter().chain(["ten".to_owned(), "1.5".to_owned(), "6 0".to_owned()]) {
            let range = format!("expected a whole number from {min} to {max}");
            assert_eq!(
                problems(&[], &[(setting.variable, &value)]),
                [format!("{}={value}: {range}", setting.variable)]
            );
            let flag = format!("--{}", setting.flag());
            assert_eq!(problems(&[&flag, &value], &[]), [format!("{flag} {value}: {range}")]);
        }
    }
    assert_eq!(checked, 36);
}

#[test]
fn a_speed_may_have_decimals() {
    let speed = |text| config(&["--player-speed", text], &[]).player_speed.thousandths();
    assert_eq!(["1", "5.33", "5.333", "50.000"].map(speed), [1_000, 5_330, 5_333, 50_000]);
    for value in ["0.999", "50.001", "5.3333", "5,33", "fast"] {
        let expected = "expected a number from 1 to 50 with up to 3 decimals";
        assert_eq!(problems(&[], &[("PLAYER_SPEED", value)]), [format!("PLAYER_SPEED={value}: {expected}")]);
    }
}

#[test]
fn other_invalid_values_are_reported_with_the_allowed_values() {
    let address = "expected an IPv4 or IPv6 address or localhost";
    let level = "expected one of off, error, warn, warning, info, debug, trace";
    let switch = "expected one of true, false, 1, 0, yes, no, on, off";
    let directory = "expected the path of an existing directory";
    let file = "expected the path of a file";
    assert_eq!(problems(&["-H", "example.org"], &[]), [format!("--host example.org: {address}")]);
    assert_eq!(problems(&[], &[("LOG_LEVEL", "loud")]), [format!("LOG_LEVEL=loud: {level}")]);
    assert_eq!(problems(&["-debug=2"], &[]), [format!("--debug 2: {switch}")]);
    assert_eq!(problems(&["-s", "/dev/null"], &[]), [format!("--static-dir /dev/null: {directory}")]);
    assert_eq!(problems(&[], &[("LOG_FILE", "/")]), [format!("LOG_FILE=/: {file}")]);
    let admin = "expected ADDRESS:PORT or ADDRESS:FIRST-LAST, as in 127.0.0.1:9108 or [::1]:9108-9111";
    for value in ["9108", "localhost", "localhost:+1", "::1:9108", "a.example:1", "127.0.0.1:65536"] {
        assert_eq!(problems(&[], &[("ADMIN_ADDR", value)]), [format!("ADMIN_ADDR={value}: {admin}")]);
    }
    let origins = "expected * or a comma-separated list of origins (https://game.example:8443), \
                   subdomains of one (https://*.example.com), file:// or null";
    assert_eq!(
        problems(&["--allowed-origins=https://a/"], &[]),
        [format!("--allowed-origins https://a/: {origins}")]
    );
    assert_eq!(problems(&[], &[("LOG_FILE", "a\nb")]), [format!("LOG_FILE=a\\nb: {file}")]);
}

#[test]
fn violated_relations_name_both_settings_and_their_values() {
    for (args, env, expected) in [
        (
            &["--spawn-min-x=900"][..],
            &[][..],
            "--spawn-min-x 900: must be less than SPAWN_MAX_X=900 (the default)",
        ),
        (
            &[],
            &[("SPAWN_MIN_Y", "7"), ("SPAWN_MAX_Y", "6")],
            "SPAWN_MIN_Y=7: must be less than SPAWN_MAX_Y=6",
        ),
        (
            &["--spawn-max-x=501"],
            &[("WORLD_WIDTH", "500")],
            "--spawn-max-x 501: must be at most WORLD_WIDTH=500",
        ),
        (&[], &[("WORLD_HEIGHT", "899")], "SPAWN_MAX_Y=900 (the default): must be at most WORLD_HEIGHT=899"),
        (
            &["--idle-timeout-sec=9"],
            &[("PING_INTERVAL_SEC", "9")],
            "--idle-timeout-sec 9: must be greater than PING_INTERVAL_SEC=9",
        ),
        (
            &["--admin-addr=127.0.0.1:8108"],
            &[],
            "--admin-addr 127.0.0.1:8108: must be on another port than PORT=8108 (the default)",
        ),
        (
            &["--admin-addr=[::]:9"],
            &[("HOST", "127.0.0.1"), ("PORT", "9")],
            "--admin-addr [::]:9: must be on another port than PORT=9",
        ),
        (
            &["--proxy-protocol"],
            &[],
            "--proxy-protocol true: must be off unless a proxy is named by TRUSTED_PROXIES= (the default)",
        ),
    ] {
        assert_eq!(problems(args, env), [expected]);
    }
}

#[test]
fn relations_hold_at_their_limits() {
    let env = [
        ("SPAWN_MIN_X", "899"),
        ("WORLD_WIDTH", "900"),
        ("WORLD_HEIGHT", "900"),
        ("PING_INTERVAL_SEC", "59"),
    ];
    let of = |host, port, admin| config(&[], &[("HOST", host), ("PORT", port), ("ADMIN_ADDR", admin)]).port;
    assert_eq!(
        [of("127.0.0.1", "9", "127.0.0.2:9"), of("0.0.0.0", "9", "[::1]:9"), of("::", "0", "[::]:0")],
        [9, 9, 0]
    );
    let config = config(&[], &env);
    assert_eq!((config.spawn_min_x, config.spawn_max_x, config.world_width), (899, 900, 900));
}

#[test]
fn no_relation_is_checked_on_an_invalid_value() {
    let env = [("IDLE_TIMEOUT_SEC", "x"), ("PING_INTERVAL_SEC", "90")];
    assert_eq!(problems(&[], &env), ["IDLE_TIMEOUT_SEC=x: expected a whole number from 2 to 7200"]);
    let env = [("HOST", "x"), ("ADMIN_ADDR", "127.0.0.1:8108")];
    assert_eq!(problems(&[], &env).len(), 1);
    let env = [("IDLE_TIMEOUT_SEC", "20"), ("PING_INTERVAL_SEC", "x")];
    assert_eq!(problems(&[], &env), ["PING_INTERVAL_SEC=x: expected a whole number from 1 to 3600"]);
}

#[test]
fn all_problems_are_reported_one_per_line() {
    let env = [("PORT", "99999"), ("SPAWN_MAX_X", "100"), ("DEBUG", "\u{1}")];
    let error = command(&["--bogus", "-t", "0", "st\nart"], &env).unwrap_err();
    let text = error.to_string();
    let expected = [
        "--bogus: unknown flag; see --help",
        "argument 4: unexpected; see --help",
        "PORT=99999: expected a whole number from 0 to 65535",
        "--tick-rate 0: expected a whole number from 10 to 128",
        "DEBUG=\\u{1}: expected one of true, false, 1, 0, yes, no, on, off",
        "SPAWN_MIN_X=100 (the default): must be less than SPAWN_MAX_X=100",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(error.problems(), expected);
}

#[test]
fn debug_raises_the_log_level_and_never_lowers_it() {
    for (level, expected) in
        [("off", LevelFilter::Debug), ("WARN", LevelFilter::Debug), ("Trace", LevelFilter::Trace)]
    {
        for value in ["true", "1", "YES", "on"] {
            assert_eq!(config(&["-l", level], &[("DEBUG", value)]).log_level, expected);
        }
    }
    for value in ["false", "0", "no", "Off"] {
        let config = config(&[], &[("DEBUG", value)]);
        assert_eq!((config.debug, config.log_level), (false, LevelFilter::Info));
    }
    assert!(config(&["-debug"], &[("DEBUG", "false")]).debug);
}

#[test]
fn zero_workers_select_one_per_core_but_one_on_two_cores() {
    assert_eq!([1, 2, 3, 4, 64, 65].map(default_workers), [1, 1, 3, 4, 64, 64]);
    assert_eq!(config(&["-w=0"], &[("WORKERS", "3")]).workers, workers_here());
    assert_eq!(config(&[], &[("WORKERS", "3")]).workers, 3);
}

#[test]
fn each_setting_of_the_former_runtime_gives_a_notice_and_changes_nothing() {
    let args = ["-gomaxprocs=4", "--gogc", "off"];
    let env = [
        ("GOGC", "50"),
        ("GOMEMLIMIT", ""),
        ("EVENT_CHANNEL_SIZE", "5"),
        ("BROADCAST_WORKERS", "8"),
        ("RATE_LIMIT_WINDOW_MS", "1000"),
    ];
    let (config, notices) = run(&args, &env);
    assert_eq!(config, Config::default());
    let expected = [
        "--gomaxprocs has no effect: WORKERS sets the number of worker threads",
        "BROADCAST_WORKERS has no effect: WORKERS sets the number of worker threads",
        "RATE_LIMIT_WINDOW_MS has no effect: RATE_LIMIT_MSG_SEC and RATE_LIMIT_BURST limit messages without a window",
        "--gogc has no effect: memory per connection is bounded and needs no tuning",
        "EVENT_CHANNEL_SIZE has no effect: there is no event queue; WRITE_BUFFER_SIZE bounds the replies queued for \
         a client",
    ];
    assert_eq!(notices, expected);
    let checked = command(&["--check-config"], &[("GOMEMLIMIT", "1GiB")]).unwrap();
    let notice = "GOMEMLIMIT has no effect: memory per connection is bounded and needs no tuning";
    assert_eq!(checked, Command::CheckConfig(Config::default(), vec![notice.to_owned()]));
}

/// [`ALL_CHANGED`] without secrets, which are not printed.
fn printable() -> Vec<(&'static str, &'static str)> {
    let rows = ALL_CHANGED.iter().zip(SETTINGS);
    rows.filter(|(_, setting)| setting.secrecy != Secrecy::Whole).map(|(row, _)| *row).collect()
}

#[test]
fn a_printed_configuration_parses_to_the_same_configuration() {
    for env in [&*printable(), &[]] {
        let text = printed(env);
        assert_eq!(config(&[], &lines(&text)), config(&[], env));
        assert_eq!(printed(&lines(&text)), text);
    }
}

#[test]
fn a_printed_configuration_has_every_setting_with_its_effective_value() {
    assert_eq!(lines(&printed(ALL_CHANGED)), printable());
    let workers = workers_here().to_string();
    let defaults: Vec<_> = SETTINGS.iter().map(|setting| (setting.variable, setting.default)).collect();
    let text = printed(&[]);
    for ((line, default), changed) in lines(&text).into_iter().zip(&defaults).zip(ALL_CHANGED) {
        assert_eq!(line, if default.0 == "WORKERS" { ("WORKERS", &*workers) } else { *default });
        assert_ne!(default.1, changed.1, "{} must differ from its default", changed.0);
    }
    assert_eq!(lines(&text).len(), SETTINGS.len());
    assert!(printed(&[("DEBUG", "1")]).contains("LOG_LEVEL=debug\n"));
}

#[test]
fn help_describes_every_setting() {
    let Ok(Command::Help(help)) = command(&["-h"], &[]) else { panic!() };
    for setting in SETTINGS {
        let short = if setting.short.is_empty() { String::new() } else { format!(", -{}", setting.short) };
        let flag = format!("  --{}{short} ", setting.flag());
        let at = help.find(&flag).unwrap_or_else(|| panic!("{flag} is missing"));
        let entry: Vec<_> = help[at..].lines().take(2).collect();
        assert!(entry[0].ends_with(setting.help), "{entry:?}");
        let default = if setting.default.is_empty() { "unset" } else { setting.default };
        let values = format!("[{}: {}; default {default}]", setting.variable, setting.allowed);
        assert_eq!(entry[1].trim_start(), values);
    }
    for retired in RETIRED {
        assert!(help.contains(retired.variable));
    }
}

#[test]
fn help_and_version_ignore_invalid_settings() {
    let env = [("PORT", "x")];
    let version = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned();
    assert_eq!(command(&["-V", "--tick-rate=0"], &env), Ok(Command::Version(version)));
    assert!(matches!(command(&["--version", "--help"], &env), Ok(Command::Help(_))));
}

#[test]
fn the_other_actions_validate_first() {
    let valid = Command::CheckConfig(Config::default(), vec![]);
    assert_eq!(command(&["-check-config"], &[]), Ok(valid));
    let expected = Config { port: 9, ..Config::default() };
    assert_eq!(command(&["--health-check", "-p=9"], &[]), Ok(Command::HealthCheck(expected)));
    for action in ["--check-config", "--print-config", "--health-check"] {
        assert_eq!(
            problems(&[action], &[("PORT", "x")]),
            ["PORT=x: expected a whole number from 0 to 65535"]
        );
    }
}

#[test]
fn a_reload_applies_live_settings_and_reports_the_others() {
    let (before, fresh) = (config(&[], &[]), config(&[], ALL_CHANGED));
    let reloaded = before.reloaded(fresh.clone());
    let now = reloaded.config.values();
    for (((setting, now), (_, before)), (_, fresh)) in now.iter().zip(before.values()).zip(fresh.values()) {
        assert_eq!(*now, if setting.is_live { fresh } else { before }, "{}", setting.variable);
    }
    let variables = |changes: &[Change]| changes.iter().map(|change| change.variable).collect::<Vec<_>>();
    let of = |is_live: bool| {
        let settings = SETTINGS.iter().filter(|setting| setting.is_live == is_live);
        settings.map(|setting| setting.variable).collect::<Vec<_>>()
    };
    assert_eq!(variables(&reloaded.changes), of(true));
    assert_eq!(variables(&reloaded.needs_restart), of(false));
    let again = reloaded.config.reloaded(reloaded.config.clone());
    assert_eq!((again.changes, again.needs_restart), (vec![], vec![]));
}
