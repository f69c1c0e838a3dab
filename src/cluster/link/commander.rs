//! The thread that has orders: it publishes, keeps the ids and the places, and wakes the subscriber.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use redis::{ErrorKind, RedisResult, ServerErrorKind};

use super::super::{Channel, Outgoing};
use super::primary::{is_wrong_instance, require_primary};
use super::{News, Order, Record, Shared, backoff, failures_before};
use crate::limits::{BEAT_MS, LEASE_IDS, PLAYER_ID_FIRST};
use crate::resume::{Keepsake, Ticket};

/// Keys in one write.
const KEYS_AT_ONCE: usize = 1_000;

/// Raises the counter above all ids known to be taken, and takes some more if there are any to be taken: without a counter,
/// somebody else might be about to raise it, so that it is only made when that was waited for.
const LEASE: &str = "
local counter = tonumber(redis.call('GET', KEYS[1]) or '0')
if counter == 0 and ARGV[3] == '0' then return 0 end
if counter < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return redis.call('INCRBY', KEYS[1], ARGV[2])";

/// What the bus may refuse.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    ForIds,
    ToKeep,
    ToGive,
}

impl Asked {
    /// How many there are.
    pub(super) const COUNT: usize = 3;

    /// What is lost.
    fn loss(self) -> &'static str {
        match self {
            Self::ForIds => "ids for newcomers",
            Self::ToKeep => "to keep players' places",
            Self::ToGive => "to give out players' places",
        }
    }
}

pub(super) struct Commander {
    pub(super) shared: Arc<Shared>,
    pub(super) news: SyncSender<News>,
}

impl Commander {
    pub(super) fn run(&self, orders: &Receiver<Order>) {
        let mut failures = 0;
        while !self.shared.is_over() {
            let began = Instant::now();
            let result = self.shared.connect().and_then(|connection| {
                self.shared.generation.fetch_add(1, Ordering::AcqRel);
                self.shared.is_commanding.store(true, Ordering::Release);
                self.obey(connection, orders)
            });
            self.shared.is_commanding.store(false, Ordering::Release);
            self.shared.subscribers.store(0, Ordering::Relaxed);
            let Err(error) = result else { return };
            if is_wrong_instance(&error) {
                self.shared.leave_instance();
            }
            failures = failures_before(failures, began);
            self.shared.note_failure(failures, &error);
            let until = Instant::now() + backoff(failures);
            failures += 1;
            // What is ordered meanwhile is lost, as if it had been said.
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                if matches!(orders.recv_timeout(left), Err(RecvTimeoutError::Disconnected)) {
                    return;
                }
            }
        }
    }

    /// Until the connection breaks, or nothing will be ordered any more.
    fn obey(&self, mut connection: redis::Connection, orders: &Receiver<Order>) -> RedisResult<()> {
        let beat = Duration::from_millis(BEAT_MS);
        let mut woke = None;
        loop {
            if woke.is_none_or(|woke: Instant| woke.elapsed() >= beat) {
                self.beat(&mut connection)?;
                woke = Some(Instant::now());
            }
            match orders.recv_timeout(beat) {
                Ok(Order::Say(said)) => self.say(&mut connection, &said)?,
                Ok(Order::Listen) => self.wake_subscriber(&mut connection)?,
                Ok(Order::Raise(above)) => {
                    let result = self.lease(&mut connection, above, 0, true);
                    self.unless_refused(Asked::ForIds, result)?;
                }
                Ok(Order::Lease { above, may_begin }) => {
                    let result = self.lease(&mut connection, above, LEASE_IDS, may_begin);
                    if let Some(end) = self.unless_refused(Asked::ForIds, result)? {
                        self.pass_on_ids(end);
                    }
                }
                Ok(Order::Keep(keepsakes, ttl_s)) => {
                    let result = self.keep(&mut connection, &keepsakes, ttl_s);
                    self.unless_refused(Asked::ToKeep, result)?;
                }
                Ok(Order::Fetch(tickets)) => {
                    let result = self.fetch(&mut connection, &tickets);
                    self.unless_refused(Asked::ToGive, result)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// What the bus answered, unless it is there and would not do what it was asked, since it is full, say: that costs what was
    /// asked and nothing else. One line when it begins, and one when it is over.
    fn unless_refused<T>(&self, asked: Asked, result: RedisResult<T>) -> RedisResult<Option<T>> {
        let (shared, shown) = (&self.shared, &self.shared.address.shown);
        let is_refusing = &shared.is_refusing[asked as usize];
        match result {
            Err(error)
                if !error.is_io_error() && !error.is_unrecoverable_error() && !is_wrong_instance(&error) =>
            {
                shared.counts.refusals.fetch_add(1, Ordering::Relaxed);
                if !is_refusing.swap(true, Ordering::Relaxed) {
                    log::error!("the bus at {shown} refuses {}: {error}", asked.loss());
                }
                Ok(None)
            }
            Ok(answer) => {
                if is_refusing.swap(false, Ordering::Relaxed) {
                    log::info!("the bus at {shown} does not refuse {} any more", asked.loss());
                }
                Ok(Some(answer))
            }
            Err(error) => Err(error),
        }
    }

    fn keep(
        &self,
        connection: &mut redis::Connection,
        keepsakes: &[Keepsake],
        ttl_s: u32,
    ) -> RedisResult<()> {
        let node = self.shared.address.node;
        for keepsakes in keepsakes.chunks(KEYS_AT_ONCE) {
            let mut pipe = redis::pipe();
            for &Keepsake { ticket, saved, has_left } in keepsakes {
                let record = Record { node, has_left, saved };
                let key = self.shared.address.key_of(ticket);
                pipe.cmd("SET").arg(key).arg(record.to_bytes()).arg("EX").arg(ttl_s).ignore();
            }
            pipe.exec(connection)?;
        }
        Ok(())
    }

    fn fetch(&self, connection: &mut redis::Connection, tickets: &[Ticket]) -> RedisResult<()> {
        for tickets in tickets.chunks(KEYS_AT_ONCE) {
            let mut pipe = redis::pipe();
            for &ticket in tickets {
                pipe.cmd("GETDEL").arg(self.shared.address.key_of(ticket));
            }
            let kept: Vec<Option<Vec<u8>>> = pipe.query(connection)?;
            let records = kept.iter().map(|bytes| bytes.as_deref().and_then(Record::from_bytes));
            let fetched = tickets.iter().copied().zip(records).collect();
            self.shared.pass_on(&self.news, News::Fetched(fetched));
        }
        Ok(())
    }

    /// Twice a second: the role is asked for, the subscriber woken, and the common channel's subscribers are counted.
    fn beat(&self, connection: &mut redis::Connection) -> RedisResult<()> {
        if !self.shared.is_role_untold.load(Ordering::Relaxed) {
            require_primary(connection)?;
        }
        self.wake_subscriber(connection)?;
        let channel = self.shared.address.channel(Channel::All);
        let counted: RedisResult<(String, u64)> =
            redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query(connection);
        let subscribers = match counted {
            Ok((_, subscribers)) => subscribers,
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => 0,
            Err(error) => return Err(error),
        };
        self.shared.subscribers.store(subscribers, Ordering::Relaxed);
        Ok(())
    }

    fn wake_subscriber(&self, connection: &mut redis::Connection) -> RedisResult<()> {
        redis::cmd("PUBLISH").arg(self.shared.address.wake_channel()).arg("").exec(connection)
    }

    /// All that is said goes in one write and is answered in one.
    fn say(&self, connection: &mut redis::Connection, said: &[Outgoing]) -> RedisResult<()> {
        let mut pipe = redis::pipe();
        for Outgoing { channel, bytes } in said {
            pipe.cmd("PUBLISH").arg(self.shared.address.channel(*channel)).arg(bytes.as_slice()).ignore();
        }
        pipe.exec(connection)?;
        let counts = &self.shared.counts;
        counts.messages_out.fetch_add(said.len() as u64, Ordering::Relaxed);
        let bytes: usize = said.iter().map(|said| said.bytes.len()).sum();
        counts.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Raises the counter, and takes so many; returns where it stands now.
    fn lease(
        &self,
        connection: &mut redis::Connection,
        above: u32,
        count: u32,
        may_begin: bool,
    ) -> RedisResult<i64> {
        let mut command = redis::cmd("EVAL");
        command.arg(LEASE).arg(1).arg(self.shared.address.counter());
        command.arg(above.max(PLAYER_ID_FIRST)).arg(count).arg(u8::from(may_begin));
        command.query(connection)
    }

    fn pass_on_ids(&self, end: i64) {
        match u32::try_from(end) {
            // There is no counter yet.
            Ok(0) => {}
            Ok(end) => self.shared.pass_on(&self.news, News::Leased(end.saturating_sub(LEASE_IDS)..end)),
            Err(_) => log::error!("the bus at {} has no ids left: {end}", self.shared.address.shown),
        }
    }
}
