//! The game without sockets: messages become inputs, inputs become acks, and ticks become flush rounds. The event loop owns
//! one engine; simulation and fuzzing drive it directly.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::admission::rate::{RateLimit, Verdict};
use crate::cluster::region::{RegionGrid, RegionSet};
use crate::cluster::status::Status;
use crate::cluster::{Node, Now, Outgoing, Received};
use crate::config::Config;
use crate::limits::{INTEREST_UPDATE_RATE_HZ, REGION_MARGIN};
use crate::ops::metrics::{Closed, FrameOut, Metrics, ProtocolViolation};
use crate::replication::governor::{Governor, Load, QualityLevel};
use crate::replication::grid::Rect;
use crate::replication::pool::Pool;
use crate::replication::{FrameCounts, Scene, Settings, Viewer, Viewers};
use crate::sessions::SavedPlayer;
use crate::wire::message::{self, ClientMessage, DecodeError, ENTRY_BYTES, Facing};
use crate::wire::websocket::{Code, Event, Failure};
use crate::world::{Input, Pace, Position, Rules, Spawn, Vector, World};

/// The world, the viewers' replication state, and the message rate limit.
#[derive(Debug, Serialize, Deserialize)]
pub struct Engine {
    /// Shared with the worker threads only while they encode a batch.
    scene: Arc<Scene>,
    viewers: Viewers,
    rate_limit: RateLimit,
    pub(super) governor: Governor,
    /// Time spent on interest and encoding since the start, in nanoseconds, including waiting for workers.
    pub(super) replication_ns: u64,
}

/// How to close a connection because of its player's input.
#[derive(Debug, PartialEq, Eq)]
pub struct CloseRequest {
    /// Reason for the `closed` counter.
    pub reason: Closed,
    /// Close code and reason to send; `None` if the peer's close frame has been answered already.
    pub close: Option<(Code, &'static str)>,
}

impl Engine {
    /// Creates an empty world at this time in nanoseconds. `seed` determines the spawn positions by default.
    pub fn new(config: &Config, now_ns: u64, seed: u64) -> Self {
        let settings = settings_of(config);
        let mut scene = Scene::new(rules_of(config, config.spawn_seed.unwrap_or(seed)));
        scene.world.set_linger(settings.interest_update_max());
        if config.cluster_url.is_some() {
            scene.world.require_granted_ids();
        }
        let viewers = Viewers::new(settings);
        let mut engine = Self {
            scene: Arc::new(scene),
            viewers,
            rate_limit: rate_limit_of(config),
            governor: Governor::new(configured_quality(config), now_ns),
            replication_ns: 0,
        };
        engine.set_world_cadence();
        engine
    }

    /// Passes the flush and sync intervals to the world, which sizes its change tracking by them.
    fn set_world_cadence(&mut self) {
        let (flush, sync) = (self.viewers.settings().flush_interval, self.viewers.settings().sync_interval);
        self.scene_mut().world.set_cadence(flush, sync);
    }

    /// Returns the world.
    pub fn world(&self) -> &World {
        &self.scene.world
    }

    /// Returns the viewers' replication state.
    pub fn viewers(&self) -> &Viewers {
        &self.viewers
    }

    /// Prefetches the cache lines that a message of this player accesses.
    pub fn prefetch(&self, slot: u32) {
        self.scene.world.prefetch(slot);
        self.viewers.prefetch(slot);
    }

    /// Returns the message rate limit per player.
    pub fn rate_limit(&self) -> RateLimit {
        self.rate_limit
    }

    fn scene_mut(&mut self) -> &mut Scene {
        Arc::get_mut(&mut self.scene).expect("workers release the scene before they return a batch")
    }

    /// Applies the configuration of another process, which continues with this world.
    pub(super) fn resume(&mut self, config: &Config) {
        let seed = self.scene.world.rules().seed;
        self.scene_mut().world.set_rules(rules_of(config, seed));
        // Until then interest sets have the size they had.
        let max_visible = self.viewers.settings().max_visible;
        *self.viewers.settings_mut() = Settings { max_visible, ..settings_of(config) };
        self.reconfigure(config);
    }

    /// Applies the settings of a reloaded configuration.
    pub fn reconfigure(&mut self, config: &Config) {
        let pace = self.scene.world.rules().pace;
        self.rate_limit = rate_limit_of(config);
        self.viewers.settings_mut().set_sync_interval(pace, config.sync_interval_s);
        self.governor.reconfigure(configured_quality(config));
        self.apply_quality();
    }

    /// Passes the load to the governor, and applies a changed quality level. `busy_ns` is the CPU time of the loop's thread;
    /// ticks and overrun rounds are counted since the start.
    pub fn govern(&mut self, now_ns: u64, busy_ns: u64, ticks: u64, overruns: u64) {
        let load = Load { busy_ns, replication_ns: self.replication_ns, ticks, overruns };
        if let Some(quality) = self.governor.observe(now_ns, load) {
            log::debug!("load governor: level {}, {quality:?}", self.governor.level());
            self.apply_quality();
        }
    }

    fn apply_quality(&mut self) {
        let QualityLevel { flush_interval_ms, visibility_rate_hz, max_visible } = self.governor.quality();
        self.set_quality(flush_interval_ms, visibility_rate_hz, max_visible);
    }

    /// Sets the quality level: flush interval, rate of interest updates, and size of interest sets, which also grow in a world that
    /// stands still.
    pub fn set_quality(&mut self, flush_interval_ms: u32, visibility_rate_hz: u32, max_visible: usize) {
        let pace = self.scene.world.rules().pace;
        let has_room = max_visible > self.viewers.settings().max_visible;
        self.viewers.settings_mut().set_quality(pace, flush_interval_ms, visibility_rate_hz, max_visible);
        let linger = self.viewers.settings().interest_update_max();
        let world = &mut self.scene_mut().world;
        world.set_linger(linger);
        if has_room {
            world.mark_moved_everywhere();
        }
        self.set_world_cadence();
    }

    /// Adds a player, at the position of `saved` if it reconnects. Appends its first snapshot to `out`. Returns its slot.
    pub fn join(&mut self, saved: Option<SavedPlayer>, out: &mut Vec<u8>, metrics: &mut Metrics) -> u32 {
        let world = &mut self.scene_mut().world;
        let slot = match saved {
            Some(SavedPlayer { x, y, faces_right, budget, .. }) => {
                world.rejoin(Position { x, y }, faces_right, budget)
            }
            None => world.join(),
        };
        let mut counts = FrameCounts::default();
        self.viewers.join(&self.scene, slot, saved.and_then(|saved| saved.viewport), out, &mut counts);
        count_frames(metrics, &counts);
        slot
    }

    /// Returns the state of a player that its session keeps, without the account.
    pub fn saved(&self, slot: u32) -> SavedPlayer {
        let Position { x, y } = self.world().position(slot);
        let half_sides = self.viewers.viewer(slot).and_then(Viewer::half_sides);
        let viewport = half_sides.map(|(width, height)| (2 * width as u16, 2 * height as u16));
        let (faces_right, budget) =
            (self.world().is_facing_right(slot), self.world().reconciliation_budget(slot));
        let reconnected_ms_ago = SavedPlayer::LONG_AGO;
        SavedPlayer { x, y, faces_right, viewport, budget, reconnected_ms_ago, account: None }
    }

    /// Applies a message from another node.
    pub fn receive_bus_message(&mut self, node: &mut Node, bytes: &[u8], now: Now) -> Received {
        node.receive(bytes, now, &mut self.scene_mut().world)
    }

    /// Appends the messages for other nodes that are due, as of the last tick.
    pub fn publish(&self, node: &mut Node, status: Option<Status>, now: Now, out: &mut Vec<Outgoing>) {
        node.publish_due(self.world(), status, now, out);
    }

    /// Expires silent nodes, and updates due subscriptions. Returns whether these changed, and the expired names.
    pub fn update_peers(
        &mut self,
        node: &mut Node,
        now: Now,
        out: &mut Vec<Outgoing>,
    ) -> (bool, Vec<String>) {
        let gone = node.expire(now, &mut self.scene_mut().world);
        if !node.is_interest_due(now) {
            return (false, gone);
        }
        let visible = self.visible_regions(node.regions());
        (node.update_subscriptions(&visible, now, &mut self.scene_mut().world, out), gone)
    }

    /// Returns the regions that any viewer sees, or may see within a second.
    fn visible_regions(&self, regions: RegionGrid) -> RegionSet {
        let mut visible = RegionSet::empty(regions);
        for rect in self.viewers.leave_rects(self.world()) {
            let Rect { left, top, right, bottom } = rect;
            let margin = REGION_MARGIN;
            for region in regions.overlapping(left - margin, top - margin, right + margin, bottom + margin) {
                visible.insert(region);
            }
            if visible.len() == regions.count() {
                break;
            }
        }
        visible
    }

    /// Accepts leased ids for this node. Returns false if the lease is implausible and was rejected.
    pub fn grant_ids(&mut self, node: &mut Node, ids: Range<u32>, now: Now) -> bool {
        node.grant(ids, now, &mut self.scene_mut().world)
    }

    /// Returns the number of players on this node.
    pub fn players(&self) -> usize {
        self.world().players()
    }

    /// Removes a player from the world. Its entity lingers for a few ticks, so that viewers are sent the leave.
    pub fn leave(&mut self, slot: u32) {
        self.scene_mut().world.leave(slot);
        self.viewers.leave(slot);
    }

    /// Handles one event of a player with this verdict. Appends acks to `out`. Returns how it closes the connection, if so.
    pub fn handle_event(
        &mut self,
        slot: u32,
        event: &Event,
        verdict: Verdict,
        out: &mut Vec<u8>,
        metrics: &mut Metrics,
    ) -> Option<CloseRequest> {
        let is_message = matches!(event, Event::Message(_) | Event::Malformed(_));
        metrics.messages_in_total += u64::from(is_message);
        match verdict {
            Verdict::Accept => {}
            // LEAVE is accepted at any rate.
            Verdict::Drop if *event == Event::Message(ClientMessage::Leave) => {}
            Verdict::Drop => {
                metrics.rate_limited_total += u64::from(is_message || *event == Event::Ping);
                return None;
            }
            Verdict::Flood => {
                return Some(close_for_flood(metrics));
            }
        }
        match *event {
            Event::Message(message) => self.handle_message(slot, message, out, metrics),
            Event::Malformed(error) => {
                metrics.protocol_errors[violation_of(error)] += 1;
                None
            }
            Event::Ping => {
                metrics.frames_out[FrameOut::Pong] += 1;
                None
            }
            Event::Pong => None,
            Event::Close => {
                metrics.frames_out[FrameOut::Close] += 1;
                Some(CloseRequest { reason: Closed::ByPeer, close: None })
            }
        }
    }

    pub(super) fn handle_message(
        &mut self,
        slot: u32,
        message: ClientMessage,
        out: &mut Vec<u8>,
        metrics: &mut Metrics,
    ) -> Option<CloseRequest> {
        let input = match message {
            ClientMessage::Join => return None,
            ClientMessage::Leave => {
                return Some(CloseRequest { reason: Closed::Left, close: Some((Code::Normal, "goodbye")) });
            }
            ClientMessage::Viewport { width, height } => {
                self.viewers.set_viewport(&self.scene, slot, width, height);
                return None;
            }
            ClientMessage::Move(step) => {
                let vector = Vector::new(step.vector.dx(), step.vector.dy());
                let input = Input::Move { vector, claim: step.claim.map(|claim| (claim.x, claim.y)) };
                if let Some(ack) = self.scene_mut().world.apply(slot, input) {
                    let position = (u32::from(ack.position.x), u32::from(ack.position.y));
                    let is_corrected = step.claim.is_some_and(|claim| (claim.x, claim.y) != position);
                    metrics.corrections_total += u64::from(is_corrected);
                    message::ack(out, ack.id, ack.position.x, ack.position.y, step.sequence);
                    metrics.frames_out[FrameOut::Ack] += 1;
                    metrics.messages_out_total += 1;
                }
                return None;
            }
            ClientMessage::Direction(facing) => Input::Face { right: facing == Facing::Right },
            ClientMessage::Attack => Input::Attack,
            ClientMessage::AttackEnd => Input::AttackEnd,
        };
        self.scene_mut().world.apply(slot, input);
        None
    }

    /// Appends a delta to the player's acks, if its last flush is old enough.
    pub fn piggyback(&mut self, slot: u32, round_is_written: bool, out: &mut Vec<u8>, metrics: &mut Metrics) {
        let mut counts = FrameCounts::default();
        self.viewers.piggyback(&self.scene, slot, round_is_written, out, &mut counts);
        count_frames(metrics, &counts);
    }

    /// Appends a stop for each mover that a player's client shows.
    pub fn stop_movers(&self, slot: u32, out: &mut Vec<u8>, metrics: &mut Metrics) {
        let mut counts = FrameCounts::default();
        self.viewers.stop_movers(&self.scene, slot, out, &mut counts);
        count_frames(metrics, &counts);
    }

    /// Notifies replication that a player's connection has drained its backlog.
    pub fn backlog_drained(&mut self, slot: u32) {
        self.viewers.backlog_drained(&self.scene, slot);
    }

    /// Advances the world by this many ticks.
    pub fn step(&mut self, ticks: u32, metrics: &mut Metrics) {
        let snapshot_bytes = self.viewers.visible_total() as u64 * ENTRY_BYTES as u64;
        metrics.snapshot_bytes_total += snapshot_bytes * u64::from(ticks);
        self.scene_mut().world.step(ticks);
    }

    /// Starts a flush round as of the last tick.
    pub fn begin_flush_round(&mut self) {
        self.scene_mut().refresh();
        self.viewers.begin_flush_round(&self.scene);
    }

    /// Encodes the next batch of due viewers whose connections can be written to; the frames are in the pool.
    pub fn flush_batch(
        &mut self,
        pool: &mut Pool,
        can_be_written: &mut dyn FnMut(u32) -> bool,
        metrics: &mut Metrics,
    ) {
        // A round may span several ticks.
        self.scene_mut().refresh();
        pool.flush_batch(&self.scene, &mut self.viewers, can_be_written);
        for counts in pool.batch().counts() {
            count_frames(metrics, counts);
        }
    }
}

/// Returns the configured quality, at which the governor starts.
fn configured_quality(config: &Config) -> QualityLevel {
    QualityLevel {
        flush_interval_ms: config.batch_interval_ms,
        visibility_rate_hz: INTEREST_UPDATE_RATE_HZ,
        max_visible: config.max_visible,
    }
}

/// Returns the rules of the world. `seed` determines the spawn positions.
fn rules_of(config: &Config, seed: u64) -> Rules {
    let pace = Pace::of_milli(config.tick_rate_hz, config.player_speed.thousandths());
    Rules {
        width: config.world_width,
        height: config.world_height,
        spawn: Spawn {
            min_x: config.spawn_min_x,
            max_x: config.spawn_max_x,
            min_y: config.spawn_min_y,
            max_y: config.spawn_max_y,
        },
        pace,
        attack_ticks: pace.ticks(config.attack_duration_ms),
        seed,
    }
}

/// Returns the settings of replication while the load governor degrades nothing.
fn settings_of(config: &Config) -> Settings {
    Settings::new(
        Pace::of_milli(config.tick_rate_hz, config.player_speed.thousandths()),
        config.max_visible,
        config.batch_interval_ms,
        config.sync_interval_s,
        config.attack_duration_ms,
    )
}

fn rate_limit_of(config: &Config) -> RateLimit {
    RateLimit { per_s: config.rate_limit_msg_per_s, burst: config.rate_limit_burst }
}

/// Returns how to close a flooding connection, and counts the violation.
pub fn close_for_flood(metrics: &mut Metrics) -> CloseRequest {
    metrics.protocol_errors[ProtocolViolation::RateFlood] += 1;
    CloseRequest { reason: Closed::Flood, close: Some((Code::Policy, "too many messages")) }
}

/// Returns how to close a connection with a framing error, and counts the violation.
pub fn close_for_failure(failure: Failure, metrics: &mut Metrics) -> CloseRequest {
    let (fault, reason, why) = match failure {
        Failure::Text => (ProtocolViolation::Text, Closed::Text, "text messages are not understood here"),
        Failure::TooLong => (ProtocolViolation::TooLong, Closed::TooLong, "no message is that long"),
        Failure::InvalidReason => {
            (ProtocolViolation::Framing, Closed::ProtocolError, "a close reason must be UTF-8")
        }
        Failure::Framing => (ProtocolViolation::Framing, Closed::ProtocolError, "broken framing"),
    };
    metrics.protocol_errors[fault] += 1;
    CloseRequest { reason, close: Some((failure.code(), why)) }
}

fn violation_of(error: DecodeError) -> ProtocolViolation {
    match error {
        DecodeError::Length => ProtocolViolation::MessageLength,
        DecodeError::UnknownType => ProtocolViolation::MessageType,
        DecodeError::Value => ProtocolViolation::MessageValue,
    }
}

fn count_frames(metrics: &mut Metrics, frames: &FrameCounts) {
    let counts = [
        (FrameOut::GameState, frames.game_state),
        (FrameOut::Joined, frames.joined),
        (FrameOut::Left, frames.left),
        (FrameOut::Attack, frames.attack),
        (FrameOut::Direction, frames.direction),
        (FrameOut::Movement, frames.movement),
    ];
    for (kind, count) in counts {
        metrics.frames_out[kind] += count;
        metrics.messages_out_total += count;
    }
}
