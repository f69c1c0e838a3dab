//! Tolerant parsing of values: surrounding spaces, brackets, lists.

use super::tests::{Env, config, problems};
use super::*;

#[test]
fn values_are_parsed_alike_from_flags_files_and_variables() {
    for (variable, written, read) in [
        ("PORT", " 9000 ", "9000"),
        ("PORT", "9000\r\n", "9000"),
        ("SPAWN_SEED", "\t7", "7"),
        ("SPAWN_SEED", "  ", ""),
        ("HOST", "[::]", "::"),
        ("HOST", " [::1]\u{a0}", "::1"),
        ("HOST", "LocalHost", "127.0.0.1"),
        ("ADMIN_ADDR", " [::]:9108 ", "[::]:9108"),
        ("ADMIN_ADDR", "Localhost:9108", "127.0.0.1:9108"),
        ("ADMIN_ADDR", "localhost:9108-9111", "127.0.0.1:9108-9111"),
        ("ADMIN_ADDR", "[::1]:9108-9108", "[::1]:9108"),
        ("TRUSTED_PROXIES", "[::1] , 10.0.0.0/8 ,", "::1/128,10.0.0.0/8"),
        ("TRUSTED_PROXIES", "[2001:db8::]/32,,", "2001:db8::/32"),
        ("ALLOWED_ORIGINS", "https://a.example , https://b.example, ", "https://a.example,https://b.example"),
        ("ALLOWED_ORIGINS", "*,", "*"),
        ("LOG_LEVEL", "Warning ", "warn"),
        ("LOG_LEVEL", "WARN", "warn"),
        ("LOG_FORMAT", "JSON ", "json"),
        ("DEBUG", " Yes", "true"),
        ("STATIC_DIR", " / ", "/"),
        ("LOG_FILE", "/var/log/a b.log ", "/var/log/a b.log"),
        ("NODE_NAME", "one ", "one"),
        ("CLUSTER_URL", "redis://[::1]:6380/3 ", "redis://[::1]:6380/3"),
        ("CLUSTER_URL", "redis+unix:///run/redis.sock ", "redis+unix:///run/redis.sock"),
    ] {
        let folder = std::env::temp_dir().join(format!("pixi-values-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("game.env");
        std::fs::write(&file, format!("{variable}=\"{}\"\n", written.trim_end_matches(['\r', '\n'])))
            .unwrap();
        let flag = format!("--{}={written}", settings::flag_of(variable));
        let of = |args: &[&str], env: Env| {
            let values = config(args, env).values();
            values.into_iter().find(|(setting, _)| setting.variable == variable).unwrap().1
        };
        assert_eq!(of(&[], &[(variable, written)]), read, "{variable}={written}");
        assert_eq!(of(&[&flag], &[]), read, "{flag}");
        assert_eq!(of(&["--env-file", file.to_str().unwrap()], &[]), read, "{variable}={written} in a file");
    }
}

#[test]
fn a_range_of_ports_is_neither_empty_nor_signed_and_excludes_the_public_port() {
    for value in [
        "127.0.0.1:9111-9108", "127.0.0.1:0-9108", "127.0.0.1:9108-", "127.0.0.1:9108-+9109", "::1-9108",
        "-:9",
    ] {
        let problem = &problems(&[], &[("ADMIN_ADDR", value)])[0];
        assert!(problem.starts_with(&format!("ADMIN_ADDR={value}: expected ADDRESS:PORT")), "{problem}");
    }
    let problem = &problems(&[], &[("HOST", "127.0.0.1"), ("ADMIN_ADDR", "127.0.0.1:8107-8109")])[0];
    assert!(problem.contains("on another port than PORT"), "{problem}");
}

#[test]
fn proxies_are_networks_and_single_addresses() {
    let list = "127.0.0.1, 10.1.2.3/8,::1,2001:db8::5/32";
    let networks: Vec<_> = config(&[], &[("TRUSTED_PROXIES", list)]).trusted_proxies;
    let shown: Vec<_> = networks.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["127.0.0.1/32", "10.0.0.0/8", "::1/128", "2001:db8::/32"]);
    let allowed = "expected a comma-separated list of addresses and networks such as 10.0.0.0/8";
    for value in [
        "proxy.example", "10.0.0.0/33", "10.0.0.1,,10.0.0.2", ",", "[10.0.0.1]", "10.0.0.1 10.0.0.2",
        "::ffff:10.0.0.1", "*",
    ] {
        let expected = format!("TRUSTED_PROXIES={value}: {allowed}");
        assert_eq!(problems(&[], &[("TRUSTED_PROXIES", value)]), [expected]);
    }
}

#[test]
fn a_cookie_path_cannot_end_its_attribute() {
    let longest = format!("/{}", "a".repeat(255));
    for path in ["/", "/game", "/game/", "/a,b=c%20", longest.as_str()] {
        assert_eq!(config(&[], &[("COOKIE_PATH", path)]).cookie_path, path);
    }
    let allowed =
        "expected a path that begins with /, of 1 to 256 visible ASCII characters, none of them a semicolon";
    let longer = longest.clone() + "a";
    for path in ["game", "/a;Domain=example", "/a b", "/a\u{7f}", "/\u{e9}", longer.as_str()] {
        let shown = path.replace('\u{7f}', "\\u{7f}");
        assert_eq!(problems(&[], &[("COOKIE_PATH", path)]), [format!("COOKIE_PATH={shown}: {allowed}")]);
    }
}
