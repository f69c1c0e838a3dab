//! Every cap of the server in one place, with the relations between them checked at compile time.
//!
//! A number that an operator may change is a setting (see [`crate::config`]); what stands here is fixed by the
//! protocol, by the existing client, or by the memory and time one connection may cost.

use std::ops::Range;

// ---- Protocol ------------------------------------------------------------------------------------------------

/// Longest game message a client may send, in bytes; a longer one closes the connection with code 1009.
pub const MESSAGE_BYTES_MAX: usize = 64;

/// Longest payload of a WebSocket control frame, in bytes (RFC 6455, section 5.5); no frame that passes is longer.
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// The first player's id. Ids only grow, since the client takes the highest id of its first `GAME_STATE` as its own.
pub const PLAYER_ID_FIRST: u32 = 1001;

/// Steps a second the browser client simulates, whatever the server's tick rate.
pub const CLIENT_STEPS_PER_S: u32 = 24;

/// Largest side of the world, in units: positions travel as 16-bit integers.
pub const WORLD_SIDE_MAX: u16 = u16::MAX;

/// Smallest side of the world, in units; also the smallest side of a viewport.
pub const VIEWPORT_SIDE_MIN: u16 = 100;

// ---- Movement ------------------------------------------------------------------------------------------------

/// Farthest a claimed position may lie from the server's own to be adopted, in units (Euclidean).
pub const CLAIM_DISTANCE_MAX: i32 = 50;

/// Most lead over the simulated path that a player's adoption budget holds, in units.
pub const RECONCILIATION_BUDGET_MAX: i32 = 50;

/// How fast the adoption budget refills, in units a second: a quarter of the client's walking speed.
pub const RECONCILIATION_REFILL_PER_S: u32 = 24;

/// A player farther than this from where viewers draw it, in units, has jumped: its viewers are due for a full state.
pub const JUMP_DISTANCE: i32 = 16;

/// The same where the delay with which viewers learn of vectors counts as well. An honest player's delays come to some 5
/// units in a sync interval.
pub const FLUSH_DELAY_DISTANCE: i32 = 2 * JUMP_DISTANCE;

/// Farthest a claim may lie from where viewers draw its player, in units; and a player that some viewer draws farther off
/// gets no new vector. A client that is a quarter too fast or too slow comes to 96 between two jumps, and lags by the stall
/// of a moment.
pub const EXTRAPOLATION_DISTANCE_MAX: i32 = 2 * CLAIM_DISTANCE_MAX + JUMP_DISTANCE;

/// How often a player may jump, in milliseconds: hardly more often than each viewer gets a full state in any case. More
/// jumps have to wait, and claims that lead too far from where the player is drawn are refused meanwhile.
pub const JUMP_INTERVAL_MS: u32 = 4_000;

/// Jumps that a player may save up.
pub const JUMPS_MAX: u64 = 3;

/// A player whose last MOVE with a claim is this old stops, in milliseconds: a hidden tab sends no key release.
pub const MOVE_SILENCE_MS: u32 = 3_000;

/// An ATTACK this soon after the attack under way began belongs to it, in milliseconds: a quarter of the client's animation.
pub const ATTACK_REPEAT_MS: u32 = 250;

// ---- Visibility ----------------------------------------------------------------------------------------------

/// Cells along one side of the spatial grid.
pub const GRID_CELLS_PER_SIDE: usize = 128;

/// Most players one client is ever shown (`MAX_VISIBLE` may not exceed it): the client keeps messages in order only
/// up to about 200 kB, and a full state must stay far below that.
pub const INTEREST_SET_MAX: usize = 4_096;

/// How far outside its viewer's rectangle a visible player may be before it leaves the view, in units.
pub const INTEREST_LEAVE_MARGIN: u16 = 48;

/// How long a player stays visible at least, in milliseconds: JOINED and LEFT within about a second can leave a ghost
/// sprite in the client, which creates sprites asynchronously.
pub const INTEREST_DWELL_MS: u32 = 2_000;

/// How long a departed player's LEFT waits at least after its JOINED, in milliseconds, for the same reason.
pub const REMOVED_DWELL_MS: u32 = 1_000;

/// When the vector of a mover that came into view is repeated, in milliseconds after its entrance.
pub const KEYFRAME_AFTER_MS: u32 = 1_000;

/// No `GAME_STATE` is sent within this time after a viewer's first remote entrance, in milliseconds: the client is
/// loading its first sprite and would draw every listed player twice for good.
pub const FIRST_SPRITE_LOAD_MS: u32 = 3_000;

/// Viewers of a player whose position jumped get a full state within this time, in milliseconds, unless
/// [`JUMP_SYNC_PAUSE_MS`] keeps them waiting.
pub const JUMP_SYNC_MS: u32 = 1_000;

/// A player that stays for so long is entered in the views of those whose nearest it is, in milliseconds; one that leaves
/// sooner, and does nothing, may go unseen.
pub const ENTER_PRESENCE_MS: u32 = 250;

/// Players that have gone and stay in the world until viewers have been told of them. They take no place of `MAX_CONNECTIONS`. With
/// one more, the one that would have gone next goes at once.
pub const LINGERING_MAX: usize = 1_024;

/// Least time between two full states of a viewer, in milliseconds, however many players jump.
pub const JUMP_SYNC_PAUSE_MS: u32 = 2_000;

/// Visibility is recomputed this many times a second when the server is not under load.
pub const INTEREST_UPDATE_RATE_HZ: u32 = 5;

// ---- Coming back ---------------------------------------------------------------------------------------------

/// Longest time for which what players left behind may be remembered, in seconds.
pub const SESSION_TTL_S_MAX: u32 = 86_400;

/// Longest `COOKIE_PATH`, in bytes.
pub const COOKIE_PATH_BYTES_MAX: usize = 256;

/// Players who have left and are remembered at most; with more, those who left first are forgotten. Some 100 bytes each.
pub const SESSIONS_SAVED_MAX: usize = 64 * 1024;

/// Least time between two returns of a session, in milliseconds. A token that comes sooner makes a fresh player.
pub const RECONNECT_INTERVAL_MS: u16 = 1_000;

/// How long a connection has to answer the ping that a second use of its session token causes, in milliseconds. A
/// connection that stays silent gives way to the newcomer.
pub const RECONNECT_PING_MS: u64 = 1_000;

/// Handshakes that wait for such an answer, or for other nodes, at most; one more becomes a fresh player at once. Half of
/// [`HTTP_CONNECTIONS_MAX`], so that as many places stay free for everything else.
pub const RECONNECTS_PENDING_MAX: usize = HTTP_CONNECTIONS_MAX / 2;

/// Size of the file of a store, in bytes. A larger one is compacted; one that stays larger is replaced by an empty one. The
/// rows of [`SESSIONS_SAVED_MAX`] sessions take some 10 MiB, and redb needs a few times as much while it writes.
pub const SESSION_FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// How often a player is written to a store that outlives the process, in milliseconds.
pub const SESSION_SAVE_MS: u64 = 10_000;

/// How often that store is written, in milliseconds.
pub const SESSION_STORE_WRITE_MS: u64 = 1_000;

/// How long the end of the process waits for the store, in milliseconds.
pub const SESSION_STORE_STOP_MS: u64 = 2_000;

/// Files of a store that may break under one process before it writes no more: each leaves memory and a descriptor behind.
pub const SESSION_FILES_BROKEN_MAX: u32 = 8;

/// Most memory in which the store keeps what it has read, in bytes.
pub const SESSION_STORE_CACHE_BYTES: usize = 4 * 1024 * 1024;

// ---- Cluster -------------------------------------------------------------------------------------------------

/// Side of the regions in which processes tell one another of their players, in units.
pub const REGION_SIDE: u16 = 250;

/// How far beyond what its viewers see a process listens, in units: a second's walk, so that who comes into view is known.
pub const REGION_MARGIN: i32 = 100;

/// How often a process looks which regions its viewers see, in milliseconds.
pub const SUBSCRIPTION_UPDATE_MS: u64 = 250;

/// How long a process listens on to a region that nobody sees any more, in milliseconds.
pub const SUBSCRIPTION_LINGER_MS: u64 = 2_000;

/// How often a process tells all its players of a region, in milliseconds: whatever was lost is right again by then.
pub const REGION_SNAPSHOT_MS: u64 = 2_000;

/// So many times it tells of a region that none of its players is in any more.
pub const EMPTY_REGION_SNAPSHOTS: u8 = 2;

/// How often a process says that it lives, in milliseconds.
pub const HEARTBEAT_MS: u64 = 500;

/// A process that has said nothing for so long is gone, and its players with it, in milliseconds.
pub const PEER_TIMEOUT_MS: u64 = 2_250;

/// Players of a region whose process has not told of it for so long are gone, in milliseconds: two snapshots, and some more.
pub const REGION_TIMEOUT_MS: u64 = 5_000;

/// Processes of one world at most; more are not listened to.
pub const PEERS_MAX: usize = 256;

/// Slots for other nodes' players at most, those kept for ghosts that may return included: some 200 bytes each. Beyond it the
/// oldest kept slot is given away; a new ghost is not shown when none is kept.
pub const GHOST_SLOTS_MAX: usize = 200_000;

/// Regions of all peers together of which something is remembered, some 100 bytes each; more are not listened to.
pub const PEER_REGIONS_MAX: usize = 64 * 1024;

/// How long the slot of another process's player who has gone is kept for it, in milliseconds: by then everybody who takes
/// what it is sent has been told that it went.
pub const GHOST_SLOT_HOLD_MS: u32 = 60_000;

/// Ids that a process is granted at a time; it asks for more while it has less than that in reserve.
pub const LEASE_IDS: u32 = 16_384;

/// How far a claim about ids may lie ahead of a node's own, in ids: what 256 restarts of nodes take at once.
pub const IDS_LEAD_MAX: u32 = 256 * LEASE_IDS;

/// Ids that a whole cluster uses up in a second at most: claims may lie ahead by that for each second since the last lease.
pub const IDS_PER_S_MAX: u64 = 1_000;

/// Highest counter that a node believes before its first lease. What lies above lasts for ten months at ten joins a second.
pub const IDS_FRESH_END_MAX: u32 = u32::MAX - (1 << 28);

/// Ranges of ids that a node remembers of itself.
pub const ID_BLOCKS_MAX: usize = 4_096;

/// A process without ids waits so long for others to say which are taken before it begins to count anew, in milliseconds:
/// longer than they may take to come back to a bus that has lost everything.
pub const LEASE_BOOTSTRAP_MS: u64 = 3_000;

/// How long a handshake waits for what the bus keeps of its session, in milliseconds; also until the bus is asked a second
/// time, while the owner has not answered.
pub const RECONNECT_LOOKUP_MS: u64 = 150;

/// How long a handshake waits for the answer of the node that has its session's player, in milliseconds: that node pings the
/// player first.
pub const RECONNECT_OWNER_MS: u64 = RECONNECT_PING_MS + 2 * RECONNECT_LOOKUP_MS;

/// Shortest and longest wait before another attempt to reach the bus, in milliseconds.
pub const LINK_BACKOFF_MS: Range<u64> = 100..1_500;

/// A connection to the bus that stood for so long was a good one, in milliseconds: what comes then is news.
pub const LINK_STABLE_MS: u64 = 3_000;

/// How long the bus may take for an answer, in milliseconds.
pub const LINK_TIMEOUT_MS: u64 = 1_000;

/// Addresses of the bus's name that are tried in one attempt.
pub const LINK_ADDRESSES_MAX: usize = 8;

/// How long a node may hear no peer although the bus counts other subscribers before it is degraded, in milliseconds:
/// longer than a peer's silence, so that a peer that stops does not count.
pub const ISOLATION_TIMEOUT_MS: u64 = 3_000;

/// How long the end of the process waits for the last words to be said, in milliseconds.
pub const LINK_STOP_MS: u64 = 1_000;

/// Orders that may wait for the bus; more are lost, as anything on the bus may be. Three seconds of rounds.
pub const BUS_COMMANDS_MAX: usize = 64;

/// Bytes of orders that may wait for the bus; more are lost.
pub const BUS_COMMANDS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Messages of others that may wait for the loop; more are lost and healed by later snapshots.
pub const BUS_INBOX_MAX: usize = 8_192;

/// Bytes of messages of others that may wait for the loop; more are lost and healed by later snapshots.
pub const BUS_INBOX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Messages of others that are taken in during one turn of the loop.
pub const BUS_POLL_MESSAGES: usize = 128;

/// Bytes of messages of others that are taken in during one turn of the loop; the last message may exceed it.
pub const BUS_POLL_BYTES: usize = 64 * 1024;

/// Time for messages of others in one turn of the loop, in nanoseconds; the last message may exceed it.
pub const BUS_POLL_NS: u64 = 2_000_000;

/// After a turn that used up its time the bus rests for this many times as long: it takes a quarter of the loop at most.
pub const BUS_PAUSE_FACTOR: u64 = 3;

/// Longest such rest, in nanoseconds: the process may have been stopped in the midst of a turn.
pub const BUS_PAUSE_NS_MAX: u64 = 100_000_000;

/// Longest message between nodes, in bytes: 29,000 players of one node in one region.
pub const BUS_MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Longest delay of a message that is measured, in milliseconds: more is a clock that is wrong, or a lie.
pub const BUS_DELAY_MS_MAX: u64 = 60_000;

/// How old a message with a tag may be, or how far ahead its sender's clock, in milliseconds: a replay is of no use after that.
pub const TAGGED_AGE_MS_MAX: u64 = 30_000;

/// Shortest and longest `CLUSTER_SECRET`, in bytes.
pub const CLUSTER_SECRET_BYTES: Range<usize> = 32..257;

/// Least time between two snapshots of a region on request, in milliseconds.
pub const SNAPSHOT_REQUEST_MS: u64 = 250;

/// How long a newer number holds off older ones of the same player or region, in milliseconds. A forged number can be the
/// highest there is; then the node's own messages count again after this time.
pub const SEQUENCE_HOLD_MS: u64 = 5_000;

/// Longest name of a process, in bytes.
pub const NODE_NAME_BYTES_MAX: usize = 64;

// ---- Connections ---------------------------------------------------------------------------------------------

/// Longest HTTP request head, in bytes; a longer one is answered with 431. Cookies of a domain that many programs share take
/// more than 8 KiB.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header fields of an HTTP request; more are answered with 431.
pub const HTTP_HEADERS_MAX: usize = 100;

/// Most entries of a header field with a list (what a client accepts, entity tags) that are looked at. Clients send a dozen; a
/// head has room for thousands of empty ones.
pub const HTTP_LIST_ITEMS_MAX: usize = 64;

/// Size of the one buffer all sockets are read into, in bytes.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// Bytes read from one connection before the others get their turn.
pub const READ_BUDGET_BYTES: usize = 16 * 1024;

/// Writes made in a row before the loop polls for what arrived meanwhile: an ack waits for half of them on average. A
/// poll costs less than a write; with 16 instead of 128 ten thousand players' acks took 0.3 ms instead of 0.9, for the same
/// CPU time.
pub const WRITE_SLICE: usize = 16;

/// Events taken from the kernel in one poll.
pub const EVENTS_PER_POLL: usize = 1_024;

/// Connections beyond `MAX_CONNECTIONS` kept for plain HTTP (health checks, metrics, pages) and for handshakes; fewer
/// where the limit of open files is small.
pub const HTTP_CONNECTIONS_MAX: usize = 512;

/// Addresses whose rate of connections is remembered at a time, a multiple of 8; what happens to one more is in
/// [`crate::admission::limiter`]. An address is forgotten as soon as its bucket is full again, which after a single
/// connection takes 20 ms at the default rate.
pub const RATED_ADDRESSES_MAX: usize = 16 * 1024;

/// Longest PROXY protocol header, in bytes, its TLVs included; a longer one closes the connection. Proxies that tell
/// all they know about a client's certificate need some hundreds.
pub const PROXY_HEADER_BYTES_MAX: usize = 2 * 1024;

/// Connections not accepted yet beyond which a longer queue in the kernel helps nobody: so many come in within some
/// ticks. Its length is the kernel's limit (`net.core.somaxconn`).
pub const LISTEN_BACKLOG_USEFUL: u64 = 4_096;

/// Connections to `ADMIN_ADDR` at a time, beyond all others; players can't use them up.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;

/// Descriptors held back for connections that arrive when there are none left: each is answered and sent away.
pub const RESERVE_DESCRIPTORS: usize = 8;

/// How long a connection may take up a spare descriptor, in milliseconds.
pub const RESERVE_DESCRIPTOR_TIMEOUT_MS: u64 = 500;

/// Descriptors the process needs beside its connections: listeners, timer, signals, epoll, log, standard streams, and
/// [`RESERVE_DESCRIPTORS`].
pub const DESCRIPTORS_OVERHEAD: u64 = 32;

/// Longest time that HTTP work takes in one turn of the loop, in nanoseconds: an ack waits half as long on average.
pub const HTTP_SLICE_NS: i64 = 200_000;

/// Visits of HTTP connections in one turn of the loop: a request answered, or a piece of an answer written.
pub const HTTP_SLICE_VISITS: usize = 32;

/// Time that HTTP work may save up while there is none, in nanoseconds.
pub const HTTP_ALLOWANCE_NS_MAX: i64 = 2_000_000;

/// Bytes of an answer that are written before other connections get their turn.
pub const HTTP_WRITE_BYTES: usize = 64 * 1024;

/// Longest sleep of the loop while HTTP work waits for its share of the time, in milliseconds.
pub const HTTP_WAIT_MS: u64 = 1;

/// Time after which an answer whose peer takes nothing of it may make room for a new connection, in milliseconds.
pub const HTTP_PROGRESS_MS: u64 = 10_000;

/// Places of [`HTTP_CONNECTIONS_MAX`] that are kept for questions about health and metrics; one in four where there are
/// few. They are taken only when no other place can be had.
pub const HTTP_RESERVED_MAX: usize = 8;

/// Time that a connection in a kept place has in any case, in milliseconds; after that it makes room for the next one.
pub const HTTP_RESERVED_HOLD_MS: u64 = 100;

/// Bytes by which a reader may fall behind `HTTP_MIN_RATE` before its answer is cut: as much as the kernel takes at once,
/// and half a minute without a byte at the default.
pub const HTTP_SLACK_BYTES: u64 = 64 * 1024;

/// Renderings of `/metrics` a second in each format; more questions get the same bytes again.
pub const METRICS_RENDERS_PER_S: u64 = 4;

/// Least time between two log lines about the same lack of descriptors or memory, in milliseconds.
pub const EXHAUSTION_LOG_INTERVAL_MS: u64 = 10_000;

/// Time for a whole request head to arrive, in milliseconds: since the connection was accepted, or since the first byte of a
/// further head. Between two requests `KEEPALIVE_TIMEOUT_SEC` counts.
pub const HTTP_TIMEOUT_MS: u64 = 10_000;

/// Time a connection gets to end its side after it has been sent its last byte, in milliseconds; also the longest time in
/// which a player that is sent away takes nothing of its last bytes.
pub const CLOSE_TIMEOUT_MS: u64 = 3_000;

/// Longest time for which a player's messages that were left unread are credited to it, in milliseconds: at the default
/// rate as long MOVEs they would then fill half a socket's receive buffer.
pub const UNREAD_CREDIT_MS_MAX: u64 = 60_000;

/// Players whose messages over the rate are looked at in one tick, to see whether they can be applied by now; others wait for
/// the next tick. A thousand take half a millisecond.
pub const DEFERRED_PER_TICK: usize = 1_024;

/// A turn of the loop in which the thread did not run for longer than this, in milliseconds, was no turn: the process was
/// suspended, or got no processor. Peers could not make themselves heard meanwhile, so that it counts towards none of
/// their deadlines.
pub const LOOP_PAUSE_MS_MIN: u64 = 250;

/// Send buffer of each connection in the kernel, in bytes; it keeps as much again for its own account of them. Left to
/// itself it lets four megabytes wait for a peer that does not read, which at what a player is sent takes minutes, and
/// until then nothing here notices that the peer takes nothing. Seconds of updates fit, or a full state several times.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Pause after the kernel had no descriptor or memory for another connection, in milliseconds.
pub const ACCEPT_PAUSE_MS: u64 = 100;

/// Most log lines waiting to be written; more are dropped and counted.
pub const LOG_LINES_MAX: usize = 1_024;

/// How long the end of the process waits for the log's thread to write what was logged, in milliseconds.
pub const LOG_STOP_MS: u64 = 2_000;

/// How long a process that ends in a panic takes to write its last line at most, in milliseconds.
pub const PANIC_LOG_MS: u64 = 3_000;

/// How often the watchdog looks for ticks, in milliseconds of its own sleep.
pub const WATCHDOG_PERIOD_MS: u64 = 1_000;

/// Wake-ups of the watchdog in a row without a tick after which it aborts the process.
pub const WATCHDOG_WAKE_UPS_MAX: u32 = 5;

/// How late a tick may be, in periods, before the missed ones are made up in one step and counted as skipped.
pub const TICK_LATENESS_PERIODS_MAX: u64 = 3;

const _: () = assert!(BUS_MESSAGE_BYTES_MAX <= BUS_INBOX_BYTES_MAX);
const _: () = assert!(IDS_FRESH_END_MAX < u32::MAX - 2 * LEASE_IDS);
const _: () = assert!(
    RECONNECT_PING_MS >= RECONNECT_INTERVAL_MS as u64,
    "a session that was taken over has not returned a moment ago"
);
const _: () = assert!(LEASE_BOOTSTRAP_MS > LINK_BACKOFF_MS.end + LINK_TIMEOUT_MS);
const _: () = assert!(ISOLATION_TIMEOUT_MS > PEER_TIMEOUT_MS + HEARTBEAT_MS);
const _: () = assert!(PEER_TIMEOUT_MS > 4 * HEARTBEAT_MS, "a few beats may be lost");
const _: () = assert!(REGION_TIMEOUT_MS > 2 * REGION_SNAPSHOT_MS, "a snapshot may be lost");
const _: () = assert!(MESSAGE_BYTES_MAX <= CONTROL_PAYLOAD_BYTES_MAX, "the framing's cap is on all frames");
const _: () =
    assert!(RESERVE_DESCRIPTORS as u64 + 16 <= DESCRIPTORS_OVERHEAD, "some must be left for the rest");
const _: () = assert!(READ_BUDGET_BYTES <= SCRATCH_BYTES);
const _: () = assert!(HTTP_HEAD_BYTES_MAX <= READ_BUDGET_BYTES);
const _: () = assert!(HTTP_RESERVED_HOLD_MS < RESERVE_DESCRIPTOR_TIMEOUT_MS);
const _: () = assert!(HTTP_RESERVED_MAX * 4 < HTTP_CONNECTIONS_MAX);
const _: () = assert!(1_000 % METRICS_RENDERS_PER_S == 0, "a rendering costs whole milliseconds");
const _: () = assert!(PROXY_HEADER_BYTES_MAX < HTTP_HEAD_BYTES_MAX, "it waits in the same buffer");
const _: () = assert!(RATED_ADDRESSES_MAX.is_multiple_of(8));
const _: () =
    assert!(5 + 11 * INTEREST_SET_MAX < SEND_BUFFER_BYTES, "a full state fits into an empty send buffer");
const _: () = assert!(5 + 11 * INTEREST_SET_MAX < 200_000, "a full state must reach the client in order");
const _: () =
    assert!(KEYFRAME_AFTER_MS <= INTEREST_DWELL_MS, "a mover must be visible when its vector is repeated");
const _: () = assert!(JUMP_DISTANCE < CLAIM_DISTANCE_MAX);
const _: () = assert!(
    RECONCILIATION_REFILL_PER_S * JUMP_INTERVAL_MS / 1000 + (JUMP_DISTANCE as u32)
        < EXTRAPOLATION_DISTANCE_MAX as u32,
    "a client that is as fast as it may be is not refused between two jumps"
);
const _: () = assert!(FLUSH_DELAY_DISTANCE < EXTRAPOLATION_DISTANCE_MAX);
const _: () = assert!(LOG_STOP_MS < PANIC_LOG_MS, "a log that hangs must leave time for the last line");
