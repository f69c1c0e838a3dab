//! The thread that listens.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redis::RedisResult;

use super::super::Channel;
use super::{News, Shared, backoff, failures_before};
use crate::limits::{BUS_MESSAGE_BYTES_MAX, HEARTBEAT_MS};

/// Channels in one SUBSCRIBE.
const CHANNELS_AT_ONCE: usize = 1_000;

pub(super) struct Subscriber {
    pub(super) shared: Arc<Shared>,
    pub(super) news: SyncSender<News>,
}

impl Subscriber {
    pub(super) fn run(&self) {
        let mut failures = 0;
        while !self.shared.is_over() {
            let began = Instant::now();
            let Err(error) = self.listen() else { return };
            failures = failures_before(failures, began);
            self.shared.is_subscribed.store(false, Ordering::Release);
            self.shared.note_failure(failures, &error);
            thread::sleep(backoff(failures));
            failures += 1;
        }
    }

    /// Until the connection breaks, or nobody wants to know any more.
    fn listen(&self) -> RedisResult<()> {
        let departures = self.shared.departures.load(Ordering::Acquire);
        let mut connection = self.shared.connect()?;
        let mut bus = connection.as_pubsub();
        let wake_channel = self.shared.address.wake_channel();
        bus.subscribe(&wake_channel)?;
        let mut current = BTreeSet::new();
        self.follow(&mut bus, &mut current)?;
        // Several beats may be late.
        bus.set_read_timeout(Some(Duration::from_millis(4 * HEARTBEAT_MS)))?;
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
        self.shared.is_subscribed.store(true, Ordering::Release);
        (self.shared.wake)();
        while !self.shared.is_over() {
            let message = bus.get_message()?;
            if self.shared.departures.load(Ordering::Acquire) != departures {
                return Err(io::Error::other("the instance is no primary any more").into());
            }
            if message.get_channel_name() == wake_channel {
                self.follow(&mut bus, &mut current)?;
                continue;
            }
            let bytes = message.get_payload_bytes();
            self.shared.counts.messages_in.fetch_add(1, Ordering::Relaxed);
            self.shared.counts.bytes_in.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if bytes.len() > BUS_MESSAGE_BYTES_MAX {
                self.shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if let Some(bytes) = self.shared.opened(message.get_channel_name(), bytes) {
                self.shared.pass_on(&self.news, News::Message(bytes.to_vec()));
            }
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
