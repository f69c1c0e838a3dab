//! All fixed limits of the server, with the relations between them checked at compile time.
//!
//! A number that an operator can change is a setting (see [`crate::config`]). The numbers here are fixed by the
//! protocol, by the existing client, or by the memory and time that one connection may cost.

use std::ops::{Range, RangeInclusive};

// ---- Protocol ------------------------------------------------------------------------------------------------

/// Longest game message from a client, in bytes. A longer one closes the connection with code 1009.
pub const MESSAGE_BYTES_MAX: usize = 64;

/// Longest payload of a WebSocket control frame, in bytes (RFC 6455, section 5.5). No valid client frame is longer.
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// Id of the first player. Ids only grow: the client takes the highest id in its first `GAME_STATE` as its own.
pub const PLAYER_ID_FIRST: u32 = 1001;

/// Simulation steps per second of the browser client, at any tick rate of the server.
pub const CLIENT_STEPS_PER_S: u32 = 24;

/// Largest side of the world, in units. Positions are 16-bit integers on the wire.
pub const WORLD_SIDE_MAX: u16 = u16::MAX;

/// Smallest side of the world and of a viewport, in units.
pub const VIEWPORT_SIDE_MIN: u16 = 100;

// ---- Movement ------------------------------------------------------------------------------------------------

/// Largest Euclidean distance between a claimed position and the simulated one, in units. A farther claim is refused.
pub const CLAIM_DISTANCE_MAX: i32 = 50;

/// Capacity of a player's reconciliation budget, in units of lead over the simulated path. A larger lead is refused.
pub const RECONCILIATION_BUDGET_MAX: i32 = 50;

/// Refill rate of the reconciliation budget, in units per second: a quarter of the client's walking speed.
pub const RECONCILIATION_REFILL_PER_S: u32 = 24;

/// Distance of a player from its drawn position that counts as a jump, in units. Its viewers then need a snapshot.
pub const JUMP_DISTANCE: i32 = 16;

/// The jump distance for viewers that receive vectors with the flush delay, in units. An honest player's delays
/// add up to about 5 units per sync interval.
pub const FLUSH_DELAY_DISTANCE: i32 = 2 * JUMP_DISTANCE;

/// Largest distance between a claim and the drawn position of its player, in units; a claim farther off is refused.
/// A player that a viewer draws farther off gets no new vector. A client that is a quarter too fast or too slow
/// accumulates 96 units between two jumps, plus the lag of a short stall.
pub const EXTRAPOLATION_DISTANCE_MAX: i32 = 2 * CLAIM_DISTANCE_MAX + JUMP_DISTANCE;

/// Shortest average interval between a player's jumps, in milliseconds: about as often as each viewer gets a
/// snapshot anyway. Further jumps wait, and claims too far from the drawn position are refused meanwhile.
pub const JUMP_INTERVAL_MS: u32 = 4_000;

/// Largest number of jumps a player can save up.
pub const JUMPS_MAX: u64 = 3;

/// Age of the last MOVE with a claim at which the player stops, in milliseconds. A hidden tab sends no key release.
pub const MOVE_SILENCE_MS: u32 = 3_000;

/// Time in which a repeated ATTACK belongs to the same attack, in milliseconds: a quarter of the client's animation.
pub const ATTACK_REPEAT_MS: u32 = 250;

// ---- Interest and snapshots ----------------------------------------------------------------------------------

/// Number of cells along each side of the spatial grid; half of it while few entities are in the world.
pub const GRID_CELLS_PER_SIDE: usize = 128;

/// Largest interest set, in players; the upper bound of `MAX_VISIBLE`. The client keeps messages in order only up
/// to about 200 kB, and a snapshot must stay far below that.
pub const INTEREST_SET_MAX: usize = 4_096;

/// Hysteresis of the interest set: a visible player leaves this far outside the viewer's rectangle, in units.
pub const INTEREST_LEAVE_MARGIN: u16 = 48;

/// Shortest time a player stays in an interest set, in milliseconds. The client creates sprites asynchronously: a
/// LEFT within about a second of the JOINED can leave a ghost sprite.
pub const INTEREST_DWELL_MS: u32 = 2_000;

/// Shortest time between the JOINED and the LEFT of a player that was removed from the world, in milliseconds,
/// for the same reason.
pub const REMOVED_DWELL_MS: u32 = 1_000;

/// Time after a mover's JOINED at which its vector is sent again, in milliseconds.
pub const KEYFRAME_AFTER_MS: u32 = 1_000;

/// Time after a viewer's first JOINED during which no `GAME_STATE` is sent, in milliseconds. A client that is still loading
/// the sprite sheet would draw every listed player twice, permanently. The sheet has hundreds of kilobytes.
pub const FIRST_SPRITE_LOAD_MS: u32 = 15_000;

/// Time within which each viewer gets a snapshot of a jump, in milliseconds; [`JUMP_SYNC_PAUSE_MS`] can delay it.
pub const JUMP_SYNC_MS: u32 = 1_000;

/// Time in the world after which a player is certain to enter the interest sets of its nearest viewers, in
/// milliseconds. A player that leaves sooner and does nothing may never be sent to any viewer.
pub const ENTER_PRESENCE_MS: u32 = 250;

/// Largest number of players that linger in the world after leaving, until viewers have been sent their last
/// changes. They don't count towards `MAX_CONNECTIONS`. At the bound, the player due next is removed early.
pub const LINGERING_MAX: usize = 1_024;

/// Shortest time between a snapshot and the next one that jumps cause for the same viewer, in milliseconds.
pub const JUMP_SYNC_PAUSE_MS: u32 = 2_000;

/// Interest updates per viewer and second while the server is not under load.
pub const INTEREST_UPDATE_RATE_HZ: u32 = 5;

// ---- Sessions ------------------------------------------------------------------------------------------------

/// Largest `RESUME_TTL_SEC`: longest time a disconnected player's session is kept, in seconds.
pub const SESSION_TTL_S_MAX: u32 = 86_400;

/// Longest `COOKIE_PATH`, in bytes. A longer one is a configuration error.
pub const COOKIE_PATH_BYTES_MAX: usize = 256;

/// Largest number of saved sessions, about 100 bytes each. At the bound the oldest are evicted.
pub const SESSIONS_SAVED_MAX: usize = 64 * 1024;

/// Shortest time between two reconnects of a session, in milliseconds. An earlier reconnect gets a fresh player.
pub const RECONNECT_INTERVAL_MS: u16 = 1_000;

/// Time for a connection to answer the ping caused by a second use of its session token, in milliseconds. A
/// connection that doesn't answer is replaced by the new one.
pub const RECONNECT_PING_MS: u64 = 1_000;

/// Largest number of handshakes waiting for that reply or for other nodes. A further one gets a fresh player
/// immediately. Half of [`HTTP_CONNECTIONS_MAX`], so that the other half stays free for all other requests.
pub const RECONNECTS_PENDING_MAX: usize = HTTP_CONNECTIONS_MAX / 2;

/// Largest size of a session store's file, in bytes. A larger file is compacted; a file that stays larger is replaced by an
/// empty one. [`SESSIONS_SAVED_MAX`] rows take about 10 MiB, and redb needs a few times as much while it writes.
pub const SESSION_FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Interval at which a connected player is saved to a persistent store, in milliseconds.
pub const SESSION_SAVE_MS: u64 = 10_000;

/// Interval between two write transactions of a persistent store, in milliseconds.
pub const SESSION_STORE_WRITE_MS: u64 = 1_000;

/// Longest time that shutdown waits for the store, in milliseconds.
pub const SESSION_STORE_STOP_MS: u64 = 2_000;

/// Number of broken store files after which a process stops writing sessions: each leaks memory and a descriptor.
pub const SESSION_FILES_BROKEN_MAX: u32 = 8;

/// Largest read cache of the store, in bytes.
pub const SESSION_STORE_CACHE_BYTES: usize = 4 * 1024 * 1024;

// ---- Cluster -------------------------------------------------------------------------------------------------

/// Side of the square regions in which nodes publish their players, in units.
pub const REGION_SIDE: u16 = 250;

/// Distance beyond its viewers' rectangles within which a node subscribes to regions, in units: about one second
/// of walking, so that a player is known before it becomes visible.
pub const REGION_MARGIN: i32 = 100;

/// Interval at which a node recomputes the regions its viewers see, in milliseconds.
pub const SUBSCRIPTION_UPDATE_MS: u64 = 250;

/// Time a node stays subscribed to a region that none of its viewers sees any more, in milliseconds.
pub const SUBSCRIPTION_LINGER_MS: u64 = 2_000;

/// Interval between two published snapshots of a region, in milliseconds. A snapshot repairs earlier losses.
pub const REGION_SNAPSHOT_MS: u64 = 2_000;

/// Number of snapshots published for a region after the node's last player has left it.
pub const EMPTY_REGION_SNAPSHOTS: u8 = 2;

/// Interval between two heartbeats of a node, in milliseconds.
pub const HEARTBEAT_MS: u64 = 500;

/// Silence after which a peer is considered down and its ghosts are removed, in milliseconds.
pub const PEER_TIMEOUT_MS: u64 = 2_250;

/// Silence after which a peer's ghosts in a region are removed, in milliseconds: two snapshots and some slack.
pub const REGION_TIMEOUT_MS: u64 = 5_000;

/// Largest number of peers in a cluster. Messages of further nodes are ignored.
pub const PEERS_MAX: usize = 256;

/// Largest number of slots for ghosts, including slots held for removed ghosts; about 200 bytes each. At the
/// bound the slot held longest is reused. If none is held, a new ghost is not shown.
pub const GHOST_SLOTS_MAX: usize = 200_000;

/// Largest number of regions kept over all peers; about 100 bytes each. Further regions are ignored.
pub const PEER_REGIONS_MAX: usize = 64 * 1024;

/// Time the slot of a removed ghost is held for its return, in milliseconds. By then every viewer that reads its
/// frames has received the LEFT.
pub const GHOST_SLOT_HOLD_MS: u32 = 60_000;

/// Number of ids in one lease. A node requests another lease while it has fewer ids than this left.
pub const LEASE_IDS: u32 = 16_384;

/// Largest lead of an announced id over the own counter: 256 node restarts at once consume as many. More is refused.
pub const IDS_LEAD_MAX: u32 = 256 * LEASE_IDS;

/// Largest number of ids a cluster uses per second. For each second since the last lease claims may lead by as much.
pub const IDS_PER_S_MAX: u64 = 1_000;

/// Highest counter accepted before the first lease. The ids above it last ten months at ten joins per second.
pub const IDS_FRESH_END_MAX: u32 = u32::MAX - (1 << 28);

/// Largest number of leased id ranges that a node remembers.
pub const ID_BLOCKS_MAX: usize = 4_096;

/// Leases that a node gives up in a row because a peer has the same ids. After that it keeps its ids.
pub const LEASE_CONFLICTS_MAX: u64 = 4;

/// Time after which one more lease may be given up, in milliseconds. A forger then needs 42 days to use up all ids.
pub const LEASE_CONFLICT_INTERVAL_MS: u64 = 3_600_000;

/// Largest number of ids in one message that belong to this node. The next snapshot shows others.
pub const SHARED_IDS_MAX: usize = 64;

/// Time a node without ids waits for peers to announce their ids before it creates the counter, in milliseconds.
/// Longer than peers may take to reconnect to a bus that has lost all its data.
pub const LEASE_BOOTSTRAP_MS: u64 = 3_000;

/// Time a handshake waits for the bus to look up its session, in milliseconds; also the delay before the lookup
/// is repeated while the owner has not answered.
pub const RECONNECT_LOOKUP_MS: u64 = 150;

/// Time a handshake waits for the node that owns the session, in milliseconds. That node pings the player first.
pub const RECONNECT_OWNER_MS: u64 = RECONNECT_PING_MS + 2 * RECONNECT_LOOKUP_MS;

/// Shortest and longest backoff before the next attempt to connect to the bus, in milliseconds.
pub const LINK_BACKOFF_MS: Range<u64> = 100..1_500;

/// Lifetime of a bus connection that resets the backoff, in milliseconds.
pub const LINK_STABLE_MS: u64 = 3_000;

/// Timeout for a reply of the bus, in milliseconds.
pub const LINK_TIMEOUT_MS: u64 = 1_000;

/// Largest number of addresses of the bus's host name that one attempt tries.
pub const LINK_ADDRESSES_MAX: usize = 8;

/// Time without a message from any peer, although the bus counts other subscribers, after which the node is
/// degraded, in milliseconds. Longer than a peer's timeout, so that a peer that stops does not count.
pub const ISOLATION_TIMEOUT_MS: u64 = 3_000;

/// Longest time that shutdown waits for the last cluster messages to be sent, in milliseconds.
pub const LINK_STOP_MS: u64 = 1_000;

/// Largest number of commands queued for the bus: three seconds of rounds. Like any bus message, others are dropped.
pub const BUS_COMMANDS_MAX: usize = 64;

/// Largest number of bytes in the commands queued for the bus. Further commands are dropped.
pub const BUS_COMMANDS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest number of peer messages queued for the event loop. Others are dropped; snapshots repair the loss.
pub const BUS_INBOX_MAX: usize = 8_192;

/// Largest number of bytes in the queued peer messages. Further messages are dropped; snapshots repair the loss.
pub const BUS_INBOX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest number of peer messages processed per iteration of the event loop; the rest waits.
pub const BUS_POLL_MESSAGES: usize = 128;

/// Largest number of bytes of peer messages processed per iteration of the event loop, exceeded by the last one.
pub const BUS_POLL_BYTES: usize = 64 * 1024;

/// Time for peer messages per iteration of the event loop, in nanoseconds. The last message may exceed it.
pub const BUS_POLL_NS: u64 = 2_000_000;

/// Pause of the bus after its time is used up, as a multiple of that time: the bus gets a quarter of all time.
pub const BUS_PAUSE_FACTOR: u64 = 3;

/// Longest such pause, in nanoseconds. The process may have been suspended in the middle of an iteration.
pub const BUS_PAUSE_NS_MAX: u64 = 100_000_000;

/// Longest message between nodes, in bytes: 29,000 players of one node in one region.
pub const BUS_MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Largest message delay that is measured, in milliseconds. A larger one means a wrong clock or a forged time.
pub const BUS_DELAY_MS_MAX: u64 = 60_000;

/// Largest age of a tagged message, and lead of its sender's clock, in milliseconds. An older one counts as a replay.
pub const TAGGED_AGE_MS_MAX: u64 = 30_000;

/// Allowed lengths of `CLUSTER_SECRET`, in bytes; the end is exclusive.
pub const CLUSTER_SECRET_BYTES: Range<usize> = 32..257;

/// Shortest time between two requested snapshots of a region, in milliseconds.
pub const SNAPSHOT_REQUEST_MS: u64 = 250;

/// Time for which a newer sequence number suppresses older ones of the same player or region, in milliseconds. A
/// forged number can be the highest possible one; the node's own messages are accepted again after this time.
pub const SEQUENCE_HOLD_MS: u64 = 5_000;

/// Longest node name, in bytes.
pub const NODE_NAME_BYTES_MAX: usize = 64;

// ---- Connections ---------------------------------------------------------------------------------------------

/// Longest HTTP request head, in bytes; a longer one gets 431. Cookies of a domain with many programs exceed 8 KiB.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Largest number of header fields in an HTTP request. The response to more is 431.
pub const HTTP_HEADERS_MAX: usize = 100;

/// Largest number of entries that are parsed in a list-valued header field (accepted encodings, entity tags). The
/// rest are ignored. Clients send a dozen; a head has room for thousands of empty ones.
pub const HTTP_LIST_ITEMS_MAX: usize = 64;

/// Size of the read buffer shared by all sockets, in bytes.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// Bytes read from one connection before the event loop continues with the next.
pub const READ_BUDGET_BYTES: usize = 16 * 1024;

/// Writes in a row before the event loop polls again; an ack waits for half of them on average. A poll costs less than a
/// write: with 16 instead of 128, acks of ten thousand players took 0.3 ms instead of 0.9, for the same CPU time.
pub const WRITE_SLICE: usize = 16;

/// Largest number of readiness events returned by one poll.
pub const EVENTS_PER_POLL: usize = 1_024;

/// Connections beyond `MAX_CONNECTIONS` for HTTP and handshakes. Fewer where the limit on open files is small.
pub const HTTP_CONNECTIONS_MAX: usize = 512;

/// Addresses tracked by the connection rate limiter, a multiple of 8. [`crate::admission::limiter`] describes what happens
/// at the bound. An address is dropped when its bucket is full again: 20 ms after a single connection at the default rate.
pub const RATED_ADDRESSES_MAX: usize = 16 * 1024;

/// Longest PROXY protocol header, in bytes, including its TLVs. A longer one closes the connection. Proxies that
/// forward every detail of a client's certificate need some hundreds of bytes.
pub const PROXY_HEADER_BYTES_MAX: usize = 2 * 1024;

/// Largest useful accept queue, which fills within a few ticks. The kernel's `net.core.somaxconn` bounds its length.
pub const LISTEN_BACKLOG_USEFUL: u64 = 4_096;

/// Largest number of connections to `ADMIN_ADDR`, in addition to all others. Players can't use them up.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;

/// File descriptors reserved for answering and closing the connections that arrive when no others are left.
pub const RESERVE_DESCRIPTORS: usize = 8;

/// Longest time a connection may hold a reserve descriptor, in milliseconds. After that the server closes it.
pub const RESERVE_DESCRIPTOR_TIMEOUT_MS: u64 = 500;

/// Descriptors besides the connections: listeners, timer, signals, epoll, log, streams, and [`RESERVE_DESCRIPTORS`].
pub const DESCRIPTORS_OVERHEAD: u64 = 32;

/// Longest HTTP time slice per iteration of the event loop, in nanoseconds. An ack waits half as long on average.
pub const HTTP_SLICE_NS: i64 = 200_000;

/// HTTP connections visited per iteration of the event loop, each to answer a request or write part of a response.
pub const HTTP_SLICE_VISITS: usize = 32;

/// Largest HTTP time allowance that can accumulate while there are no requests, in nanoseconds.
pub const HTTP_ALLOWANCE_NS_MAX: i64 = 2_000_000;

/// Bytes of a response written before the event loop continues with the next connection.
pub const HTTP_WRITE_BYTES: usize = 64 * 1024;

/// Longest poll timeout while HTTP work waits for its share of the time, in milliseconds.
pub const HTTP_WAIT_MS: u64 = 1;

/// Time without progress after which a connection with an unfinished response can be displaced, in milliseconds.
pub const HTTP_PROGRESS_MS: u64 = 10_000;

/// Connections of [`HTTP_CONNECTIONS_MAX`] reserved for health and metrics requests; at most a quarter of them where
/// the limit on open files is small. They are used only when no other is free.
pub const HTTP_RESERVED_MAX: usize = 8;

/// Guaranteed time of a reserved connection, in milliseconds. After that the next connection can displace it.
pub const HTTP_RESERVED_HOLD_MS: u64 = 100;

/// Bytes by which a client may fall behind `HTTP_MIN_RATE` before its response is aborted. The kernel's send buffer
/// takes as much at once. At the default rate, half a minute without a byte falls behind this far.
pub const HTTP_SLACK_BYTES: u64 = 64 * 1024;

/// Renderings of `/metrics` per second and format. Further requests get the cached bytes.
pub const METRICS_RENDERS_PER_S: u64 = 4;

/// Shortest time between two log lines about the same exhausted resource, in milliseconds.
pub const EXHAUSTION_LOG_INTERVAL_MS: u64 = 10_000;

/// Timeout for a whole request head, in milliseconds, from accept or from the first byte of a later head. Between
/// two requests `KEEPALIVE_TIMEOUT_SEC` applies.
pub const HTTP_TIMEOUT_MS: u64 = 10_000;

/// Longest path of the control socket, in bytes: 107 of Linux, less the suffix that it has until it listens.
pub const SOCKET_PATH_BYTES_MAX: usize = 90;

/// Longest line that a client of the control socket may send, in bytes.
pub const CONTROL_LINE_BYTES_MAX: usize = 4_096;

/// Clients of the control socket at once. Another one displaces the one that has been silent for longest.
pub const CONTROL_CLIENTS_MAX: usize = 4;

/// Share of the loop's time for the control socket: after a piece of work, this many times its duration passes before the next.
pub const CONTROL_PAUSE_FACTOR: u64 = 19;

/// Connections that one turn looks at for a list of players.
pub const LIST_CONNECTIONS_PER_TURN: usize = 512;

/// Players in one list.
pub const LISTED_PLAYERS_MAX: usize = 1_000;

/// Decisions about banned networks that a node remembers.
pub const BANS_MAX: usize = 1_000;

/// Time for which the end of a ban is remembered, in seconds, so that no peer restores the ban.
pub const UNBAN_MEMORY_S: u64 = 7 * 24 * 3600;

/// Largest time by which a decision may lie in the future, in microseconds: the clocks of nodes differ.
pub const DECISION_FUTURE_US_MAX: u64 = 60_000_000;

/// Prefixes of banned networks, in bits: a shorter one would be a slip, and 64 bits of an IPv6 address identify a network.
pub const BAN_PREFIXES: [RangeInclusive<u8>; 2] = [8..=32, 16..=64];

/// Longest reason in a close frame, in bytes (RFC 6455, section 5.5: 125 with the code).
pub const CLOSE_REASON_BYTES_MAX: usize = 123;

/// Longest handover to another process, in milliseconds; afterwards the old process goes on. Players wait for as long.
pub const HANDOVER_MS_MAX: u64 = 2_000;

/// Time for a peer to close its side after the server sent the last byte, in milliseconds; also the longest time
/// without progress while the server sends a closing player its last bytes.
pub const CLOSE_TIMEOUT_MS: u64 = 3_000;

/// Longest time for which the rate limiter credits a player for unread messages, in milliseconds. Long MOVEs at the
/// default rate fill half of a socket's receive buffer in this time.
pub const UNREAD_CREDIT_MS_MAX: u64 = 60_000;

/// Players whose deferred messages are checked per tick, half a millisecond for a thousand; others wait.
pub const DEFERRED_PER_TICK: usize = 1_024;

/// Shortest off-CPU time in one iteration of the event loop that counts as a pause, in milliseconds: the process was
/// suspended or starved. Peers could not be read meanwhile, so a pause counts towards none of their deadlines.
pub const LOOP_PAUSE_MS_MIN: u64 = 250;

/// Kernel send buffer of each connection, in bytes; the kernel adds as much for its own bookkeeping. By default the
/// kernel queues four megabytes for a peer that does not read, which takes minutes at a player's rate; until then
/// the server notices nothing. This size holds seconds of updates, or several snapshots.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Pause of accepting after the kernel ran out of descriptors or memory, in milliseconds.
pub const ACCEPT_PAUSE_MS: u64 = 100;

/// Largest number of log lines waiting to be written. Further lines are dropped and counted.
pub const LOG_LINES_MAX: usize = 1_024;

/// Longest time that shutdown waits for the log thread to write its queue, in milliseconds.
pub const LOG_STOP_MS: u64 = 2_000;

/// Longest time that a panicking process spends on writing its last log line, in milliseconds.
pub const PANIC_LOG_MS: u64 = 3_000;

/// Interval between two watchdog checks for ticks, in milliseconds of the watchdog's own sleep.
pub const WATCHDOG_PERIOD_MS: u64 = 1_000;

/// Consecutive watchdog checks without a tick after which the watchdog aborts the process.
pub const WATCHDOG_WAKE_UPS_MAX: u32 = 5;

/// Largest lateness of a tick, in periods. A later one makes up the missed ticks in one step and counts them.
pub const TICK_LATENESS_PERIODS_MAX: u64 = 3;

const _: () = assert!(BUS_MESSAGE_BYTES_MAX <= BUS_INBOX_BYTES_MAX);
const _: () = assert!(IDS_FRESH_END_MAX < u32::MAX - 2 * LEASE_IDS);
const _: () = assert!(
    RECONNECT_PING_MS >= RECONNECT_INTERVAL_MS as u64,
    "a takeover must not be refused as a reconnect that comes too soon"
);
const _: () = assert!(LEASE_BOOTSTRAP_MS > LINK_BACKOFF_MS.end + LINK_TIMEOUT_MS);
const _: () = assert!(ISOLATION_TIMEOUT_MS > PEER_TIMEOUT_MS + HEARTBEAT_MS);
const _: () = assert!(PEER_TIMEOUT_MS > 4 * HEARTBEAT_MS, "a few heartbeats may be lost");
const _: () = assert!(REGION_TIMEOUT_MS > 2 * REGION_SNAPSHOT_MS, "a snapshot may be lost");
const _: () =
    assert!(MESSAGE_BYTES_MAX <= CONTROL_PAYLOAD_BYTES_MAX, "the frame limit applies to every frame");
const _: () = assert!(
    RESERVE_DESCRIPTORS as u64 + 16 <= DESCRIPTORS_OVERHEAD,
    "descriptors must be left for everything else"
);
const _: () = assert!(READ_BUDGET_BYTES <= SCRATCH_BYTES);
const _: () = assert!(HTTP_HEAD_BYTES_MAX <= READ_BUDGET_BYTES);
const _: () = assert!(HTTP_RESERVED_HOLD_MS < RESERVE_DESCRIPTOR_TIMEOUT_MS);
const _: () = assert!(HTTP_RESERVED_MAX * 4 < HTTP_CONNECTIONS_MAX);
const _: () = assert!(1_000 % METRICS_RENDERS_PER_S == 0, "a rendering costs whole milliseconds");
const _: () = assert!(PROXY_HEADER_BYTES_MAX < HTTP_HEAD_BYTES_MAX, "both are read into the same buffer");
const _: () = assert!(RATED_ADDRESSES_MAX.is_multiple_of(8));
const _: () =
    assert!(5 + 11 * INTEREST_SET_MAX < SEND_BUFFER_BYTES, "a snapshot must fit into an empty send buffer");
const _: () = assert!(5 + 11 * INTEREST_SET_MAX < 200_000, "a snapshot must reach the client in order");
const _: () =
    assert!(KEYFRAME_AFTER_MS <= INTEREST_DWELL_MS, "a mover must be visible when its vector is repeated");
const _: () = assert!(JUMP_DISTANCE < CLAIM_DISTANCE_MAX);
const _: () = assert!(
    RECONCILIATION_REFILL_PER_S * JUMP_INTERVAL_MS / 1000 + (JUMP_DISTANCE as u32)
        < EXTRAPOLATION_DISTANCE_MAX as u32,
    "a client at the highest accepted speed must not be refused between two jumps"
);
const _: () = assert!(FLUSH_DELAY_DISTANCE < EXTRAPOLATION_DISTANCE_MAX);
const _: () = assert!(LOG_STOP_MS < PANIC_LOG_MS, "a log that hangs must leave time for the last line");
