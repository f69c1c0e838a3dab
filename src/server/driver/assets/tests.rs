//! Lookups find only the directory's files. Loads skip hidden names and outside links, and keep the limits.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::Path,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, UNIX_EPOCH},
};

use super::*;
use crate::server::core::assets::etag;
use crate::wire::http::{ContentCoding, http_date};

/// A directory that is removed when the test ends.
pub(super) struct TempDir(pub PathBuf);

impl TempDir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("assets-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Creates a directory with these files, each containing its own path.
    pub fn with_files(paths: &[&str]) -> Self {
        let dir = Self::new();
        for path in paths {
            dir.write(path, path.as_bytes());
        }
        dir
    }

    pub fn write(&self, path: &str, body: &[u8]) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
    }

    fn link(&self, from: &str, to: impl AsRef<Path>) {
        symlink(to, self.0.join(from)).unwrap();
    }

    pub fn load(&self) -> Assets {
        load_after(&self.0, &Assets::default())
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

pub(super) const AMPLE: Limits = Limits { files: 1_000, bytes: 1 << 20 };

pub(super) fn load_after(dir: &Path, previous: &Assets) -> Assets {
    load(dir, AMPLE, previous).unwrap()
}

pub(super) fn load_within(dir: &Path, files: usize, bytes: u64) -> Result<Assets, AssetError> {
    load(dir, Limits { files, bytes }, &Assets::default())
}

fn body<'a>(assets: &'a Assets, path: &str) -> Option<&'a str> {
    assets.lookup(path).map(|asset| str::from_utf8(&asset.body).unwrap())
}

#[test]
fn finds_files_and_indexes() {
    let dir = TempDir::with_files(&["index.html", "a b.txt", "js/app.js", "docs/index.html", "%41.txt"]);
    let assets = dir.load();
    for (path, file) in [
        ("/", "index.html"),
        ("/index.html", "index.html"),
        ("/a%20b.txt", "a b.txt"),
        ("/js/app.js", "js/app.js"),
        ("/%6As/app%2ejs", "js/app.js"),
        ("/docs/", "docs/index.html"),
        ("/%2541.txt", "%41.txt"),
    ] {
        assert_eq!(body(&assets, path), Some(file), "{path}");
    }
    for path in
        ["", "js/app.js", "/js", "/docs", "/js/", "//index.html", "/index.html/", "/A.txt", "/nothing"]
    {
        assert_eq!(body(&assets, path), None, "{path}");
    }
}

#[test]
fn recognizes_folders_with_an_index() {
    let dir = TempDir::with_files(&["index.html", "docs/a b/index.html", "docs/index.html", "js/app.js"]);
    let assets = dir.load();
    for path in ["/docs", "/docs/a%20b", "/%64ocs"] {
        assert!(assets.is_folder(path), "{path}");
    }
    for path in ["/", "/docs/", "//docs", "//", "/js", "/nothing", "/docs/../docs", "/index.html", "docs"] {
        assert!(!assets.is_folder(path), "{path}");
    }
}

#[test]
fn compressed_variants_belong_to_their_files() {
    let dir = TempDir::with_files(&[
        "app.js", "app.js.br", "only.css.br", "empty.js", "fake.js", "fake.js.gz", "a",
    ]);
    dir.write("app.js.gz", b"\x1f\x8b...");
    dir.write("a.gz", b"\x1f\x8b...");
    dir.write("empty.js.br", b"");
    let set = |name: &str, seconds| {
        let file = fs::File::open(dir.0.join(name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_millis(seconds)).unwrap();
    };
    let times =
        [("app.js", 9_900), ("app.js.br", 9_000), ("app.js.gz", 10_000), ("a", 10_000), ("a.gz", 9_999)];
    for (name, ms) in times {
        set(name, ms);
    }
    let assets = dir.load();
    let variants = |path| {
        let file = assets.lookup(path).unwrap();
        ContentCoding::ALL.map(|coding| file.encoded(coding).map(|variant| &variant.body[..]))
    };
    assert_eq!(variants("/app.js"), [Some(&b"app.js.br"[..]), Some(b"\x1f\x8b...")]);
    for path in ["/a", "/empty.js", "/fake.js", "/app.js.br", "/only.css.br"] {
        assert_eq!(variants(path), [None, None], "{path}");
        assert!(!assets.lookup(path).unwrap().has_encodings());
    }
    let file = assets.lookup("/app.js").unwrap();
    let (brotli, gzip) =
        (file.encoded(ContentCoding::Brotli).unwrap(), file.encoded(ContentCoding::Gzip).unwrap());
    assert_eq!((&brotli.content_type, brotli.modified), (&file.content_type, Some(http_date(9))));
    let own = assets.lookup("/app.js.br").unwrap();
    let tags = [&file.etag, &brotli.etag, &gzip.etag, &own.etag];
    assert!(tags.iter().all(|tag| tags.iter().filter(|other| *other == tag).count() == 1), "{tags:?}");
}

#[test]
fn refuses_paths_that_would_escape() {
    let outside = TempDir::with_files(&["secret.txt", "site/index.html", "site/a/b.txt"]);
    let assets = load_after(&outside.0.join("site"), &Assets::default());
    for path in [
        "/../secret.txt", "/%2e%2e/secret.txt", "/.%2E/secret.txt", "/..%2fsecret.txt",
        "/%252e%252e/secret.txt", "/a/../index.html", "/a/./b.txt", "/..\\secret.txt", "/..%5csecret.txt",
        "/index.html%00", "/index.html%", "/index.html%2", "/index.html%+1", "/%ff",
        "/%c0%ae%c0%ae/secret.txt",
    ] {
        assert_eq!(body(&assets, path), None, "{path}");
    }
    assert_eq!(body(&assets, "/a/b.txt"), Some("site/a/b.txt"));
}

#[test]
fn follows_only_links_that_stay_inside() {
    let outside = TempDir::with_files(&["secret.txt"]);
    let dir = TempDir::with_files(&["real/file.txt", ".hidden"]);
    dir.link("file.txt", "real/file.txt");
    dir.link("alias", "real");
    dir.link("out.txt", outside.0.join("secret.txt"));
    dir.link("out", &outside.0);
    dir.link("up", "..");
    dir.link("shown.txt", ".hidden");
    dir.link("broken", "nothing");
    let assets = dir.load();
    let mut found: Vec<_> = assets.by_path.keys().collect();
    found.sort();
    assert_eq!(found, ["alias/file.txt", "file.txt", "real/file.txt"]);
    assert_eq!(body(&assets, "/alias/file.txt"), Some("real/file.txt"));
}

#[test]
fn terminates_on_cyclic_links() {
    let dir = TempDir::with_files(&["a/one.txt", "b/two.txt"]);
    dir.link("a/self", ".");
    dir.link("a/root", "..");
    dir.link("a/to_b", "../b");
    dir.link("b/to_a", "../a");
    dir.link("knot", "knot");
    let assets = dir.load();
    assert_eq!(body(&assets, "/a/to_b/two.txt"), Some("b/two.txt"));
    assert_eq!(body(&assets, "/a/to_b/to_a/one.txt"), None);
    assert_eq!(assets.by_path.len(), 4);
}

#[test]
fn the_only_hidden_name_served_is_well_known_in_the_root() {
    let dir = TempDir::with_files(&[
        "index.html",
        ".env",
        ".git/config",
        "a/.git/config",
        ".well-known/security.txt",
        ".well-known/acme-challenge/token",
        ".well-known/.git/config",
        "a/.well-known/security.txt",
    ]);
    let assets = dir.load();
    let mut found: Vec<&str> = assets.by_path.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, [".well-known/acme-challenge/token", ".well-known/security.txt", "index.html"]);
    assert_eq!(body(&assets, "/.well-known/security.txt"), Some(".well-known/security.txt"));
    let notices = assets.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].1.contains("not served: 5;"), "{notices:?}");
}

#[test]
fn a_link_may_pass_hidden_directories_but_not_end_at_a_hidden_name() {
    let dir = TempDir::with_files(&[
        ".releases/42/index.html",
        ".releases/42/.env",
        ".releases/43/.well-known/security.txt",
        ".git/config",
        ".env",
    ]);
    dir.link("current", ".releases/42");
    dir.link("page.html", ".releases/42/index.html");
    dir.link(".well-known", ".releases/43/.well-known");
    dir.link("env", ".env");
    dir.link("git", ".git");
    dir.link("inner", ".releases/42/.env");
    dir.link(".hidden", ".releases/42/index.html");
    let assets = dir.load();
    let mut found: Vec<&str> = assets.by_path.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, [".well-known/security.txt", "current/index.html", "page.html"]);
    let root = fs::canonicalize(&dir.0).unwrap();
    for name in ["env", "git", "inner"] {
        let line = format!(
            "STATIC_DIR: not served: {}: the link points to a hidden file or directory",
            root.join(name).display()
        );
        assert!(assets.notices().iter().any(|(_, notice)| *notice == line), "{name}: {:?}", assets.notices());
    }
}

#[test]
fn each_skipped_link_is_logged_with_its_reason() {
    let outside = TempDir::with_files(&["secret.txt"]);
    let dir = TempDir::with_files(&["sub/one.txt"]);
    dir.link("out", outside.0.join("secret.txt"));
    dir.link("broken", "nothing");
    dir.link("through-a-file", "sub/one.txt/more");
    dir.link("knot", "knot");
    dir.link("sub/up", "..");
    let assets = dir.load();
    assert_eq!(assets.file_count(), 1);
    let mut reasons: Vec<String> = assets
        .notices()
        .iter()
        .map(|(_, line)| line.replace(fs::canonicalize(&dir.0).unwrap().to_str().unwrap(), ""))
        .collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "STATIC_DIR: not served: /broken: the link is broken",
            "STATIC_DIR: not served: /knot: the link is a loop",
            "STATIC_DIR: not served: /out: the link points outside the directory",
            "STATIC_DIR: not served: /sub/up: the link is a loop",
            "STATIC_DIR: not served: /through-a-file: the link is broken",
        ]
    );
}

#[test]
fn skips_directories_past_the_depth_limit() {
    let dir = TempDir::with_files(&[]);
    for number in 0..200 {
        dir.write(&format!(".chain/{number}/file"), b"x");
        dir.link(&format!(".chain/{number}/n"), format!("../{}", number + 1));
    }
    dir.link("start", ".chain/0");
    let assets = dir.load();
    assert_eq!(assets.file_count(), scan::DEPTH_MAX);
    let deepest = format!("/start/{}", "n/".repeat(scan::DEPTH_MAX - 1));
    assert_eq!(body(&assets, &format!("{deepest}file")), Some("x"));
    assert_eq!(body(&assets, &format!("{deepest}n/file")), None);
    let notices = assets.notices();
    assert!(notices.iter().any(|(_, line)| line.ends_with("/n: it is nested too deeply")), "{notices:?}");
}

#[test]
fn refuses_directories_over_the_limits() {
    let dir = TempDir::with_files(&["1", "2", "sub/3"]);
    assert_eq!(load_within(&dir.0, 4, 7).unwrap().by_path.len(), 3);
    let error = load_within(&dir.0, 3, 7).unwrap_err();
    assert!(matches!(error, AssetError::TooManyEntries(_, 3)), "{error}");
    let error = load_within(&dir.0, 4, 6).unwrap_err();
    assert!(matches!(error, AssetError::TooManyBytes(_, 6)), "{error}");
    let error = load_within(&dir.0.join("nothing"), 9, 9).unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
    assert!(matches!(load_within(&dir.0.join("1"), 9, 9), Err(AssetError::Read(..))));
}

#[test]
fn different_contents_have_different_tags() {
    let dir = TempDir::with_files(&["one.txt", "two.txt"]);
    let assets = dir.load();
    let (one, two) = (assets.lookup("/one.txt").unwrap(), assets.lookup("/two.txt").unwrap());
    assert_ne!(one.etag, two.etag);
    // The 64-bit FNV-1a test vector of "foobar".
    assert_eq!(etag(b"foobar"), "\"85944171f73967e8-6\"");
}

#[test]
fn a_file_has_the_date_of_its_last_modification() {
    let dir = TempDir::with_files(&["one.txt", "old.txt"]);
    let set = |name: &str, at| fs::File::open(dir.0.join(name)).unwrap().set_modified(at).unwrap();
    set("one.txt", UNIX_EPOCH + Duration::from_millis(784_111_777_900));
    set("old.txt", UNIX_EPOCH - Duration::from_secs(100));
    let assets = dir.load();
    assert_eq!(assets.lookup("/one.txt").unwrap().modified, Some(http_date(784_111_777)));
    assert_eq!(
        assets.lookup("/old.txt").unwrap().modified,
        Some(http_date(0)),
        "dates before 1970 are clamped"
    );
}
