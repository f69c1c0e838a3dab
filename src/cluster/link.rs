//! The way to Redis and back. The loop never waits for it: what it says goes into a bounded channel, what comes lies in another
//! one, and whatever does not fit is lost, as anything on the bus may be.
//!
//! Two threads have a connection each. The *commander* publishes and keeps the ids; the *subscriber* does nothing but read. It
//! would not notice that it is to listen to other channels, so it always listens to one of its own, on which the commander wakes
//! it: when the channels have changed, and twice a second in any case, so that a subscriber that hears nothing for long knows
//! that its connection is dead.

mod address;
mod commander;
mod primary;
mod record;
mod subscriber;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use redis::{Client, RedisResult};

use super::authentication::{Seal, TAG_BYTES};
use super::ids::Bounds;
use super::{Channel, Outgoing};
use crate::limits::{
    BUS_COMMANDS_BYTES_MAX, BUS_COMMANDS_MAX, BUS_INBOX_BYTES_MAX, BUS_INBOX_MAX, LINK_BACKOFF_MS,
    LINK_STABLE_MS, LINK_STOP_MS,
};
use crate::sessions::{Keepsake, Ticket};
pub use address::Address;
use commander::{Asked, Commander};
use primary::Role;
pub use record::Record;
use subscriber::Subscriber;

/// What the commander is to do.
#[derive(Debug)]
pub enum Order {
    /// Say this.
    Say(Vec<Outgoing>),
    /// The channels have changed.
    Listen,
    /// A counter below these bounds is raised.
    Raise(Bounds),
    /// Keep these for so many seconds.
    Keep(Vec<Keepsake>, u32),
    /// Give out what is kept under these tickets, once.
    Fetch(Vec<Ticket>),
    /// Get more ids, within these bounds; where there is no plausible counter yet, perhaps make one.
    Lease {
        /// What the counter may say.
        bounds: Bounds,
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
    /// What was kept of the sessions of these tickets, if anything.
    Fetched(Vec<(Ticket, Option<Record>)>),
}

impl News {
    /// How much of the queue it takes up, in bytes.
    pub fn bytes(&self) -> usize {
        NEWS_BYTES
            + match self {
                Self::Message(bytes) => bytes.len(),
                Self::Leased(_) => 0,
                Self::Fetched(fetched) => size_of_val(fetched.as_slice()),
            }
    }
}

impl Order {
    /// How much of the queue it takes up, in bytes.
    fn bytes(&self) -> usize {
        NEWS_BYTES
            + match self {
                Self::Say(said) => said.iter().map(|said| NEWS_BYTES + said.bytes.len()).sum(),
                Self::Keep(kept, _) => size_of_val(kept.as_slice()),
                Self::Fetch(tickets) => size_of_val(tickets.as_slice()),
                Self::Listen | Self::Raise(_) | Self::Lease { .. } => 0,
            }
    }
}

/// What a message costs in a queue beside its own bytes.
const NEWS_BYTES: usize = 64;

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
    /// Answers of the bus that can't be true.
    pub implausible: AtomicU64,
    /// Messages and places without a valid tag.
    pub unauthenticated: AtomicU64,
    /// Times it would not keep places, or give them out.
    pub refusals: AtomicU64,
}

struct Shared {
    address: Address,
    seal: Option<Seal>,
    /// A missing tag has been logged.
    is_untagged_logged: AtomicBool,
    client: Client,
    wake: Box<dyn Fn() + Send + Sync>,
    /// The loop has been woken and has not looked yet.
    is_woken: AtomicBool,
    /// Bytes of news that wait for the loop.
    news_bytes: AtomicUsize,
    /// Bytes of orders that wait for the commander.
    orders_bytes: AtomicUsize,
    listens_to: Mutex<BTreeSet<Channel>>,
    is_commanding: AtomicBool,
    is_subscribed: AtomicBool,
    /// How many connections there have been.
    generation: AtomicU64,
    is_over: AtomicBool,
    /// How often the commander found its instance unfit: the subscriber then reconnects as well.
    departures: AtomicU64,
    /// How the last lease came about.
    lease_outcome: AtomicU32,
    /// The bus has refused to tell its role.
    is_role_untold: AtomicBool,
    /// Subscribers of the common channel, this node included, as the bus counts them.
    subscribers: AtomicU64,
    /// What it refuses at present.
    is_refusing: [AtomicBool; Asked::COUNT],
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

impl Link {
    /// Starts both threads. With a seal, whatever has no valid tag is dropped. `wake` is called when there is news.
    ///
    /// # Errors
    /// When the operating system refuses a thread, or the client library the address.
    pub fn start(
        address: Address,
        seal: Option<Seal>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let client = Client::open(address.url.reveal()).map_err(io::Error::other)?;
        let (orders, ordered) = sync_channel(BUS_COMMANDS_MAX);
        let (tell, news) = sync_channel(BUS_INBOX_MAX);
        let (ended, commander_ended) = sync_channel(1);
        let shared = Arc::new(Shared {
            address,
            seal,
            is_untagged_logged: AtomicBool::new(false),
            client,
            wake: Box::new(wake),
            is_woken: AtomicBool::new(false),
            news_bytes: AtomicUsize::new(0),
            orders_bytes: AtomicUsize::new(0),
            listens_to: Mutex::new(BTreeSet::from([Channel::All])),
            is_commanding: AtomicBool::new(false),
            is_subscribed: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            departures: AtomicU64::new(0),
            lease_outcome: AtomicU32::new(0),
            is_role_untold: AtomicBool::new(false),
            subscribers: AtomicU64::new(0),
            is_refusing: Default::default(),
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

    /// Subscribers of the common channel, this node included, as the bus counted them last; 0 when unknown.
    pub fn subscribers(&self) -> u64 {
        self.shared.subscribers.load(Ordering::Relaxed)
    }

    /// A number that grows with every connection.
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// Gives an order; lost when there is no room. Returns whether there was.
    pub fn order(&self, order: Order) -> bool {
        let Some(orders) = &self.orders else { return false };
        let (waiting, bytes) = (&self.shared.orders_bytes, order.bytes());
        let has_room = waiting.fetch_add(bytes, Ordering::AcqRel) + bytes <= BUS_COMMANDS_BYTES_MAX;
        let is_taken = has_room && orders.try_send(order).is_ok();
        if !is_taken {
            waiting.fetch_sub(bytes, Ordering::AcqRel);
            self.shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_taken
    }

    /// Listens to these channels from now on.
    pub fn listen(&self, channels: BTreeSet<Channel>) {
        *self.shared.listens_to.lock().unwrap_or_else(PoisonError::into_inner) = channels;
        // If that is lost, the next beat wakes the subscriber.
        self.order(Order::Listen);
    }

    /// Whether news waits. What comes from now on wakes the loop again.
    pub fn look(&self) -> bool {
        self.shared.is_woken.store(false, Ordering::SeqCst);
        self.shared.news_bytes.load(Ordering::SeqCst) > 0
    }

    /// The next piece of news, if there is one.
    pub fn news(&self) -> Option<News> {
        let news = self.news.try_recv().ok()?;
        self.shared.news_bytes.fetch_sub(news.bytes(), Ordering::SeqCst);
        Some(news)
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
        let (connection, role) = primary::connect(&self.client)?;
        if role == Role::Untold && !self.is_role_untold.swap(true, Ordering::Relaxed) {
            let shown = &self.address.shown;
            log::warn!(
                "the bus at {shown} does not tell its role: a switch-over is noticed by refused writes alone"
            );
        }
        Ok(connection)
    }

    /// The subscriber leaves the instance it listens to, which has ceased to be the primary.
    fn leave_instance(&self) {
        self.departures.fetch_add(1, Ordering::AcqRel);
    }

    /// These bytes as they go to that place on the bus.
    fn sealed<'a>(&self, place: &str, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(seal) = &self.seal else { return Cow::Borrowed(bytes) };
        let mut sealed = Vec::with_capacity(bytes.len() + TAG_BYTES);
        sealed.extend_from_slice(bytes);
        seal.seal(place, &mut sealed);
        Cow::Owned(sealed)
    }

    /// What a node of this cluster put there; none without a valid tag, which is counted and logged once.
    fn opened<'a>(&self, place: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let Some(seal) = &self.seal else { return Some(bytes) };
        let opened = seal.open(place, bytes);
        if opened.is_none() {
            self.counts.unauthenticated.fetch_add(1, Ordering::Relaxed);
            if !self.is_untagged_logged.swap(true, Ordering::Relaxed) {
                let shown = &self.address.shown;
                log::warn!(
                    "the bus at {shown} carries what has no valid tag, which is dropped and counted: CLUSTER_SECRET must be \
                     the same on all servers of a world"
                );
            }
        }
        opened
    }

    /// Lets news wait for the loop, and wakes the loop once until it looks. What finds no room is lost.
    fn pass_on(&self, news: &SyncSender<News>, piece: News) {
        let bytes = piece.bytes();
        let has_room = self.news_bytes.fetch_add(bytes, Ordering::SeqCst) + bytes <= BUS_INBOX_BYTES_MAX;
        if has_room && news.try_send(piece).is_ok() {
            if !self.is_woken.swap(true, Ordering::SeqCst) {
                (self.wake)();
            }
        } else {
            self.news_bytes.fetch_sub(bytes, Ordering::SeqCst);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn note_failure(&self, failures: u32, error: &redis::RedisError) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        if failures == 0 && !self.is_over() {
            log::warn!("{}", silence(&self.address.shown, error));
        }
    }
}

/// The line about a bus that can't be reached.
fn silence(shown: &str, error: &dyn Display) -> String {
    format!("CLUSTER_URL: the bus at {shown} does not answer: {error}; the server keeps trying")
}

/// How many attempts in a row have failed before this one, which began then: a connection that stood for a while ends a row.
fn failures_before(failures: u32, began: Instant) -> u32 {
    if began.elapsed() >= Duration::from_millis(LINK_STABLE_MS) { 0 } else { failures }
}

/// How long to wait before the next attempt after so many failures: longer each time, and by chance, so that not all processes
/// come back at once.
fn backoff(failures: u32) -> Duration {
    let most_ms = LINK_BACKOFF_MS.start << failures.min(10);
    let most_ms = most_ms.min(LINK_BACKOFF_MS.end);
    let chance = u64::from(getrandom::u32().unwrap_or(0));
    Duration::from_millis(most_ms / 2 + most_ms / 2 * chance / u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_longer_up_to_a_bound() {
        for failures in 0..40 {
            let waited_ms = backoff(failures).as_millis() as u64;
            assert!((LINK_BACKOFF_MS.start / 2..=LINK_BACKOFF_MS.end).contains(&waited_ms), "{waited_ms}");
        }
        assert!(backoff(9).as_millis() as u64 >= LINK_BACKOFF_MS.end / 2);
    }
}
