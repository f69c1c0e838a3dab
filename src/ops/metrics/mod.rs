//! Counters and gauges of the server.
//!
//! One [`Metrics`] belongs to the event loop's thread, so its counters are plain integers. The caller passes times in, as
//! nanoseconds of a monotonic clock. [`render()`] produces the JSON and Prometheus texts.

mod render;
mod window;

use std::{
    marker::PhantomData,
    ops::{Index, IndexMut},
};

pub use render::{Format, health_json, render};
pub use window::TickPercentiles;
use window::{Histogram, LoadSample, LoadWindow, TickWindow};

/// A closed set of label values.
pub trait Kind: Copy + 'static {
    /// All values, in the order of their [`index`](Self::index).
    const ALL: &'static [Self];

    /// Returns the label value.
    fn name(self) -> &'static str;

    /// Returns the index in [`ALL`](Self::ALL).
    fn index(self) -> usize;
}

/// One counter per kind: `metrics.closed[Closed::Idle] += 1`.
#[derive(Clone, Copy, Debug)]
pub struct Counters<K, const N: usize> {
    counts: [u64; N],
    kinds: PhantomData<K>,
}

impl<K: Kind, const N: usize> Counters<K, N> {
    /// Iterates over names and counts, in the order of [`Kind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        K::ALL.iter().map(|kind| kind.name()).zip(self.counts)
    }

    /// Returns the sum over all kinds.
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

/// Declares an enum that implements [`Kind`], with the label value of each variant.
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
    /// Protocol violations of clients, whether or not they closed the connection.
    ProtocolViolation {
        /// A message whose length does not match its type.
        MessageLength = "message_length",
        /// A message of unknown type.
        MessageType = "message_type",
        /// A message with a field out of range.
        MessageValue = "message_value",
        /// A text message.
        Text = "text",
        /// A message longer than the cap.
        TooLong = "too_long",
        /// Bytes that are not a valid WebSocket frame.
        Framing = "framing",
        /// A flood: the connection was closed for exceeding the message rate by far.
        RateFlood = "rate_flood",
    }
}

kinds! {
    /// Why a connection or request was refused.
    Refused {
        /// The server has reached its maximum number of connections.
        Full = "full",
        /// The process has no file descriptor left.
        Descriptors = "descriptors",
        /// The address has reached its maximum number of connections.
        AddressConnections = "address_connections",
        /// The address exceeds its rate of new connections.
        AddressRate = "address_rate",
        /// The address exceeds its rate of HTTP requests.
        RequestRate = "request_rate",
        /// The PROXY header is missing, malformed, or comes from an untrusted peer.
        ProxyHeader = "proxy_header",
        /// No id is left for another player: the cluster's bus has not been reached yet.
        NoIds = "no_ids",
        /// The server is shutting down.
        Draining = "draining",
        /// The request's origin is not allowed.
        OriginNotAllowed = "origin_not_allowed",
        /// The request has no `Origin`, and one is required.
        OriginMissing = "origin_missing",
        /// The request has more than one `Origin`.
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
        /// The request head was incomplete, and its connection was displaced by a new one.
        HandshakeDisplaced = "handshake_displaced",
        /// The WebSocket handshake is missing or malformed.
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
        /// The server shut down.
        Shutdown = "shutdown",
        /// The client sent nothing within the idle timeout.
        Idle = "idle",
        /// The client broke the WebSocket protocol.
        ProtocolError = "protocol_error",
        /// The client sent a text message.
        Text = "text",
        /// The client sent a message longer than the cap.
        TooLong = "too_long",
        /// The client exceeded the message rate by far.
        Flood = "flood",
        /// The client read nothing within the stall timeout.
        Stalled = "stalled",
        /// A defect of the server.
        InternalError = "internal_error",
        /// The socket failed, or the peer closed it without a close frame.
        Reset = "reset",
        /// The player's session moved to another connection.
        TakenOver = "taken_over",
    }
}

kinds! {
    /// Why an HTTP response ended before its last byte.
    Truncation {
        /// The client read nothing within the stall timeout.
        Stalled = "stalled",
        /// The client read more slowly than the minimum rate.
        Slow = "slow",
        /// The client made no progress, and its connection was displaced by a new one.
        Displaced = "displaced",
    }
}

kinds! {
    /// Outcome of a session token in a handshake.
    Reconnect {
        /// The player had disconnected, and its position was kept.
        Hit = "hit",
        /// The session's old connection did not answer a ping and was closed.
        TakenOver = "taken_over",
        /// The session's player is connected: another tab of the same browser.
        SecondTab = "second_tab",
        /// The session reconnected less than a second ago.
        TooSoon = "too_soon",
        /// The token is unknown or expired.
        Miss = "miss",
    }
}

/// Counters since the start. The caller increments the public fields.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Ticks missed and simulated in a later step.
    pub ticks_skipped_total: u64,
    /// Ticks that started before the previous flush round was written.
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
    /// Writes that the kernel accepted only in part or not at all.
    pub write_stalls_total: u64,
    /// Game messages and pings dropped by the rate limit.
    pub rate_limited_total: u64,
    /// Caught panics of worker threads.
    pub worker_panics_total: u64,
    /// Log lines dropped because the queue or the disk was full; copied from the log's own counter.
    pub log_lines_dropped_total: u64,
    /// Bytes that snapshots to every viewer at every tick would have cost.
    pub snapshot_bytes_total: u64,
    /// Time in which the event loop was not waiting, in nanoseconds.
    pub busy_ns_total: u64,
    /// Connections accepted.
    pub connections_accepted_total: u64,
    /// Times the kernel had no descriptor or memory for a connection.
    pub accept_exhausted_total: u64,
    /// Connections upgraded to WebSocket.
    pub connections_upgraded_total: u64,
    /// Upgrades whose forwarding headers did not identify the client.
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
    /// HTTP responses that ended before their last byte, by reason.
    pub responses_truncated: Counters<Truncation, { Truncation::ALL.len() }>,
    /// Idle HTTP connections closed in favor of new ones.
    pub idle_displaced_total: u64,
    /// Bus messages ignored: another version or world size, or malformed.
    pub bus_refused_total: u64,
    /// Session tokens presented, by outcome.
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

    /// Counts a bus message by its delay from publishing to receipt, in nanoseconds.
    pub fn record_bus_delay(&mut self, delay_ns: u64) {
        self.bus_delays.record(delay_ns);
    }

    /// Takes a sample for the rates, unless the last one is less than a second old. Call it at every tick and once before
    /// the first.
    pub fn sample(&mut self, now_ns: u64) {
        let (messages_in_total, busy_ns_total) = (self.messages_in_total, self.busy_ns_total);
        self.load.sample(LoadSample { at_ns: now_ns, messages_in_total, busy_ns_total });
    }

    /// Returns the ticks run since the start.
    pub fn ticks_total(&self) -> u64 {
        self.ticks.histogram().count()
    }

    /// Returns the duration of the last tick, in nanoseconds.
    pub fn tick_duration_ns(&self) -> u64 {
        self.ticks.last_duration_ns()
    }

    /// Returns percentiles of the last ticks' durations. Sorts them, so call it only to render.
    pub fn tick_percentiles(&self) -> TickPercentiles {
        self.ticks.percentiles()
    }

    /// Returns ticks per second over the last 5 s.
    pub fn tick_rate_hz(&self) -> f64 {
        self.ticks.rate_hz()
    }

    /// Returns game messages received per second over the last 5 s.
    pub fn events_per_second(&self) -> f64 {
        self.load.events_per_second()
    }

    /// Returns the fraction of the last 5 s in which the event loop was busy, 0 to 1.
    pub fn loop_busy_ratio(&self) -> f64 {
        self.load.busy_ratio()
    }

    /// Returns the fraction of `snapshot_bytes_total` that was not sent, 0 to 1.
    pub fn bandwidth_saved_ratio(&self) -> f64 {
        if self.snapshot_bytes_total == 0 {
            return 0.0;
        }
        (1.0 - self.bytes_out_total as f64 / self.snapshot_bytes_total as f64).max(0.0)
    }
}

/// Measurements of the cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterGauges {
    /// Whether the bus is reachable.
    pub is_up: bool,
    /// Other nodes of the same world.
    pub peers: u64,
    /// Players on other nodes, as those nodes report them.
    pub peer_players: u64,
    /// Ghosts: copies of other nodes' players on this node.
    pub ghosts: u64,
    /// Regions subscribed to.
    pub regions: u64,
    /// Region snapshots that corrected a lost change.
    pub resyncs_total: u64,
    /// Ids left for new players.
    pub ids_left: u64,
    /// Messages published.
    pub messages_out_total: u64,
    /// Messages received, this node's own included.
    pub messages_in_total: u64,
    /// Bytes published.
    pub bytes_out_total: u64,
    /// Bytes received.
    pub bytes_in_total: u64,
    /// Messages dropped on this side because a queue was full.
    pub dropped_total: u64,
    /// Values from the bus rejected as out of bounds.
    pub implausible_total: u64,
    /// Messages and session records without a valid authentication tag.
    pub unauthenticated_total: u64,
    /// Connections to Redis that failed or broke.
    pub failures_total: u64,
}

/// Configured values of the gauges with the same names, for alert thresholds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Configured {
    /// Ticks per second.
    pub tick_rate_hz: u64,
    /// Flush interval, in milliseconds.
    pub flush_interval_ms: u64,
    /// Maximum number of entities in an interest set.
    pub max_visible: u64,
    /// Highest level of the load governor.
    pub governor_level_max: u64,
    /// Maximum number of players in the world, within the limit of open files.
    pub players_max: u64,
}

/// Measurements the event loop takes for each rendering.
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
    /// Current flush interval, in milliseconds.
    pub flush_interval_ms: u64,
    /// Current maximum number of entities in an interest set.
    pub max_visible: u64,
    /// Current interest updates per viewer, per second.
    pub visibility_rate_hz: u64,
    /// Level of the load governor; 0 is the configured quality.
    pub governor_level: u64,
    /// Times the load governor has degraded quality by a level.
    pub governor_climbs_total: u64,
    /// Open sockets, whether upgraded or not.
    pub connections_open: u64,
    /// Bytes of the static files in memory.
    pub static_bytes: u64,
    /// Configured values of several of these gauges.
    pub configured: Configured,
    /// Measurements of the cluster, with `CLUSTER_URL`.
    pub cluster: Option<ClusterGauges>,
    /// Disconnected players whose sessions are kept.
    pub resumes_remembered: u64,
    /// Failed attempts to save sessions, in the store or on the bus.
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
