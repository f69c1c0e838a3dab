//! Site directories of real deployments: Kubernetes volumes, releases behind links, unreadable entries.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::support::debian;
use crate::support::http::get;
use crate::support::process::{stderr_text, stdout_text, without};
use crate::support::wait::wait_until;
use crate::support::{Server, Settings, folder};

fn write(site: &Path, path: &str, text: &str) {
    let path = site.join(path);
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

fn settings(site: &Path) -> Settings {
    Settings::new().set("STATIC_DIR", site.to_str().expect("UTF-8"))
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("another mode");
}

/// Reloads, and returns the new log lines.
fn reload(server: &Server) -> String {
    let before = server.log();
    server.signal(Signal::SIGHUP);
    let text = || server.log().strip_prefix(&before).expect("a log only grows").to_owned();
    wait_until("the reload to end", || {
        let text = text();
        text.contains("files are served") || text.contains("[ERROR]")
    });
    text()
}

/// The body of a GET; `None` if the status is not 200.
fn served(server: &Server, path: &str) -> Option<String> {
    let response = get(server.address(), path);
    assert!([200, 404].contains(&response.status), "{path}: {response:?}");
    (response.status == 200).then(|| response.text().to_owned())
}

/// A volume as the kubelet writes it: links next to `..data`, which links to the folder of a version.
struct ConfigMap {
    site: PathBuf,
    last: Option<String>,
}

impl ConfigMap {
    /// Writes a version, swaps it in, and removes the previous one.
    fn publish(&mut self, version: &str, files: &[(&str, &str)]) {
        for (path, text) in files {
            write(&self.site.join(version), path, text);
            let first = path.split('/').next().expect("a name");
            let _ = symlink(Path::new("..data").join(first), self.site.join(first));
        }
        symlink(version, self.site.join("..data_tmp")).expect("a link");
        fs::rename(self.site.join("..data_tmp"), self.site.join("..data")).expect("the swap");
        if let Some(last) = self.last.replace(version.to_owned()) {
            fs::remove_dir_all(self.site.join(last)).expect("the previous version");
        }
    }
}

#[test]
fn a_kubernetes_volume_is_served_and_its_next_version_after_a_reload() {
    let mut volume = ConfigMap { site: folder("config-map"), last: None };
    let first = [("index.html", "first"), ("js/app.js", "1;"), (".well-known/security.txt", "Contact: a")];
    volume.publish("..2026_11_29_10_00_00.1234567890", &first);
    let server = settings(&volume.site).start();
    assert_eq!(served(&server, "/").as_deref(), Some("first"));
    assert_eq!(served(&server, "/js/app.js").as_deref(), Some("1;"));
    assert_eq!(served(&server, "/.well-known/security.txt").as_deref(), Some("Contact: a"));
    for path in ["/..data/index.html", "/..2026_11_29_10_00_00.1234567890/index.html"] {
        assert!(get(server.address(), path).status >= 400, "{path}");
    }
    assert!(!server.log().contains("not served: /"), "{}", server.log());
    volume.publish("..2026_11_29_11_00_00.987654321", &[("index.html", "second"), ("js/app.js", "2;")]);
    assert_eq!(served(&server, "/").as_deref(), Some("first"), "until the reload");
    let text = reload(&server);
    assert!(text.contains("2 files are served, 2 of them read"), "{text}");
    assert_eq!(served(&server, "/").as_deref(), Some("second"));
    assert_eq!(served(&server, "/js/app.js").as_deref(), Some("2;"));
    assert_eq!(served(&server, "/.well-known/security.txt"), None);
    assert!(text.contains("/.well-known: the link is broken"), "{text}");
}

#[test]
fn a_linked_directory_switches_releases_at_a_reload() {
    let root = folder("releases");
    write(&root, ".releases/1/index.html", "one");
    write(&root, ".releases/2/index.html", "two");
    symlink(".releases/1", root.join("current")).expect("a link");
    let server = settings(&root.join("current")).start();
    assert_eq!(served(&server, "/").as_deref(), Some("one"));
    symlink(".releases/2", root.join("next")).expect("a link");
    fs::rename(root.join("next"), root.join("current")).expect("the swap");
    reload(&server);
    assert_eq!(served(&server, "/").as_deref(), Some("two"));
}

#[test]
fn the_log_counts_hidden_entries_once_and_names_a_few_links() {
    let site = folder("left-out");
    for (path, text) in [("index.html", "a page"), (".env", "secret"), (".well-known/a", "well known")] {
        write(&site, path, text);
    }
    write(&site, ".git/config", "secret");
    write(&site, ".well-known/.git/config", "secret");
    write(&site, "sub/.well-known/a", "secret");
    for number in 0..1_000 {
        symlink("/etc/passwd", site.join(format!("link-{number}"))).expect("a link");
    }
    symlink("/etc/passwd", site.join("a\nb\u{202e}")).expect("a link");
    let server = settings(&site).start();
    for path in ["/.env", "/.git/config", "/.well-known/.git/config", "/sub/.well-known/a", "/link-1"] {
        assert_eq!(served(&server, path), None, "{path}");
    }
    assert_eq!(served(&server, "/.well-known/a").as_deref(), Some("well known"));
    let log = server.log();
    assert_eq!(log.matches("[INFO] STATIC_DIR: hidden files and directories not served: 4;").count(), 1);
    assert_eq!(log.matches("/link-").count() + log.matches("a\\nb\\u{202e}").count(), 5, "{log}");
    let rest = "996 more for the same reason: the link points outside the directory";
    assert!(log.contains(rest), "{log}");
    let mut check = settings(&site).command();
    let output = check.arg("--check-config").output().expect("the program runs");
    let text = stdout_text(&output);
    assert!(output.status.success() && text.contains(rest), "{text}");
}

#[test]
fn an_unreadable_entry_is_skipped_at_start_and_reload() {
    let site = folder("unreadable");
    write(&site, "index.html", "before");
    write(&site, "private.txt", "secret");
    write(&site, "locked/inside.txt", "secret");
    fs::create_dir(site.join("lost+found")).expect("a folder");
    let closed = ["private.txt", "locked", "lost+found"];
    for name in closed {
        set_mode(&site.join(name), 0);
    }
    let server = settings(&site).start_through(&without("dac"));
    let expect_warnings = |log: &str| {
        for name in closed {
            let line = format!("[WARN] STATIC_DIR: not served: {}", site.join(name).display());
            assert!(log.contains(&format!("{line}: it can't be read: Permission denied")), "{name}: {log}");
        }
    };
    expect_warnings(&server.log());
    write(&site, "index.html", "after");
    expect_warnings(&reload(&server));
    assert_eq!(served(&server, "/").as_deref(), Some("after"));
    assert_eq!(served(&server, "/private.txt"), None);
    for name in closed {
        set_mode(&site.join(name), 0o755);
    }
    let text = reload(&server);
    assert!(text.contains("3 files are served") && !text.contains("not served"), "{text}");
    // If the directory itself is unreadable, the reload changes nothing.
    set_mode(&site, 0);
    let text = reload(&server);
    set_mode(&site, 0o755);
    let problem =
        format!("reload: nothing changes: STATIC_DIR: can't read {}: Permission denied", site.display());
    assert!(text.contains(&problem), "{text}");
    assert_eq!(served(&server, "/private.txt").as_deref(), Some("secret"));
}

#[test]
fn an_unreadable_directory_is_a_start_error() {
    let site = folder("unreadable-root");
    set_mode(&site, 0);
    let output = settings(&site).command_through(&without("dac")).output().expect("the program runs");
    set_mode(&site, 0o755);
    let log = stderr_text(&output);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains(&format!("STATIC_DIR: can't read {}: Permission denied", site.display())), "{log}");
}

#[test]
fn a_file_with_read_errors_is_skipped_at_start_and_reload() {
    let site = folder("bad-block");
    write(&site, "index.html", "a page");
    write(&site, "broken.png", "unread");
    let broken = fs::canonicalize(site.join("broken.png")).expect("a path");
    let strace = debian::program("strace");
    let words = [strace.to_str(), Some("-D"), Some("-f"), Some("-qq"), Some("-o"), Some("/dev/null")];
    let rest = [
        Some("-P"),
        broken.to_str(),
        Some("-e"),
        Some("trace=read"),
        Some("-e"),
        Some("inject=read:error=EIO"),
    ];
    let wrapper: Vec<&str> = words.into_iter().chain(rest).map(|word| word.expect("UTF-8")).collect();
    let server = settings(&site).start_through(&wrapper);
    let line = format!("STATIC_DIR: not served: {}: it can't be read: Input/output error", broken.display());
    assert!(server.log().contains(&line), "{}", server.log());
    write(&site, "new.js", "1;");
    let text = reload(&server);
    assert!(text.contains(&line), "{text}");
    assert_eq!(served(&server, "/new.js").as_deref(), Some("1;"));
    assert_eq!(served(&server, "/broken.png"), None);
}

/// A site with a file at each path of a built-in resource.
fn overlapping(name: &str) -> PathBuf {
    let site = folder(name);
    for path in
        ["health", "ws", "play/index.html", "play/rules.json", "dashboard/index.html", "dashboard/app.js"]
    {
        write(&site, path, "the site's");
    }
    write(&site, "metrics/prometheus", "the site's");
    write(&site, "metrics/index.html", "the site's");
    write(&site, "playground.html", "the site's");
    site
}

const HIDES: &str = "[WARN] STATIC_DIR: files shadowed by built-in paths: ";

#[test]
fn site_files_may_use_admin_paths_with_an_admin_listener() {
    let site = overlapping("with-admin");
    let server = settings(&site).set("ADMIN_ADDR", "127.0.0.1:0").start();
    let admin = server.admin_address();
    for path in
        ["/dashboard/index.html", "/dashboard/", "/dashboard/app.js", "/metrics/prometheus", "/metrics/"]
    {
        assert_eq!(served(&server, path).as_deref(), Some("the site's"), "{path}");
    }
    let log = server.log();
    let hidden = "/health before health, /play before play/index.html, /play/rules.json before play/rules.json, \
                  /ws before ws";
    assert!(log.lines().any(|line| line.ends_with(&format!("{HIDES}{hidden}"))), "{log}");
    // The admin listener serves its own resources and no files.
    assert!(get(admin, "/metrics").text().contains("\"players\""));
    assert!(get(admin, "/metrics/prometheus").text().contains("pixi_players"));
    assert!(get(admin, "/dashboard").text().contains("<h1>pixi-game-server</h1>"));
    for path in
        ["/dashboard/app.js", "/dashboard/index.html", "/playground.html", "/play", "/play/", "/", "/ws/"]
    {
        assert_eq!(get(admin, path).status, 404, "{path}");
    }
}

#[test]
fn admin_paths_without_files_are_404_for_players() {
    let site = folder("without-files");
    write(&site, "index.html", "the site's");
    let server = settings(&site).set("ADMIN_ADDR", "127.0.0.1:0").start();
    for path in ["/metrics", "/metrics/prometheus", "/dashboard", "/dashboard/"] {
        assert_eq!(get(server.address(), path).status, 404, "{path}");
    }
    assert!(!server.log().contains("shadowed by"), "{}", server.log());
}

#[test]
fn the_log_names_site_files_hidden_by_built_in_resources() {
    let site = overlapping("without-admin");
    let server = settings(&site).start();
    let hidden = "/dashboard before dashboard/index.html, /health before health, /metrics before metrics/index.html, \
                  /metrics/prometheus before metrics/prometheus, /play before play/index.html, \
                  /play/rules.json before play/rules.json, /ws before ws";
    let log = server.log();
    assert!(log.lines().any(|line| line.ends_with(&format!("{HIDES}{hidden}"))), "{log}");
    assert_eq!(served(&server, "/dashboard/app.js").as_deref(), Some("the site's"));
    for path in ["/health", "/play", "/dashboard", "/metrics", "/metrics/prometheus"] {
        assert_ne!(served(&server, path).as_deref(), Some("the site's"), "{path}");
    }
    let text = reload(&server);
    assert_eq!(text.matches(HIDES).count(), 1, "{text}");
    let files =
        ["health", "ws", "play/index.html", "play/rules.json", "dashboard/index.html", "metrics/index.html"];
    for path in files {
        fs::remove_file(site.join(path)).expect("an existing file");
    }
    fs::remove_dir_all(site.join("metrics")).expect("an existing folder");
    let text = reload(&server);
    assert!(text.contains("2 files are served") && !text.contains(HIDES), "{text}");
}
