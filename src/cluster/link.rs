//! The link to Redis. The event loop never waits for it: commands and events pass through two bounded queues.
//! At the bound they are dropped, which the protocol tolerates, since the bus may lose messages anyway.
//!
//! Two threads have one connection each. The *commander* publishes messages, leases ids and stores sessions;
//! the *subscriber* only reads.
//!
//! A blocked subscriber can't notice that its set of channels has changed. It therefore subscribes to a
//! wake-up channel of its node. The commander publishes there whenever the set changes, and on every
//! heartbeat. A subscriber that receives nothing for several heartbeats treats its connection as dead.

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
use super::bus::Bus;
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

/// A command for the commander.
#[derive(Debug)]
pub enum Command {
    /// Publish these messages.
    Publish(Vec<Outgoing>),
    /// Wake the subscriber: the channels changed.
    Resubscribe,
    /// Raise an id counter that is below these bounds.
    RaiseIdCounter(Bounds),
    /// Store these sessions with this TTL in seconds.
    StoreSessions(Vec<SessionWrite>, u32),
    /// Take the stored sessions of these tokens, each at most once.
    FetchSessions(Vec<SessionToken>),
    /// Lease ids within these bounds.
    LeaseIds {
        /// Bounds for the counter.
        bounds: Bounds,
        /// Whether a missing counter may be created.
        may_create: bool,
    },
}

/// An event for the event loop.
#[derive(Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A message from the bus.
    Message(Vec<u8>),
    /// Ids were leased.
    IdsLeased(Range<u32>),
    /// Stored sessions of these tokens; `None` for a token without a valid stored session.
    SessionsFetched(Vec<(SessionToken, Option<Record>)>),
}

impl LinkEvent {
    /// Returns the size in the queue, in bytes.
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
    /// Returns the size in the queue, in bytes.
    fn bytes(&self) -> usize {
        QUEUE_ENTRY_BYTES
            + match self {
                Self::Publish(messages) => {
                    messages.iter().map(|message| QUEUE_ENTRY_BYTES + message.bytes.len()).sum()
                }
                Self::StoreSessions(kept, _) => size_of_val(kept.as_slice()),
                Self::FetchSessions(tokens) => size_of_val(tokens.as_slice()),
                Self::Resubscribe | Self::RaiseIdCounter(_) | Self::LeaseIds { .. } => 0,
            }
    }
}

/// Overhead of a queued entry, in bytes.
const QUEUE_ENTRY_BYTES: usize = 64;

/// Counters of both threads.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages published.
    pub messages_out: AtomicU64,
    /// Bytes published, without tags.
    pub bytes_out: AtomicU64,
    /// Messages received, the node's own included.
    pub messages_in: AtomicU64,
    /// Bytes received, with tags.
    pub bytes_in: AtomicU64,
    /// Commands and events dropped at a bound, and messages longer than
    /// [`BUS_MESSAGE_BYTES_MAX`](crate::limits::BUS_MESSAGE_BYTES_MAX).
    pub dropped: AtomicU64,
    /// Connections that failed or broke.
    pub failures: AtomicU64,
    /// Implausible id counters, and leases for which no ids were left.
    pub implausible: AtomicU64,
    /// Messages and stored sessions without a valid tag.
    pub unauthenticated: AtomicU64,
    /// Number of times Redis refused to lease ids, or to store or return sessions.
    pub refusals: AtomicU64,
}

struct Shared {
    address: Address,
    authenticator: Option<Authenticator>,
    /// An invalid tag has been logged; further ones are only counted.
    is_tag_failure_logged: AtomicBool,
    client: Client,
    wake: Box<dyn Fn() + Send + Sync>,
    /// The event loop was woken and has not polled the inbox since.
    is_woken: AtomicBool,
    /// Bytes of events queued for the event loop.
    inbox_bytes: AtomicUsize,
    /// Bytes of commands queued for the commander.
    commands_bytes: AtomicUsize,
    channels: Mutex<BTreeSet<Channel>>,
    is_command_connected: AtomicBool,
    is_subscriber_connected: AtomicBool,
    /// Number of connections made so far by both threads.
    generation: AtomicU64,
    is_closed: AtomicBool,
    /// Number of times the commander lost its primary; each time the subscriber reconnects as well.
    primary_losses: AtomicU64,
    /// Outcome of the last lease.
    lease_outcome: AtomicU32,
    /// Redis denied the `ROLE` command.
    is_role_denied: AtomicBool,
    /// Subscribers of the common channel, this node included, as counted by Redis.
    subscribers: AtomicU64,
    /// Operations that Redis refuses at present.
    is_refusing: [AtomicBool; Operation::COUNT],
    counters: Counters,
}

/// The event loop's handle of the link.
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
    /// Starts both threads. With an authenticator, data without a valid tag is dropped. `wake` is called when
    /// the inbox gets its first event after [`Bus::take_wakeup`].
    ///
    /// # Errors
    /// When the operating system refuses a thread, or the client library refuses the address.
    pub fn start(
        address: Address,
        authenticator: Option<Authenticator>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let info = Address::parse(address.url.reveal()).map(|(info, _)| info);
        let info = info.ok_or_else(|| io::Error::other("not the address of a Redis"))?;
        let client = Client::open(info).map_err(io::Error::other)?;
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
            // The receiver is gone if the drop of the link timed out.
            let _ = ended.send(());
        })?;
        let subscriber = Subscriber { shared: Arc::clone(&shared), inbox: inbox_sender };
        thread::Builder::new().name("bus-subscriber".to_owned()).spawn(move || subscriber.run())?;
        Ok(Self { commands: Some(commands), inbox, commander_ended, shared })
    }
}

impl Bus for Link {
    fn address(&self) -> &str {
        &self.shared.address.shown
    }

    fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    fn is_up(&self) -> bool {
        self.shared.is_command_connected.load(Ordering::Acquire)
            && self.shared.is_subscriber_connected.load(Ordering::Acquire)
    }

    fn subscribers(&self) -> u64 {
        self.shared.subscribers.load(Ordering::Relaxed)
    }

    fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    fn send(&self, command: Command) -> bool {
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

    fn subscribe(&self, channels: BTreeSet<Channel>) {
        *self.shared.channels.lock().unwrap_or_else(PoisonError::into_inner) = channels;
        // If the queue is full, the next heartbeat wakes the subscriber.
        self.send(Command::Resubscribe);
    }

    fn take_wakeup(&self) -> bool {
        self.shared.is_woken.store(false, Ordering::SeqCst);
        self.shared.inbox_bytes.load(Ordering::SeqCst) > 0
    }

    fn next_event(&self) -> Option<LinkEvent> {
        let event = self.inbox.try_recv().ok()?;
        self.shared.inbox_bytes.fetch_sub(event.bytes(), Ordering::SeqCst);
        Some(event)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.commands = None;
        // The last command is the shutdown message.
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
            log::warn!("the bus at {shown} denies ROLE: a failover is detected only by refused writes");
        }
        Ok(connection)
    }

    /// Makes the subscriber reconnect: its instance is no longer the primary.
    fn note_primary_loss(&self) {
        self.primary_losses.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns the bytes with their tag for this channel or key; without a secret, only the bytes.
    fn tagged<'a>(&self, place: &str, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(authenticator) = &self.authenticator else { return Cow::Borrowed(bytes) };
        let mut tagged = Vec::with_capacity(bytes.len() + TAG_BYTES);
        tagged.extend_from_slice(bytes);
        authenticator.append_tag(place, &mut tagged);
        Cow::Owned(tagged)
    }

    /// Returns the bytes before a valid tag, or all bytes without a secret. Counts invalid tags and logs the first.
    fn verified<'a>(&self, place: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let Some(authenticator) = &self.authenticator else { return Some(bytes) };
        let verified = authenticator.verify(place, bytes);
        if verified.is_none() {
            self.counters.unauthenticated.fetch_add(1, Ordering::Relaxed);
            if !self.is_tag_failure_logged.swap(true, Ordering::Relaxed) {
                let shown = &self.address.shown;
                log::warn!(
                    "the bus at {shown} carries data that has no valid tag, which is dropped and counted: CLUSTER_SECRET \
                     must be the same on all servers of a world"
                );
            }
        }
        verified
    }

    /// Queues an event, and wakes the event loop if needed. At the bounds the event is dropped and counted.
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

/// Returns the log line for an unreachable bus.
fn unreachable_line(shown: &str, error: &dyn Display) -> String {
    format!("CLUSTER_URL: the bus at {shown} does not answer: {error}; the server keeps trying")
}

/// Returns the consecutive failures before this attempt. A connection of [`LINK_STABLE_MS`] resets them.
fn failures_in_a_row(failures: u32, began: Instant) -> u32 {
    if began.elapsed() >= Duration::from_millis(LINK_STABLE_MS) { 0 } else { failures }
}

/// Returns the delay before the next attempt: exponential, with jitter to keep nodes from reconnecting together.
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
    fn backoff_grows_up_to_its_bound() {
        for failures in 0..40 {
            let waited_ms = backoff(failures).as_millis() as u64;
            assert!((LINK_BACKOFF_MS.start / 2..=LINK_BACKOFF_MS.end).contains(&waited_ms), "{waited_ms}");
        }
        assert!(backoff(9).as_millis() as u64 >= LINK_BACKOFF_MS.end / 2);
    }
}
