//! What the server counts and measures.
//!
//! One [`Metrics`] belongs to the loop, which is one thread: its counters are plain integers. Times are passed in, as
//! nanoseconds of whatever monotonic clock the caller reads. How it all looks from outside is in [`render()`].

mod render;
mod window;

use std::{
    marker::PhantomData,
    ops::{Index, IndexMut},
};

pub use render::{Format, health_json, render};
pub use window::TickPercentiles;
use window::{Histogram, LoadSample, LoadWindow, TickWindow};

/// A closed set of names that something is counted by.
pub trait Kind: Copy + 'static {
    /// All of them, in the order of their [`index`](Self::index).
    const ALL: &'static [Self];

    /// The name in the renderings.
    fn name(self) -> &'static str;

    /// The position in [`ALL`](Self::ALL).
    fn index(self) -> usize;
}

/// One counter for each of the `N` kinds: `metrics.closed[Closed::Idle] += 1`.
#[derive(Clone, Copy, Debug)]
pub struct Counters<K, const N: usize> {
    counts: [u64; N],
    kinds: PhantomData<K>,
}

impl<K: Kind, const N: usize> Counters<K, N> {
    /// Names and counts, in the order of [`Kind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        K::ALL.iter().map(|kind| kind.name()).zip(self.counts)
    }

    /// The sum over all kinds.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl<K, const N: usize> Default for Counters<K, N> {
    fn default() -> Self {
        Self { counts: [0; N], kinds: PhantomData }
    }
}

impl<K: Kind, const N: usize> Index<K> for Counters<K, N> {
    type Output = u64;

    fn index(&self, kind: K) -> &u64 {
        &self.counts[kind.index()]
    }
}

impl<K: Kind, const N: usize> IndexMut<K> for Counters<K, N> {
    fn index_mut(&mut self, kind: K) -> &mut u64 {
        &mut self.counts[kind.index()]
    }
}

/// Declares an enum that is a [`Kind`], with the name of each variant beside it.
macro_rules! kinds {
    ($(#[$doc:meta])* $kind:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Kind for $kind {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

kinds! {
    /// Frames sent to clients.
    FrameOut {
        /// `GAME_STATE`.
        GameState = "game_state",
        /// `MOVEMENT_ACK`.
        Ack = "ack",
        /// `PLAYER_JOINED`.
        Joined = "joined",
        /// `PLAYER_LEFT`.
        Left = "left",
        /// `PLAYER_ATTACK`.
        Attack = "attack",
        /// `PLAYER_DIRECTION`.
        Direction = "direction",
        /// `PLAYER_MOVEMENT`.
        Movement = "movement",
        /// A WebSocket ping.
        Ping = "ping",
        /// A WebSocket pong.
        Pong = "pong",
        /// A WebSocket close frame.
        Close = "close",
    }
}

kinds! {
    /// What clients sent against the protocol, whether or not it closed their connection.
    ProtocolViolation {
        /// A message with another length than its type has.
        MessageLength = "message_length",
        /// A message of unknown type.
        MessageType = "message_type",
        /// A message with a field out of its range.
        MessageValue = "message_value",
        /// A text message.
        Text = "text",
        /// A message longer than the cap.
        TooLong = "too_long",
        /// Bytes that are no valid WebSocket frame.
        Framing = "framing",
        /// So many messages over the rate limit that the connection was closed.
        RateFlood = "rate_flood",
    }
}

kinds! {
    /// Why a connection or request got no service.
    Refused {
        /// The server has as many connections as it may have.
        Full = "full",
        /// The process has no descriptor left.
        Descriptors = "descriptors",
        /// The address holds as many connections as it may have.
        AddressConnections = "address_connections",
        /// The address opens connections faster than it may.
        AddressRate = "address_rate",
        /// The address sends requests faster than it may.
        RequestRate = "request_rate",
        /// The PROXY header is missing, wrong, or not the peer's to send.
        ProxyHeader = "proxy_header",
        /// There is no id for another player: the bus of the cluster was not reached yet.
        NoIds = "no_ids",
        /// The server is stopping.
        Draining = "draining",
        /// The page that asks is not one of the allowed origins.
        OriginNotAllowed = "origin_not_allowed",
        /// There is no `Origin`, and one is required.
        OriginMissing = "origin_missing",
        /// There is more than one `Origin`.
        OriginRepeated = "origin_repeated",
        /// The request head is malformed.
        BadRequest = "bad_request",
        /// The request head is too long or has too many fields.
        HeadTooLarge = "head_too_large",
        /// The request has a body.
        Body = "body",
        /// The HTTP version or transfer encoding is not supported.
        NotSupported = "not_supported",
        /// The request head did not arrive in time.
        HandshakeTimeout = "handshake_timeout",
        /// The request head was late, and others had nowhere to wait.
        HandshakeDisplaced = "handshake_displaced",
        /// The WebSocket handshake is missing or wrong.
        Upgrade = "upgrade",
        /// The resource does not allow the method.
        Method = "method",
        /// No such resource.
        NotFound = "not_found",
    }
}

kinds! {
    /// Why an upgraded connection ended.
    Closed {
        /// The client closed it.
        ByPeer = "by_peer",
        /// The client sent LEAVE.
        Left = "left",
        /// The server stopped.
        Shutdown = "shutdown",
        /// Nothing came from the client for too long.
        Idle = "idle",
        /// The client broke the WebSocket protocol.
        ProtocolError = "protocol_error",
        /// The client sent a text message.
        Text = "text",
        /// The client sent a message longer than the cap.
        TooLong = "too_long",
        /// The client sent far more messages than it may.
        Flood = "flood",
        /// The client did not take what it was sent for too long.
        Stalled = "stalled",
        /// A fault of the server.
        InternalError = "internal_error",
        /// The socket failed, or was closed without a close frame.
        Reset = "reset",
        /// The player went on over another connection.
        TakenOver = "taken_over",
    }
}

kinds! {
    /// Why an HTTP answer ended before its last byte.
    Truncation {
        /// The client took nothing of it for too long.
        Stalled = "stalled",
        /// The client took it more slowly than it must.
        Slow = "slow",
        /// The client took nothing of it for a while, and others needed the place.
        Displaced = "displaced",
    }
}

kinds! {
    /// What a session token in a handshake led to.
    Reconnect {
        /// Its player had left, and was remembered.
        Hit = "hit",
        /// Its player's connection had gone quiet, and was closed.
        TakenOver = "taken_over",
        /// Its player is there: another tab of the same browser.
        SecondTab = "second_tab",
        /// Its session returned less than a second ago.
        TooSoon = "too_soon",
        /// Nothing is known about it.
        Miss = "miss",
    }
}

/// Everything counted since the start. The caller adds to the public fields as things happen.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Ticks missed and made up for in a later step.
    pub ticks_skipped_total: u64,
    /// Ticks at which the round of updates of an earlier one was still being written.
    pub rounds_overrun_total: u64,
    /// Game messages received from clients.
    pub messages_in_total: u64,
    /// Game messages sent to clients.
    pub messages_out_total: u64,
    /// Bytes read from sockets.
    pub bytes_in_total: u64,
    /// Bytes written to sockets.
    pub bytes_out_total: u64,
    /// Reads from sockets, as system calls.
    pub socket_reads_total: u64,
    /// Writes to sockets, as system calls.
    pub socket_writes_total: u64,
    /// Writes that the kernel took only in part or not at all.
    pub write_stalls_total: u64,
    /// Game messages and pings dropped because they came faster than the rate limit.
    pub rate_limited_total: u64,
    /// Panics of worker threads that were contained.
    pub worker_panics_total: u64,
    /// Log lines dropped because the log could not keep up; set by the caller to the log's own count.
    pub log_lines_dropped_total: u64,
    /// Bytes it would have cost to send every viewer the full state of all it sees at every tick.
    pub snapshot_bytes_total: u64,
    /// Time the loop did not wait, in nanoseconds.
    pub busy_ns_total: u64,
    /// Connections accepted.
    pub connections_accepted_total: u64,
    /// Times the kernel had no descriptor or memory for a connection.
    pub accept_exhausted_total: u64,
    /// Connections upgraded to WebSocket.
    pub connections_upgraded_total: u64,
    /// Upgrades whose proxy did not say clearly whom it speaks for.
    pub forwarding_unclear_total: u64,
    /// HTTP requests read, handshakes included.
    pub http_requests_total: u64,
    /// Frames sent, by kind.
    pub frames_out: Counters<FrameOut, { FrameOut::ALL.len() }>,
    /// Protocol errors of clients, by kind.
    pub protocol_errors: Counters<ProtocolViolation, { ProtocolViolation::ALL.len() }>,
    /// Refused connections and requests, by reason.
    pub refused: Counters<Refused, { Refused::ALL.len() }>,
    /// Ended game connections, by reason.
    pub closed: Counters<Closed, { Closed::ALL.len() }>,
    /// HTTP answers that ended before their last byte, by reason.
    pub responses_truncated: Counters<Truncation, { Truncation::ALL.len() }>,
    /// Connections without a request that were closed for others.
    pub idle_displaced_total: u64,
    /// Messages of the bus that were not listened to.
    pub bus_refused_total: u64,
    /// Tickets shown, by what came of them.
    pub reconnects: Counters<Reconnect, { Reconnect::ALL.len() }>,
    bus_delays: Histogram,
    ticks: TickWindow,
    load: LoadWindow,
}

impl Metrics {
    /// Counts a tick that ended at `now_ns` and took `duration_ns`.
    pub fn record_tick(&mut self, now_ns: u64, duration_ns: u64) {
        self.ticks.record(now_ns, duration_ns);
    }

    /// Counts news of another process that came so many nanoseconds after it was said.
    pub fn record_bus_delay(&mut self, delay_ns: u64) {
        self.bus_delays.record(delay_ns);
    }

    /// Takes a sample for the rates, unless the last one is less than a second old: to be called at every tick, and
    /// once before the first.
    pub fn sample(&mut self, now_ns: u64) {
        let (messages_in_total, busy_ns_total) = (self.messages_in_total, self.busy_ns_total);
        self.load.sample(LoadSample { at_ns: now_ns, messages_in_total, busy_ns_total });
    }

    /// Ticks run since the start.
    pub fn ticks_total(&self) -> u64 {
        self.ticks.histogram().count()
    }

    /// How long the last tick took, in nanoseconds.
    pub fn tick_duration_ns(&self) -> u64 {
        self.ticks.last_duration_ns()
    }

    /// Percentiles of the last ticks' durations. Sorts them: to be called when somebody asks.
    pub fn tick_percentiles(&self) -> TickPercentiles {
        self.ticks.percentiles()
    }

    /// Ticks a second over the last 5 s.
    pub fn tick_rate_hz(&self) -> f64 {
        self.ticks.rate_hz()
    }

    /// Game messages received a second, over the last 5 s.
    pub fn events_per_second(&self) -> f64 {
        self.load.events_per_second()
    }

    /// The part of the last 5 s in which the loop did not wait, 0 to 1.
    pub fn loop_busy_ratio(&self) -> f64 {
        self.load.busy_ratio()
    }

    /// The part of `snapshot_bytes_total` that was not sent, 0 to 1.
    pub fn bandwidth_saved_ratio(&self) -> f64 {
        if self.snapshot_bytes_total == 0 {
            return 0.0;
        }
        (1.0 - self.bytes_out_total as f64 / self.snapshot_bytes_total as f64).max(0.0)
    }
}

/// Measurements of a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterGauges {
    /// Whether the bus answers.
    pub is_up: bool,
    /// Other processes.
    pub peers: u64,
    /// Their players, as they say.
    pub peer_players: u64,
    /// Those of their players that are shown here.
    pub ghosts: u64,
    /// Regions listened to.
    pub regions: u64,
    /// Snapshots that put something right that was not told as a change.
    pub resyncs_total: u64,
    /// Newcomers there are ids for.
    pub ids_left: u64,
    /// Messages said on the bus.
    pub messages_out_total: u64,
    /// Messages heard on it, one's own included.
    pub messages_in_total: u64,
    /// Bytes said.
    pub bytes_out_total: u64,
    /// Bytes heard.
    pub bytes_in_total: u64,
    /// What was lost on this side, for want of room.
    pub dropped_total: u64,
    /// Claims of the bus that can't be true, or for which there was no room.
    pub implausible_total: u64,
    /// Messages and places without a valid tag.
    pub unauthenticated_total: u64,
    /// Connections to the bus that failed or broke.
    pub failures_total: u64,
}

/// What the operator configured: what the gauges of the same names are held against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Configured {
    /// Ticks a second.
    pub tick_rate_hz: u64,
    /// How often a client is brought up to date, in milliseconds.
    pub flush_interval_ms: u64,
    /// Most players a client is shown.
    pub max_visible: u64,
    /// The highest level the load governor can reach.
    pub governor_level_max: u64,
    /// Most players in the world, within what there are descriptors for.
    pub players_max: u64,
}

/// Measurements the loop takes when somebody asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Players in the world.
    pub players: u64,
    /// Time since the start, in milliseconds.
    pub uptime_ms: u64,
    /// Threads of the process.
    pub threads: u64,
    /// Memory of the process that is in RAM, in bytes.
    pub resident_bytes: u64,
    /// Processor time of the process since its start, in nanoseconds.
    pub cpu_ns_total: u64,
    /// How often a client is brought up to date at present, in milliseconds.
    pub flush_interval_ms: u64,
    /// Most players a client is shown at present.
    pub max_visible: u64,
    /// How often a client's visible set is recomputed at present, in times a second.
    pub visibility_rate_hz: u64,
    /// How many rungs the load governor stands above the configured measures.
    pub governor_level: u64,
    /// How often the load governor has climbed.
    pub governor_climbs_total: u64,
    /// Open sockets, whether upgraded or not.
    pub connections_open: u64,
    /// Bytes of the static files in memory.
    pub static_bytes: u64,
    /// What several of these are held against.
    pub configured: Configured,
    /// Of the cluster, where there is one.
    pub cluster: Option<ClusterGauges>,
    /// Players who have left and are remembered.
    pub resumes_remembered: u64,
    /// Failed attempts to write down players, in the store or on the bus.
    pub resume_store_failures_total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_kind() {
        let mut metrics = Metrics::default();
        metrics.closed[Closed::Idle] += 2;
        metrics.closed[Closed::Reset] += 1;
        assert_eq!(metrics.closed[Closed::Idle], 2);
        assert_eq!(metrics.closed.total(), 3);
        let counted: Vec<_> = metrics.closed.iter().filter(|&(_, count)| count > 0).collect();
        assert_eq!(counted, [("idle", 2), ("reset", 1)]);
    }

    #[test]
    fn kinds_are_indexed_in_order() {
        fn check<K: Kind>() {
            for (at, kind) in K::ALL.iter().enumerate() {
                assert_eq!(kind.index(), at, "{}", kind.name());
            }
        }
        check::<FrameOut>();
        check::<ProtocolViolation>();
        check::<Refused>();
        check::<Closed>();
        check::<Reconnect>();
        check::<Truncation>();
    }

    #[test]
    fn bandwidth_saved_stays_in_its_range() {
        let mut metrics = Metrics { bytes_out_total: 100, ..Metrics::default() };
        assert!(metrics.bandwidth_saved_ratio().abs() < f64::EPSILON, "no baseline yet");
        metrics.snapshot_bytes_total = 400;
        assert!((metrics.bandwidth_saved_ratio() - 0.75).abs() < f64::EPSILON);
        metrics.bytes_out_total = 800;
        assert!(metrics.bandwidth_saved_ratio().abs() < f64::EPSILON, "never below zero");
    }
}
