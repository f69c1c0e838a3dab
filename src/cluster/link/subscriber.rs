//! The thread that receives messages.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redis::RedisResult;

use super::super::Channel;
use super::{LinkEvent, Shared, backoff, failures_in_a_row};
use crate::limits::{BUS_MESSAGE_BYTES_MAX, HEARTBEAT_MS};

/// Channels per SUBSCRIBE command.
const CHANNELS_AT_ONCE: usize = 1_000;

pub(super) struct Subscriber {
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: SyncSender<LinkEvent>,
}

impl Subscriber {
    pub(super) fn run(&self) {
        let mut failures = 0;
        while !self.shared.is_closed() {
            let began = Instant::now();
            let Err(error) = self.run_connection() else { return };
            failures = failures_in_a_row(failures, began);
            self.shared.is_subscriber_connected.store(false, Ordering::Release);
            self.shared.note_failure(failures, &error);
            thread::sleep(backoff(failures));
            failures += 1;
        }
    }

    /// Receives messages until the connection breaks or the link is closed.
    fn run_connection(&self) -> RedisResult<()> {
        let primary_losses = self.shared.primary_losses.load(Ordering::Acquire);
        let mut connection = self.shared.connect()?;
        let mut pubsub = connection.as_pubsub();
        let wake_channel = self.shared.address.wake_channel();
        pubsub.subscribe(&wake_channel)?;
        let mut current = BTreeSet::new();
        self.update_subscriptions(&mut pubsub, &mut current)?;
        // Tolerates a few late heartbeats.
        pubsub.set_read_timeout(Some(Duration::from_millis(4 * HEARTBEAT_MS)))?;
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
        self.shared.is_subscriber_connected.store(true, Ordering::Release);
        (self.shared.wake)();
        while !self.shared.is_closed() {
            let message = pubsub.get_message()?;
            if self.shared.primary_losses.load(Ordering::Acquire) != primary_losses {
                return Err(io::Error::other("the instance is no longer the primary").into());
            }
            if message.get_channel_name() == wake_channel {
                self.update_subscriptions(&mut pubsub, &mut current)?;
                continue;
            }
            let bytes = message.get_payload_bytes();
            self.shared.counters.messages_in.fetch_add(1, Ordering::Relaxed);
            self.shared.counters.bytes_in.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if bytes.len() > BUS_MESSAGE_BYTES_MAX {
                self.shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if let Some(bytes) = self.shared.verified(message.get_channel_name(), bytes) {
                self.shared.deliver(&self.inbox, LinkEvent::Message(bytes.to_vec()));
            }
        }
        Ok(())
    }

    /// Subscribes to new channels and unsubscribes from stale ones.
    fn update_subscriptions(
        &self,
        pubsub: &mut redis::PubSub<'_>,
        current: &mut BTreeSet<Channel>,
    ) -> RedisResult<()> {
        let wanted = self.shared.channels.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let names = |channels: &[Channel]| -> Vec<String> {
            channels.iter().map(|&channel| self.shared.address.channel(channel)).collect()
        };
        let (fresh, stale): (Vec<Channel>, Vec<Channel>) =
            (wanted.difference(current).copied().collect(), current.difference(&wanted).copied().collect());
        for channels in fresh.chunks(CHANNELS_AT_ONCE) {
            pubsub.subscribe(names(channels))?;
        }
        for channels in stale.chunks(CHANNELS_AT_ONCE) {
            pubsub.unsubscribe(names(channels))?;
        }
        *current = wanted;
        Ok(())
    }
}
