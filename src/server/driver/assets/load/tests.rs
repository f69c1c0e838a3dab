//! Reloads: the files that are kept, read and skipped.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::super::tests::{AMPLE, TempDir, load_after, load_within};
use super::*;
use crate::wire::http::ContentCoding;

fn body<'a>(assets: &'a Assets, path: &str) -> &'a Arc<[u8]> {
    &assets.lookup(path).unwrap_or_else(|| panic!("{path} is not served")).body
}

#[test]
fn a_reload_compresses_only_the_changed_file() {
    let dir = TempDir::with_files(&[]);
    let text = |word: &str| word.repeat(1_000).into_bytes();
    dir.write("a.js", &text("alpha "));
    dir.write("b.js", &text("beta "));
    let before = dir.load();
    let gzip = |assets: &Assets, path| {
        let asset = assets.lookup(path).unwrap();
        Arc::clone(&asset.encoded(ContentCoding::Gzip).expect("a gzip variant").body)
    };
    dir.write("b.js", &text("gamma "));
    let after = load_after(&dir.0, &before);
    assert!(Arc::ptr_eq(&gzip(&before, "/a.js"), &gzip(&after, "/a.js")));
    assert_ne!(gzip(&before, "/b.js"), gzip(&after, "/b.js"));
    assert_eq!(after.compressed.len(), 2, "the old content is forgotten");
}

#[test]
fn a_reload_reads_only_the_changed_file() {
    let dir = TempDir::with_files(&["one", "sub/two", "three"]);
    let before = dir.load();
    assert_eq!(before.read_count(), 3);
    dir.write("sub/two", b"another text");
    let after = load_after(&dir.0, &before);
    assert_eq!((after.read_count(), after.file_count()), (1, 3));
    for path in ["/one", "/three"] {
        assert!(Arc::ptr_eq(body(&before, path), body(&after, path)), "{path}");
        assert_eq!(before.lookup(path).unwrap().etag, after.lookup(path).unwrap().etag);
    }
    assert_eq!(&**body(&after, "/sub/two"), b"another text");
    assert_ne!(before.lookup("/sub/two").unwrap().etag, after.lookup("/sub/two").unwrap().etag);
    assert_eq!(load_after(&dir.0, &after).read_count(), 0);
}

#[test]
fn detects_changes_that_keep_size_time_or_name() {
    let dir = TempDir::with_files(&["same-size", "replaced", "moved"]);
    let before = dir.load();
    // The same size, with the modification time set back.
    let path = dir.0.join("same-size");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, b"SAME-SIZE").unwrap();
    let set_time =
        |time: SystemTime| File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    set_time(modified + Duration::from_secs(1));
    set_time(modified);
    fs::write(dir.0.join("new"), b"REPLACED").unwrap();
    fs::rename(dir.0.join("new"), dir.0.join("replaced")).unwrap();
    fs::rename(dir.0.join("moved"), dir.0.join("elsewhere")).unwrap();
    let after = load_after(&dir.0, &before);
    assert_eq!(&**body(&after, "/same-size"), b"SAME-SIZE");
    assert_eq!(&**body(&after, "/replaced"), b"REPLACED");
    assert_eq!(&**body(&after, "/elsewhere"), b"moved");
    assert!(after.lookup("/moved").is_none());
}

#[test]
fn a_file_rewritten_with_the_same_content_keeps_its_bytes() {
    let dir = TempDir::with_files(&["one"]);
    let before = dir.load();
    fs::remove_file(dir.0.join("one")).unwrap();
    dir.write("one", b"one");
    let after = load_after(&dir.0, &before);
    assert!(Arc::ptr_eq(body(&before, "/one"), body(&after, "/one")));
}

#[test]
fn a_file_with_several_names_is_stored_and_counted_once() {
    let dir = TempDir::with_files(&["one"]);
    symlink("one", dir.0.join("link.html")).unwrap();
    fs::hard_link(dir.0.join("one"), dir.0.join("hard")).unwrap();
    let assets = load_within(&dir.0, 3, 3).unwrap();
    assert_eq!((assets.file_count(), assets.read_count()), (3, 1));
    assert!(Arc::ptr_eq(body(&assets, "/one"), body(&assets, "/hard")));
    assert_eq!(assets.lookup("/link.html").unwrap().content_type, "text/html; charset=utf-8");
}

#[test]
fn the_limits_are_checked_before_any_file_is_read() {
    let dir = TempDir::with_files(&["0", "1"]);
    // Large enough that reading it would be noticed; the file is sparse.
    File::create(dir.0.join("huge")).unwrap().set_len(1 << 40).unwrap();
    let error = load(&dir.0, AMPLE, &Assets::default()).unwrap_err();
    assert!(matches!(error, AssetError::TooManyBytes(..)), "{error}");
    assert!(error.to_string().ends_with("huge exceeds STATIC_MAX_MIB=1 for all files together"), "{error}");
    let error = load_within(&dir.0, 2, 1 << 60).unwrap_err();
    assert!(error.to_string().ends_with("exceeds STATIC_MAX_FILES=2 files and directories"), "{error}");
}

#[test]
fn a_file_that_grows_after_the_scan_stays_within_its_limit() {
    let dir = TempDir::with_files(&["one"]);
    let path = fs::canonicalize(dir.0.join("one")).unwrap();
    assert_eq!(&*read_file(&path, 3).unwrap().1, b"one");
    fs::write(&path, b"four").unwrap();
    assert!(matches!(read_file(&path, 3), Err(Failure::TooLarge)));
    let mut file = File::open(&path).unwrap();
    assert!(read_exactly(&mut file, 5).unwrap().is_none(), "a file that shrank is not served");
}

#[test]
fn a_file_with_several_names_that_shrinks_after_the_scan_is_counted_once() {
    let dir = TempDir::with_files(&["shrinking"]);
    fs::hard_link(dir.0.join("shrinking"), dir.0.join("hard")).unwrap();
    let scan = scan(&dir.0, Limits { files: 2, bytes: 9 }).unwrap();
    fs::write(dir.0.join("shrinking"), b"").unwrap();
    let assets = read_all(scan, &Assets::default()).unwrap();
    assert_eq!((assets.file_count(), assets.read_count()), (2, 1));
    assert!(
        body(&assets, "/hard").is_empty() && Arc::ptr_eq(body(&assets, "/hard"), body(&assets, "/shrinking"))
    );
}

#[test]
fn a_fifo_or_link_that_replaces_a_file_after_the_scan_is_not_read() {
    let (dir, outside) = (TempDir::with_files(&["one", "two"]), TempDir::with_files(&["secret"]));
    let root = fs::canonicalize(&dir.0).unwrap();
    let (fifo, link) = (root.join("one"), root.join("two"));
    fs::remove_file(&fifo).unwrap();
    fs::remove_file(&link).unwrap();
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    symlink(outside.0.join("secret"), &link).unwrap();
    assert!(matches!(read_file(&fifo, 9), Err(Failure::Unreadable(_))));
    assert!(matches!(read_file(&link, 9), Err(Failure::Changes)));
}

#[test]
fn a_directory_replaced_after_the_scan_is_scanned_again() {
    let dir = TempDir::with_files(&["..1/index.html"]);
    symlink("..1", dir.0.join("..data")).unwrap();
    symlink("..data/index.html", dir.0.join("index.html")).unwrap();
    let mut scans = 0;
    let rescan = || {
        let scan = scan(&dir.0, AMPLE);
        scans += 1;
        if scans == 1 {
            dir.write("..2/index.html", b"the second");
            symlink("..2", dir.0.join("..data_tmp")).unwrap();
            fs::rename(dir.0.join("..data_tmp"), dir.0.join("..data")).unwrap();
            fs::remove_dir_all(dir.0.join("..1")).unwrap();
        }
        scan
    };
    let assets = load_scanned(rescan, &Assets::default()).unwrap();
    assert_eq!(scans, 2);
    assert_eq!(&**body(&assets, "/index.html"), b"the second");
}

#[test]
fn the_number_of_scans_is_bounded() {
    let mut scans = 0;
    let rescan = || {
        let dir = TempDir::with_files(&["index.html", "one"]);
        scans += 1;
        scan(&dir.0, AMPLE)
    };
    let assets = load_scanned(rescan, &Assets::default()).unwrap();
    assert_eq!((scans, assets.file_count()), (SCANS_MAX, 0));
    let lines = assets.notices();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|(_, line)| line.contains("can't be read: No such file")), "{lines:?}");
}

/// A directory whose scanned file `one` has become a link to another: every attempt to read it fails.
fn changing() -> (TempDir, Scan) {
    let dir = TempDir::with_files(&["one", "two"]);
    fs::write(dir.0.join("one"), b"other").unwrap();
    let scan = scan(&dir.0, Limits { files: 9, bytes: 11 }).unwrap();
    fs::rename(dir.0.join("one"), dir.0.join("away")).unwrap();
    symlink("away", dir.0.join("one")).unwrap();
    (dir, scan)
}

#[test]
fn a_file_that_changes_while_it_is_read_is_skipped() {
    let (_dir, scan) = changing();
    let assets = read_all(scan, &Assets::default()).unwrap();
    assert!(assets.lookup("/one").is_none());
    assert_eq!(&**body(&assets, "/two"), b"two");
    let lines = assets.notices();
    assert!(lines.len() == 1 && lines[0].1.ends_with("/one: it changes while it is read"), "{lines:?}");
}

#[test]
fn a_file_that_changes_while_it_is_read_keeps_its_previous_content() {
    let before = TempDir::with_files(&["one", "two"]).load();
    let (_dir, scan) = changing();
    let assets = read_all(scan, &before).unwrap();
    assert!(Arc::ptr_eq(body(&assets, "/one"), body(&before, "/one")));
    let lines = assets.notices();
    assert!(lines.len() == 1 && lines[0].1.starts_with("STATIC_DIR: not updated: "), "{lines:?}");
    assert!(lines[0].1.contains("/one: it changes while it is read; the content of the previous load"));
}

#[test]
fn previous_content_is_kept_only_within_the_limit() {
    let before = TempDir::with_files(&["two"]);
    before.write("one", b"four");
    let (_dir, scan) = changing();
    let assets = read_all(scan, &before.load()).unwrap();
    assert!(assets.lookup("/one").is_none(), "8 bytes and 4 exceed 11");
}
