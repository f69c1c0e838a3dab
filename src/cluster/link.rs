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

use super::authentication::{Authenticator, TAG_BYTES};
use super::ids::Bounds;
use super::{Channel, Outgoing};
use crate::limits::{
    BUS_COMMANDS_BYTES_MAX, BUS_COMMANDS_MAX, BUS_INBOX_BYTES_MAX, BUS_INBOX_MAX, LINK_BACKOFF_MS,
    LINK_STABLE_MS, LINK_STOP_MS,
};
use crate::sessions::{SessionToken, SessionWrite};
pub use address::Address;
use commander::{Commander, Operation};
use primary::Role;
pub use record::Record;
use subscriber::Subscriber;

/// What the commander is to do.
#[derive(Debug)]
pub enum Command {
    /// Say this.
    Publish(Vec<Outgoing>),
    /// The channels have changed.
    Resubscribe,
    /// A counter below these bounds is raised.
    RaiseIdCounter(Bounds),
    /// Keep these for so many seconds.
    StoreSessions(Vec<SessionWrite>, u32),
    /// Give out what is kept under these tickets, once.
    FetchSessions(Vec<SessionToken>),
    /// Get more ids, within these bounds; where there is no plausible counter yet, perhaps make one.
    LeaseIds {
        /// What the counter may say.
        bounds: Bounds,
        /// Whether a missing counter is made.
        may_create: bool,
    },
}

/// What the loop is told.
#[derive(Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// Somebody said this.
    Message(Vec<u8>),
    /// Ids were granted.
    IdsLeased(Range<u32>),
    /// What was kept of the sessions of these tickets, if anything.
    SessionsFetched(Vec<(SessionToken, Option<Record>)>),
}

impl LinkEvent {
    /// How much of the queue it takes up, in bytes.
    pub fn bytes(&self) -> usize {
        QUEUE_ENTRY_BYTES
            + match self {
                Self::Message(bytes) => bytes.len(),
                Self::IdsLeased(_) => 0,
                Self::SessionsFetched(fetched) => size_of_val(fetched.as_slice()),
            }
    }
}

impl Command {
    /// How much of the queue it takes up, in bytes.
    fn bytes(&self) -> usize {
        QUEUE_ENTRY_BYTES
            + match self {
                Self::Publish(messages) => {
                    messages.iter().map(|message| QUEUE_ENTRY_BYTES + message.bytes.len()).sum()
                }
                Self::StoreSessions(kept, _) => size_of_val(kept.as_slice()),
                Self::FetchSessions(tickets) => size_of_val(tickets.as_slice()),
                Self::Resubscribe | Self::RaiseIdCounter(_) | Self::LeaseIds { .. } => 0,
            }
    }
}

/// What a message costs in a queue beside its own bytes.
const QUEUE_ENTRY_BYTES: usize = 64;

/// What is counted on both threads.
#[derive(Debug, Default)]
pub struct Counters {
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
    authenticator: Option<Authenticator>,
    /// A missing tag has been logged.
    is_tag_failure_logged: AtomicBool,
    client: Client,
    wake: Box<dyn Fn() + Send + Sync>,
    /// The loop has been woken and has not looked yet.
    is_woken: AtomicBool,
    /// Bytes of news that wait for the loop.
    inbox_bytes: AtomicUsize,
    /// Bytes of commands that wait for the commander.
    commands_bytes: AtomicUsize,
    channels: Mutex<BTreeSet<Channel>>,
    is_command_connected: AtomicBool,
    is_subscriber_connected: AtomicBool,
    /// How many connections there have been.
    generation: AtomicU64,
    is_closed: AtomicBool,
    /// How often the commander found its instance unfit: the subscriber then reconnects as well.
    primary_losses: AtomicU64,
    /// How the last lease came about.
    lease_outcome: AtomicU32,
    /// The bus has refused to tell its role.
    is_role_denied: AtomicBool,
    /// Subscribers of the common channel, this node included, as the bus counters them.
    subscribers: AtomicU64,
    /// What it refuses at present.
    is_refusing: [AtomicBool; Operation::COUNT],
    counters: Counters,
}

/// The link, from the loop's side.
pub struct Link {
    commands: Option<SyncSender<Command>>,
    inbox: Receiver<LinkEvent>,
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
        authenticator: Option<Authenticator>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let client = Client::open(address.url.reveal()).map_err(io::Error::other)?;
        let (commands, command_queue) = sync_channel(BUS_COMMANDS_MAX);
        let (inbox_sender, inbox) = sync_channel(BUS_INBOX_MAX);
        let (ended, commander_ended) = sync_channel(1);
        let shared = Arc::new(Shared {
            address,
            authenticator,
            is_tag_failure_logged: AtomicBool::new(false),
            client,
            wake: Box::new(wake),
            is_woken: AtomicBool::new(false),
            inbox_bytes: AtomicUsize::new(0),
            commands_bytes: AtomicUsize::new(0),
            channels: Mutex::new(BTreeSet::from([Channel::All])),
            is_command_connected: AtomicBool::new(false),
            is_subscriber_connected: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            primary_losses: AtomicU64::new(0),
            lease_outcome: AtomicU32::new(0),
            is_role_denied: AtomicBool::new(false),
            subscribers: AtomicU64::new(0),
            is_refusing: Default::default(),
            counters: Counters::default(),
        });
        let commander = Commander { shared: Arc::clone(&shared), inbox: inbox_sender.clone() };
        thread::Builder::new().name("bus-commander".to_owned()).spawn(move || {
            commander.run(&command_queue);
            // Nobody listens any more when that took too long.
            let _ = ended.send(());
        })?;
        let subscriber = Subscriber { shared: Arc::clone(&shared), inbox: inbox_sender };
        thread::Builder::new().name("bus-subscriber".to_owned()).spawn(move || subscriber.run())?;
        Ok(Self { commands: Some(commands), inbox, commander_ended, shared })
    }

    /// Where it leads to, without the password.
    pub fn address(&self) -> &str {
        &self.shared.address.shown
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Whether both connections stand.
    pub fn is_up(&self) -> bool {
        self.shared.is_command_connected.load(Ordering::Acquire)
            && self.shared.is_subscriber_connected.load(Ordering::Acquire)
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
    pub fn send(&self, command: Command) -> bool {
        let Some(commands) = &self.commands else { return false };
        let (waiting, bytes) = (&self.shared.commands_bytes, command.bytes());
        let has_room = waiting.fetch_add(bytes, Ordering::AcqRel) + bytes <= BUS_COMMANDS_BYTES_MAX;
        let is_taken = has_room && commands.try_send(command).is_ok();
        if !is_taken {
            waiting.fetch_sub(bytes, Ordering::AcqRel);
            self.shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_taken
    }

    /// Listens to these channels from now on.
    pub fn subscribe(&self, channels: BTreeSet<Channel>) {
        *self.shared.channels.lock().unwrap_or_else(PoisonError::into_inner) = channels;
        // If that is lost, the next beat wakes the subscriber.
        self.send(Command::Resubscribe);
    }

    /// Whether news waits. What comes from now on wakes the loop again.
    pub fn take_wakeup(&self) -> bool {
        self.shared.is_woken.store(false, Ordering::SeqCst);
        self.shared.inbox_bytes.load(Ordering::SeqCst) > 0
    }

    /// The next piece of news, if there is one.
    pub fn next_event(&self) -> Option<LinkEvent> {
        let event = self.inbox.try_recv().ok()?;
        self.shared.inbox_bytes.fetch_sub(event.bytes(), Ordering::SeqCst);
        Some(event)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.commands = None;
        // What was command_queue last is a farewell.
        let _ = self.commander_ended.recv_timeout(Duration::from_millis(LINK_STOP_MS));
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn connect(&self) -> RedisResult<redis::Connection> {
        let (connection, role) = primary::connect(&self.client)?;
        if role == Role::Denied && !self.is_role_denied.swap(true, Ordering::Relaxed) {
            let shown = &self.address.shown;
            log::warn!(
                "the bus at {shown} does not tell its role: a switch-over is noticed by refused writes alone"
            );
        }
        Ok(connection)
    }

    /// The subscriber leaves the instance it listens to, which has ceased to be the primary.
    fn note_primary_loss(&self) {
        self.primary_losses.fetch_add(1, Ordering::AcqRel);
    }

    /// These bytes as they go to that place on the bus.
    fn tagged<'a>(&self, place: &str, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(authenticator) = &self.authenticator else { return Cow::Borrowed(bytes) };
        let mut tagged = Vec::with_capacity(bytes.len() + TAG_BYTES);
        tagged.extend_from_slice(bytes);
        authenticator.append_tag(place, &mut tagged);
        Cow::Owned(tagged)
    }

    /// What a node of this cluster put there; none without a valid tag, which is counted and logged once.
    fn verified<'a>(&self, place: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let Some(authenticator) = &self.authenticator else { return Some(bytes) };
        let verified = authenticator.verify(place, bytes);
        if verified.is_none() {
            self.counters.unauthenticated.fetch_add(1, Ordering::Relaxed);
            if !self.is_tag_failure_logged.swap(true, Ordering::Relaxed) {
                let shown = &self.address.shown;
                log::warn!(
                    "the bus at {shown} carries what has no valid tag, which is dropped and counted: CLUSTER_SECRET must be \
                     the same on all servers of a world"
                );
            }
        }
        verified
    }

    /// Lets news wait for the loop, and wakes the loop once until it looks. What finds no room is lost.
    fn deliver(&self, inbox: &SyncSender<LinkEvent>, event: LinkEvent) {
        let bytes = event.bytes();
        let has_room = self.inbox_bytes.fetch_add(bytes, Ordering::SeqCst) + bytes <= BUS_INBOX_BYTES_MAX;
        if has_room && inbox.try_send(event).is_ok() {
            if !self.is_woken.swap(true, Ordering::SeqCst) {
                (self.wake)();
            }
        } else {
            self.inbox_bytes.fetch_sub(bytes, Ordering::SeqCst);
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn note_failure(&self, failures: u32, error: &redis::RedisError) {
        self.counters.failures.fetch_add(1, Ordering::Relaxed);
        if failures == 0 && !self.is_closed() {
            log::warn!("{}", unreachable_line(&self.address.shown, error));
        }
    }
}

/// The line about a bus that can't be reached.
fn unreachable_line(shown: &str, error: &dyn Display) -> String {
    format!("CLUSTER_URL: the bus at {shown} does not answer: {error}; the server keeps trying")
}

/// How many attempts in a row have failed before this one, which began then: a connection that stood for a while ends a row.
fn failures_in_a_row(failures: u32, began: Instant) -> u32 {
    if began.elapsed() >= Duration::from_millis(LINK_STABLE_MS) { 0 } else { failures }
}

/// How long to wait before the next attempt after so many failures: longer each time, and by chance, so that not all processes
/// come back at once.
fn backoff(failures: u32) -> Duration {
    let max_ms = LINK_BACKOFF_MS.start << failures.min(10);
    let max_ms = max_ms.min(LINK_BACKOFF_MS.end);
    let random = u64::from(getrandom::u32().unwrap_or(0));
    Duration::from_millis(max_ms / 2 + max_ms / 2 * random / u64::from(u32::MAX))
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
