//! The way to Redis and back. The loop never waits for it: what it says goes into a bounded channel, what comes lies in another
//! one, and whatever does not fit is lost, as anything on the bus may be.
//!
//! Two threads have a connection each. The *commander* publishes and keeps the ids; the *subscriber* does nothing but read. It
//! would not notice that it is to listen to other channels, so it always listens to one of its own, on which the commander wakes
//! it: when the channels have changed, and twice a second in any case, so that a subscriber that hears nothing for long knows
//! that its connection is dead.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisResult};

use super::message::NodeId;
use super::{Channel, Outgoing};
use crate::limits::{
    BEAT_MS, BUS_NEWS_MAX, BUS_ORDERS_MAX, LEASE_IDS, LINK_BACKOFF_MS, LINK_STOP_MS, LINK_TIMEOUT_MS,
    PLAYER_ID_FIRST,
};
use crate::resume::{Keepsake, Saved, Ticket};

/// Channels in one SUBSCRIBE.
const CHANNELS_AT_ONCE: usize = 1_000;

/// Keys in one write.
const KEYS_AT_ONCE: usize = 1_000;

/// Raises the counter above all ids known to be taken, and takes some more if there are any to be taken: without a counter,
/// somebody else might be about to raise it, so that it is only made when that was waited for.
const LEASE: &str = "
local counter = tonumber(redis.call('GET', KEYS[1]) or '0')
if counter == 0 and ARGV[3] == '0' then return 0 end
if counter < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return redis.call('INCRBY', KEYS[1], ARGV[2])";

/// Where the bus is, and which world this is.
#[derive(Debug, Clone)]
pub struct Address {
    url: String,
    /// Host, port and database: what may be shown.
    shown: String,
    world: String,
    node: NodeId,
}

/// What the commander is to do.
#[derive(Debug)]
pub enum Order {
    /// Say this.
    Say(Vec<Outgoing>),
    /// The channels have changed.
    Listen,
    /// Ids below this are taken.
    Raise(u32),
    /// Keep these for so many seconds.
    Keep(Vec<Keepsake>, u32),
    /// Give out what is kept under this ticket, once.
    Fetch(Ticket),
    /// Get more ids, all above this one; where there is no counter yet, perhaps make one.
    Lease {
        /// Ids below this are taken.
        above: u32,
        /// Whether a missing counter is made.
        may_begin: bool,
    },
}

/// What the loop is told.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// Somebody said this.
    Message(Vec<u8>),
    /// Ids were granted.
    Leased(Range<u32>),
    /// What was kept under this ticket, if anything.
    Fetched(Ticket, Option<Record>),
}

/// What is kept under a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The process that had its player.
    pub node: NodeId,
    /// Whether it has left there.
    pub has_left: bool,
    /// Where it was.
    pub saved: Saved,
}

impl Record {
    /// The format, so that whoever reads another one knows that it does.
    const VERSION: u8 = 1;

    const BYTES: usize = 2 + size_of::<NodeId>() + Saved::BYTES;

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION, u8::from(self.has_left)];
        bytes.extend_from_slice(&self.node.to_le_bytes());
        bytes.extend_from_slice(&self.saved.to_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let ([version, has_left], rest) = bytes.split_first_chunk::<2>()?;
        let (node, saved) = rest.split_first_chunk()?;
        if (*version, *has_left > 1) != (Self::VERSION, false) {
            return None;
        }
        let saved = Saved::from_bytes(saved.try_into().ok()?)?;
        Some(Self { node: NodeId::from_le_bytes(*node), has_left: *has_left == 1, saved })
    }
}

/// What is counted on both threads.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages said.
    pub messages_out: AtomicU64,
    /// Their bytes.
    pub bytes_out: AtomicU64,
    /// Messages heard, one's own included.
    pub messages_in: AtomicU64,
    /// Their bytes.
    pub bytes_in: AtomicU64,
    /// Orders and messages for which there was no room.
    pub dropped: AtomicU64,
    /// Connections that failed or broke.
    pub failures: AtomicU64,
}

struct Shared {
    address: Address,
    client: Client,
    wake: Box<dyn Fn() + Send + Sync>,
    listens_to: Mutex<BTreeSet<Channel>>,
    is_commanding: AtomicBool,
    is_subscribed: AtomicBool,
    /// How many connections there have been.
    generation: AtomicU64,
    is_over: AtomicBool,
    counts: Counts,
}

/// The link, from the loop's side.
pub struct Link {
    orders: Option<SyncSender<Order>>,
    news: Receiver<News>,
    commander_ended: Receiver<()>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Link").field("to", &self.shared.address.shown).finish_non_exhaustive()
    }
}

impl Address {
    /// Takes a URL apart: `redis://[user:password@]host[:port][/db]`, without TLS.
    pub fn parse(url: &str) -> Option<(String, String)> {
        if !url.starts_with("redis://") {
            return None;
        }
        let info = url.into_connection_info().ok()?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return None };
        let is_whole = !host.is_empty() && !url.contains(char::is_whitespace);
        is_whole.then(|| (url.to_owned(), format!("{host}:{port}/{}", info.redis_settings().db())))
    }

    /// The bus at this URL, for this process of this world; `None` if it is no URL that [`Address::parse`] takes.
    pub fn new(url: &str, world: &str, node: NodeId) -> Option<Self> {
        let (url, shown) = Self::parse(url)?;
        Some(Self { url, shown, world: world.to_owned(), node })
    }

    fn channel(&self, channel: Channel) -> String {
        match channel {
            Channel::All => format!("pixi:{}:all", self.world),
            Channel::Region(region) => format!("pixi:{}:region:{region}", self.world),
        }
    }

    fn wake_channel(&self) -> String {
        format!("pixi:{}:wake:{:016x}", self.world, self.node)
    }

    /// Whoever can read the keys of the bus can be anybody: it is to be as private as the servers.
    fn key_of(&self, ticket: Ticket) -> String {
        format!("pixi:{}:resume:{:032x}", self.world, ticket.number())
    }

    fn counter(&self) -> String {
        format!("pixi:{}:ids", self.world)
    }
}

impl Link {
    /// Starts both threads. `wake` is called when there is news.
    ///
    /// # Errors
    /// When the operating system refuses a thread, or the client library the address.
    pub fn start(address: Address, wake: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        let client = Client::open(address.url.as_str()).map_err(io::Error::other)?;
        let (orders, ordered) = sync_channel(BUS_ORDERS_MAX);
        let (tell, news) = sync_channel(BUS_NEWS_MAX);
        let (ended, commander_ended) = sync_channel(1);
        let shared = Arc::new(Shared {
            address,
            client,
            wake: Box::new(wake),
            listens_to: Mutex::new(BTreeSet::from([Channel::All])),
            is_commanding: AtomicBool::new(false),
            is_subscribed: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            counts: Counts::default(),
        });
        let commander = Commander { shared: Arc::clone(&shared), news: tell.clone() };
        thread::Builder::new().name("bus-commander".to_owned()).spawn(move || {
            commander.run(&ordered);
            // Nobody listens any more when that took too long.
            let _ = ended.send(());
        })?;
        let subscriber = Subscriber { shared: Arc::clone(&shared), news: tell };
        thread::Builder::new().name("bus-subscriber".to_owned()).spawn(move || subscriber.run())?;
        Ok(Self { orders: Some(orders), news, commander_ended, shared })
    }

    /// Where it leads to, without the password.
    pub fn shown(&self) -> &str {
        &self.shared.address.shown
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Whether both connections stand.
    pub fn is_up(&self) -> bool {
        self.shared.is_commanding.load(Ordering::Acquire) && self.shared.is_subscribed.load(Ordering::Acquire)
    }

    /// A number that grows with every connection.
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// Gives an order; lost when there is no room. Returns whether there was.
    pub fn order(&self, order: Order) -> bool {
        let Some(orders) = &self.orders else { return false };
        let is_taken = orders.try_send(order).is_ok();
        self.shared.counts.dropped.fetch_add(u64::from(!is_taken), Ordering::Relaxed);
        is_taken
    }

    /// Listens to these channels from now on.
    pub fn listen(&self, channels: BTreeSet<Channel>) {
        *self.shared.listens_to.lock().unwrap_or_else(PoisonError::into_inner) = channels;
        // If that is lost, the next beat wakes the subscriber.
        self.order(Order::Listen);
    }

    /// The next piece of news, if there is one.
    pub fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.orders = None;
        // What was ordered last is a farewell.
        let _ = self.commander_ended.recv_timeout(Duration::from_millis(LINK_STOP_MS));
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn connect(&self) -> RedisResult<redis::Connection> {
        let timeout = Duration::from_millis(LINK_TIMEOUT_MS);
        let connection = self.client.get_connection_with_timeout(timeout)?;
        connection.set_read_timeout(Some(timeout))?;
        connection.set_write_timeout(Some(timeout))?;
        Ok(connection)
    }

    fn pass_on(&self, news: &SyncSender<News>, piece: News) {
        match news.try_send(piece) {
            Ok(()) => (self.wake)(),
            Err(TrySendError::Full(_)) => {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    fn note_failure(&self, failures: u32, error: &redis::RedisError) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        if failures == 0 && !self.is_over() {
            log::warn!("the bus at {} does not answer: {error}; trying again", self.address.shown);
        }
    }
}

/// How long to wait before the next attempt after so many failures: longer each time, and by chance, so that not all processes
/// come back at once.
fn backoff(failures: u32) -> Duration {
    let most_ms = LINK_BACKOFF_MS.start << failures.min(10);
    let most_ms = most_ms.min(LINK_BACKOFF_MS.end);
    let chance = u64::from(getrandom::u32().unwrap_or(0));
    Duration::from_millis(most_ms / 2 + most_ms / 2 * chance / u64::from(u32::MAX))
}

struct Commander {
    shared: Arc<Shared>,
    news: SyncSender<News>,
}

impl Commander {
    fn run(&self, orders: &Receiver<Order>) {
        let mut failures = 0;
        while !self.shared.is_over() {
            let result = self.shared.connect().and_then(|connection| {
                failures = 0;
                self.shared.generation.fetch_add(1, Ordering::AcqRel);
                self.shared.is_commanding.store(true, Ordering::Release);
                self.obey(connection, orders)
            });
            self.shared.is_commanding.store(false, Ordering::Release);
            let Err(error) = result else { return };
            self.shared.note_failure(failures, &error);
            let until = Instant::now() + backoff(failures);
            failures += 1;
            // What is ordered meanwhile is lost, as if it had been said.
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                if matches!(orders.recv_timeout(left), Err(RecvTimeoutError::Disconnected)) {
                    return;
                }
            }
        }
    }

    /// Until the connection breaks, or nothing will be ordered any more.
    fn obey(&self, mut connection: redis::Connection, orders: &Receiver<Order>) -> RedisResult<()> {
        let beat = Duration::from_millis(BEAT_MS);
        let mut woke = None;
        loop {
            if woke.is_none_or(|woke: Instant| woke.elapsed() >= beat) {
                self.wake_subscriber(&mut connection)?;
                woke = Some(Instant::now());
            }
            match orders.recv_timeout(beat) {
                Ok(Order::Say(said)) => self.say(&mut connection, &said)?,
                Ok(Order::Listen) => self.wake_subscriber(&mut connection)?,
                Ok(Order::Raise(above)) => {
                    self.lease(&mut connection, above, 0, true)?;
                }
                Ok(Order::Lease { above, may_begin }) => {
                    let end = self.lease(&mut connection, above, LEASE_IDS, may_begin)?;
                    self.pass_on_ids(end);
                }
                Ok(Order::Keep(keepsakes, ttl_s)) => self.keep(&mut connection, &keepsakes, ttl_s)?,
                Ok(Order::Fetch(ticket)) => self.fetch(&mut connection, ticket)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn keep(
        &self,
        connection: &mut redis::Connection,
        keepsakes: &[Keepsake],
        ttl_s: u32,
    ) -> RedisResult<()> {
        let node = self.shared.address.node;
        for keepsakes in keepsakes.chunks(KEYS_AT_ONCE) {
            let mut pipe = redis::pipe();
            for &Keepsake { ticket, saved, has_left } in keepsakes {
                let record = Record { node, has_left, saved };
                let key = self.shared.address.key_of(ticket);
                pipe.cmd("SET").arg(key).arg(record.to_bytes()).arg("EX").arg(ttl_s).ignore();
            }
            pipe.exec(connection)?;
        }
        Ok(())
    }

    fn fetch(&self, connection: &mut redis::Connection, ticket: Ticket) -> RedisResult<()> {
        let bytes: Option<Vec<u8>> =
            redis::cmd("GETDEL").arg(self.shared.address.key_of(ticket)).query(connection)?;
        let record = bytes.as_deref().and_then(Record::from_bytes);
        self.shared.pass_on(&self.news, News::Fetched(ticket, record));
        Ok(())
    }

    fn wake_subscriber(&self, connection: &mut redis::Connection) -> RedisResult<()> {
        redis::cmd("PUBLISH").arg(self.shared.address.wake_channel()).arg("").exec(connection)
    }

    /// All that is said goes in one write and is answered in one.
    fn say(&self, connection: &mut redis::Connection, said: &[Outgoing]) -> RedisResult<()> {
        let mut pipe = redis::pipe();
        for Outgoing { channel, bytes } in said {
            pipe.cmd("PUBLISH").arg(self.shared.address.channel(*channel)).arg(bytes.as_slice()).ignore();
        }
        pipe.exec(connection)?;
        let counts = &self.shared.counts;
        counts.messages_out.fetch_add(said.len() as u64, Ordering::Relaxed);
        let bytes: usize = said.iter().map(|said| said.bytes.len()).sum();
        counts.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Raises the counter, and takes so many; returns where it stands now.
    fn lease(
        &self,
        connection: &mut redis::Connection,
        above: u32,
        count: u32,
        may_begin: bool,
    ) -> RedisResult<i64> {
        let mut command = redis::cmd("EVAL");
        command.arg(LEASE).arg(1).arg(self.shared.address.counter());
        command.arg(above.max(PLAYER_ID_FIRST)).arg(count).arg(u8::from(may_begin));
        command.query(connection)
    }

    fn pass_on_ids(&self, end: i64) {
        match u32::try_from(end) {
            // There is no counter yet.
            Ok(0) => {}
            Ok(end) => self.shared.pass_on(&self.news, News::Leased(end.saturating_sub(LEASE_IDS)..end)),
            Err(_) => log::error!("the bus at {} has no ids left: {end}", self.shared.address.shown),
        }
    }
}

struct Subscriber {
    shared: Arc<Shared>,
    news: SyncSender<News>,
}

impl Subscriber {
    fn run(&self) {
        let mut failures = 0;
        while !self.shared.is_over() {
            let Err(error) = self.listen(&mut failures) else { return };
            self.shared.is_subscribed.store(false, Ordering::Release);
            self.shared.note_failure(failures, &error);
            thread::sleep(backoff(failures));
            failures += 1;
        }
    }

    /// Until the connection breaks, or nobody wants to know any more.
    fn listen(&self, failures: &mut u32) -> RedisResult<()> {
        let mut connection = self.shared.connect()?;
        let mut bus = connection.as_pubsub();
        let wake_channel = self.shared.address.wake_channel();
        bus.subscribe(&wake_channel)?;
        let mut current = BTreeSet::new();
        self.follow(&mut bus, &mut current)?;
        // Several beats may be late.
        bus.set_read_timeout(Some(Duration::from_millis(4 * BEAT_MS)))?;
        *failures = 0;
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
        self.shared.is_subscribed.store(true, Ordering::Release);
        (self.shared.wake)();
        while !self.shared.is_over() {
            let message = bus.get_message()?;
            if message.get_channel_name() == wake_channel {
                self.follow(&mut bus, &mut current)?;
                continue;
            }
            let bytes = message.get_payload_bytes();
            self.shared.counts.messages_in.fetch_add(1, Ordering::Relaxed);
            self.shared.counts.bytes_in.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            self.shared.pass_on(&self.news, News::Message(bytes.to_vec()));
        }
        Ok(())
    }

    /// Subscribes to what is wanted and not to what is not.
    fn follow(&self, bus: &mut redis::PubSub<'_>, current: &mut BTreeSet<Channel>) -> RedisResult<()> {
        let wanted = self.shared.listens_to.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let names = |channels: &[Channel]| -> Vec<String> {
            channels.iter().map(|&channel| self.shared.address.channel(channel)).collect()
        };
        let (fresh, stale): (Vec<Channel>, Vec<Channel>) =
            (wanted.difference(current).copied().collect(), current.difference(&wanted).copied().collect());
        for channels in fresh.chunks(CHANNELS_AT_ONCE) {
            bus.subscribe(names(channels))?;
        }
        for channels in stale.chunks(CHANNELS_AT_ONCE) {
            bus.unsubscribe(names(channels))?;
        }
        *current = wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_nothing_else() {
        let saved = Saved { x: 1, y: 2, faces_right: true, viewport: Some((800, 600)) };
        let record = Record { node: 7, has_left: true, saved };
        let bytes = record.to_bytes();
        assert_eq!(Record::from_bytes(&bytes), Some(record));
        for cut in 0..bytes.len() {
            assert_eq!(Record::from_bytes(&bytes[..cut]), None);
        }
        for (at, value) in [(0, 2), (1, 2), (10, 4)] {
            let mut other = bytes.clone();
            other[at] = value;
            assert_eq!(Record::from_bytes(&other), None, "byte {at}");
        }
    }

    #[test]
    fn addresses_are_taken_apart_and_shown_without_secrets() {
        for (url, shown) in [
            ("redis://127.0.0.1", "127.0.0.1:6379/0"),
            ("redis://user:secret@bus.example:6380/3", "bus.example:6380/3"),
            ("redis://:secret@[::1]:1/0", "::1:1/0"),
        ] {
            assert_eq!(Address::parse(url).unwrap().1, shown, "{url}");
        }
        for url in [
            "",
            "redis://",
            "rediss://host",
            "unix:///socket",
            "redis://host:port",
            "redis://host/x",
            "host:1",
        ] {
            assert_eq!(Address::parse(url), None, "{url}");
        }
    }

    #[test]
    fn each_wait_is_longer_up_to_a_bound() {
        for failures in 0..40 {
            let waited_ms = backoff(failures).as_millis() as u64;
            assert!((LINK_BACKOFF_MS.start / 2..=LINK_BACKOFF_MS.end).contains(&waited_ms), "{waited_ms}");
        }
        assert!(backoff(9).as_millis() as u64 >= LINK_BACKOFF_MS.end / 2);
    }
}
