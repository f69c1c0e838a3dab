//! A store damaged in any way, before the start or while the server runs: the damage costs at most the saved sessions.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _, TableDefinition};

use nix::sys::signal::Signal;

use super::store::{cookie_of_a_stopped_server, settings, store_in};
use crate::support::raw::COOKIE;
use crate::support::{Client, folder};

/// Default number of damaged stores; `DAMAGED_STORES` overrides it.
const DAMAGED_STORES: u64 = 60;

const TABLE: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("sessions-2");
const FIRST_TABLE: TableDefinition<'_, u128, FirstRow> = TableDefinition::new("players-1");
type FirstRow = (u64, u16, u16, bool, Option<(u16, u16)>);

/// A small pseudo-random generator for the damage.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Damages a store: changes random or important bytes, writes zeros or noise, or truncates the file.
fn damage(bytes: &mut Vec<u8>, seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    match seed % 5 {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            let at = random.below(bytes.len() - 4096);
            bytes[at..at + 4096].fill(0);
        }
        4 => {
            let at = random.below(bytes.len() - 4096);
            for byte in &mut bytes[at..at + 4096] {
                *byte ^= random.below(256) as u8;
            }
        }
        kind => {
            // Most of the file is free space; its first pages are not.
            let span = if kind == 2 { bytes.len() } else { bytes.len().min(32 * 1024) };
            for _ in 0..=random.below(200) {
                let at = random.below(span);
                bytes[at] ^= 1 << random.below(8);
            }
        }
    }
}

#[test]
fn no_damage_prevents_a_start_or_a_stop() {
    let stores = std::env::var("DAMAGED_STORES").ok().and_then(|count| count.parse().ok());
    let folder = folder("resume-mutated");
    cookie_of_a_stopped_server(&folder);
    let whole = fs::read(store_in(&folder)).expect("the file");
    for seed in 0..stores.unwrap_or(DAMAGED_STORES) {
        let mut bytes = whole.clone();
        damage(&mut bytes, seed);
        fs::write(store_in(&folder), &bytes).expect("a damaged file");
        let mut server = settings(&folder).start();
        let client = Client::join(&server);
        assert!(client.cookie.is_some(), "seed {seed}");
        drop(client);
        server.wait_for_players(0);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait_for_exit().code(), Some(0), "seed {seed}: {}", server.log());
        let log = server.log();
        assert!(
            log.matches("set aside as").count() <= 1 && !log.contains("contained:"),
            "seed {seed}: {log}"
        );
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("the file").permissions().mode() & 0o777
}

#[test]
fn the_store_is_readable_only_by_its_owner() {
    let folder = folder("resume-mode");
    drop(settings(&folder).start());
    assert_eq!(mode_of(&store_in(&folder)), 0o600);
    fs::set_permissions(store_in(&folder), fs::Permissions::from_mode(0o664)).expect("a wider mode");
    drop(settings(&folder).start());
    assert_eq!(mode_of(&store_in(&folder)), 0o600);
}

#[test]
fn a_store_that_is_a_fifo_does_not_block_the_start() {
    let folder = folder("resume-fifo");
    nix::unistd::mkfifo(&store_in(&folder), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let server = settings(&folder).start();
    assert!(server.log().contains("not a regular file"), "{}", server.log());
}

/// Seconds since 1970.
fn unix_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("a clock after 1970").as_secs()
}

#[test]
fn sessions_of_an_earlier_version_are_restored() {
    let folder = folder("resume-first");
    let database = Database::create(store_in(&folder)).expect("a store");
    let transaction = database.begin_write().expect("a transaction");
    let mut table = transaction.open_table(FIRST_TABLE).expect("a table");
    table.insert(7, (unix_s(), 700, 710, true, Some((800, 600)))).expect("a row");
    drop(table);
    transaction.commit().expect("a commit");
    drop(database);
    let server = settings(&folder).start();
    let back = Client::reconnect(&server, &format!("{COOKIE}={:032x}", 7));
    assert_eq!(back.position(), (700, 710));
}

#[test]
fn the_store_keeps_at_most_its_limit_of_rows() {
    let folder = folder("resume-rows");
    let database = Database::create(store_in(&folder)).expect("a store");
    let transaction = database.begin_write().expect("a transaction");
    let mut table = transaction.open_table(TABLE).expect("a table");
    let now_s = unix_s();
    for number in 0..70_000u64 {
        // The first rows are the oldest; all are within the time for which sessions are kept.
        let saved_s = now_s - 200 + number / 400;
        let row = [&[1][..], &saved_s.to_le_bytes(), &[0, 244, 1, 28, 2, 0, 0, 0, 0, 0, 0, 232, 3]].concat();
        table.insert(u128::from(number), &*row).expect("a row");
    }
    drop(table);
    transaction.commit().expect("a commit");
    drop(database);
    let mut server = settings(&folder).start();
    assert_eq!(server.count("resumes_remembered"), 65_536);
    let back = Client::reconnect(&server, &format!("{COOKIE}={:032x}", 69_999));
    assert_eq!(back.position(), (500, 540));
    drop(back);
    server.terminate();
    let database = Database::open(store_in(&folder)).expect("the store");
    let table = database.begin_read().expect("a transaction").open_table(TABLE).expect("the table");
    let rows = table.len().expect("a count");
    assert!(rows <= 65_536, "{rows} rows");
    assert!(table.get(0).expect("a look").is_none() && table.get(69_000).expect("a look").is_some());
}
