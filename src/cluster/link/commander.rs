//! The thread that runs commands: publishes, leases ids, stores and fetches sessions, and wakes the subscriber.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use redis::{ErrorKind, RedisResult, ServerErrorKind};

use super::super::ids::Bounds;
use super::super::{Channel, Outgoing};
use super::primary::{is_wrong_instance, require_primary};
use super::record::Value;
use super::{Command, LinkEvent, Shared, backoff, failures_in_a_row};
use crate::limits::{HEARTBEAT_MS, LEASE_IDS, PLAYER_ID_FIRST};
use crate::sessions::{SessionEntry, SessionToken, SessionWrite};

const KEYS_PER_PIPELINE: usize = 1_000;

/// Longest stored session that is read, in bytes.
const VALUE_BYTES_MAX: usize = 256;

/// Raises the counter to `above`, and leases `count` ids. Returns the end of the lease and one of the outcomes below.
///
/// A counter that is not a number or exceeds `most` is treated as missing. A missing counter is created only
/// with `may_create`, since another node might be about to raise it. A plausible counter is raised to `above`
/// only if the distance is at most `lead`.
const LEASE: &str = "
local above, count, most, lead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])
if above > most then return {0, 2} end
local text, counter, outcome = redis.pcall('GET', KEYS[1]), 0, 0
if text then
  if type(text) == 'string' and #text <= 10 and string.match(text, '^%d+$') then counter = tonumber(text) end
  if counter == 0 or counter > most then counter, outcome = 0, 1 end
end
if counter == 0 and ARGV[3] == '0' then return {0, outcome} end
if counter < above and (counter == 0 or above - counter <= lead) then counter = above end
counter = counter + count
redis.call('SET', KEYS[1], string.format('%.0f', counter))
return {counter, outcome}";

/// The counter was implausible and was treated as missing.
const COUNTER_IMPLAUSIBLE: u32 = 1;
/// No ids are left within the bounds.
const IDS_EXHAUSTED: u32 = 2;

/// Takes the value of each key with its remaining TTL. A value that is too long or not a string is discarded.
const FETCH: &str = "
local kept = {}
for at, key in ipairs(KEYS) do
  kept[2 * at - 1] = redis.call('PTTL', key)
  local value = redis.pcall('GETDEL', key)
  if type(value) ~= 'string' or #value > tonumber(ARGV[1]) then value = false end
  kept[2 * at] = value
end
return kept";

/// Operations that Redis may refuse.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    LeaseIds,
    StoreSessions,
    FetchSessions,
}

impl Operation {
    pub(super) const COUNT: usize = 3;

    /// Returns the operation's name in the log.
    fn name(self) -> &'static str {
        match self {
            Self::LeaseIds => "to lease player ids",
            Self::StoreSessions => "to store sessions",
            Self::FetchSessions => "to return sessions",
        }
    }
}

pub(super) struct Commander {
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: SyncSender<LinkEvent>,
}

impl Commander {
    pub(super) fn run(&self, commands: &Receiver<Command>) {
        let mut failures = 0;
        while !self.shared.is_closed() {
            let began = Instant::now();
            let result = self.shared.connect().and_then(|connection| {
                self.shared.generation.fetch_add(1, Ordering::AcqRel);
                self.shared.is_command_connected.store(true, Ordering::Release);
                self.run_commands(connection, commands)
            });
            self.shared.is_command_connected.store(false, Ordering::Release);
            self.shared.subscribers.store(0, Ordering::Relaxed);
            let Err(error) = result else { return };
            if is_wrong_instance(&error) {
                self.shared.note_primary_loss();
            }
            failures = failures_in_a_row(failures, began);
            self.shared.note_failure(failures, &error);
            let until = Instant::now() + backoff(failures);
            failures += 1;
            // Commands queued while disconnected are dropped, like messages lost by the bus.
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                match commands.recv_timeout(left) {
                    Ok(command) => {
                        self.shared.commands_bytes.fetch_sub(command.bytes(), Ordering::AcqRel);
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
        }
    }

    /// Runs commands until the connection breaks or the queue is closed.
    fn run_commands(
        &self,
        mut connection: redis::Connection,
        commands: &Receiver<Command>,
    ) -> RedisResult<()> {
        let interval = Duration::from_millis(HEARTBEAT_MS);
        let mut beat = None;
        loop {
            if beat.is_none_or(|beat: Instant| beat.elapsed() >= interval) {
                self.heartbeat(&mut connection)?;
                beat = Some(Instant::now());
            }
            let command = commands.recv_timeout(interval);
            if let Ok(command) = &command {
                self.shared.commands_bytes.fetch_sub(command.bytes(), Ordering::AcqRel);
            }
            match command {
                Ok(Command::Publish(messages)) => self.publish(&mut connection, &messages)?,
                Ok(Command::Resubscribe) => self.wake_subscriber(&mut connection)?,
                Ok(Command::RaiseIdCounter(bounds)) => {
                    let result = self.lease_ids(&mut connection, bounds, 0, true);
                    self.accept_refusal(Operation::LeaseIds, result)?;
                }
                Ok(Command::LeaseIds { bounds, may_create }) => {
                    let result = self.lease_ids(&mut connection, bounds, LEASE_IDS, may_create);
                    if let Some(lease) = self.accept_refusal(Operation::LeaseIds, result)? {
                        self.deliver_lease(lease);
                    }
                }
                Ok(Command::StoreSessions(writes, ttl_s)) => {
                    let result = self.store_sessions(&mut connection, &writes, ttl_s);
                    self.accept_refusal(Operation::StoreSessions, result)?;
                }
                Ok(Command::FetchSessions(tokens)) => {
                    let result = self.fetch_sessions(&mut connection, &tokens);
                    self.accept_refusal(Operation::FetchSessions, result)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Converts a refusal by Redis, for example for lack of memory, into `None`: only this operation is lost,
    /// and the connection stays open. Logs the start and the end of a series of refusals.
    fn accept_refusal<T>(&self, operation: Operation, result: RedisResult<T>) -> RedisResult<Option<T>> {
        let (shared, shown) = (&self.shared, &self.shared.address.shown);
        let is_refusing = &shared.is_refusing[operation as usize];
        match result {
            Err(error)
                if !error.is_io_error() && !error.is_unrecoverable_error() && !is_wrong_instance(&error) =>
            {
                shared.counters.refusals.fetch_add(1, Ordering::Relaxed);
                if !is_refusing.swap(true, Ordering::Relaxed) {
                    log::error!("the bus at {shown} refuses {}: {error}", operation.name());
                }
                Ok(None)
            }
            Ok(answer) => {
                if is_refusing.swap(false, Ordering::Relaxed) {
                    log::info!("the bus at {shown} no longer refuses {}", operation.name());
                }
                Ok(Some(answer))
            }
            Err(error) => Err(error),
        }
    }

    fn store_sessions(
        &self,
        connection: &mut redis::Connection,
        writes: &[SessionWrite],
        ttl_s: u32,
    ) -> RedisResult<()> {
        let node = self.shared.address.node;
        for writes in writes.chunks(KEYS_PER_PIPELINE) {
            let mut pipe = redis::pipe();
            for &SessionWrite { token, entry } in writes {
                let key = self.shared.address.session_key(token);
                let session = |saved, player| Value::Session { node, player, saved, ttl_s };
                let value = match entry {
                    SessionEntry::Active(saved, player) => session(saved, Some(player)),
                    SessionEntry::Disconnected(saved) => session(saved, None),
                    SessionEntry::ReplacedBy(current) => Value::RotatedTo(current),
                    SessionEntry::Deleted => {
                        pipe.cmd("DEL").arg(key).ignore();
                        continue;
                    }
                };
                let tagged = self.shared.tagged(&key, &value.to_bytes()).into_owned();
                pipe.cmd("SET").arg(key).arg(tagged).arg("EX").arg(ttl_s).ignore();
            }
            pipe.exec(connection)?;
        }
        Ok(())
    }

    fn fetch_sessions(&self, connection: &mut redis::Connection, tokens: &[SessionToken]) -> RedisResult<()> {
        for tokens in tokens.chunks(KEYS_PER_PIPELINE) {
            let taken = self.take_values(connection, tokens)?;
            // A rotated token leads directly to the current one.
            let current: Vec<SessionToken> =
                taken.iter().filter_map(|(value, _)| value.rotated_to()).collect();
            let mut current = self.take_values(connection, &current)?.into_iter();
            let mut fetched = Vec::with_capacity(tokens.len());
            for (&token, (value, left_ms)) in tokens.iter().zip(taken) {
                let record = match value.rotated_to() {
                    Some(rotated) => {
                        current.next().and_then(|(value, left_ms)| value.record(rotated, left_ms))
                    }
                    None => value.record(token, left_ms),
                };
                fetched.push((token, record));
            }
            self.shared.deliver(&self.inbox, LinkEvent::SessionsFetched(fetched));
        }
        Ok(())
    }

    /// Checks the role, wakes the subscriber and counts the subscribers of the common channel.
    fn heartbeat(&self, connection: &mut redis::Connection) -> RedisResult<()> {
        if !self.shared.is_role_denied.load(Ordering::Relaxed) {
            require_primary(connection)?;
        }
        self.wake_subscriber(connection)?;
        let channel = self.shared.address.channel(Channel::All);
        let reply: RedisResult<(String, u64)> =
            redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query(connection);
        let subscribers = match reply {
            Ok((_, subscribers)) => subscribers,
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => 0,
            Err(error) => return Err(error),
        };
        self.shared.subscribers.store(subscribers, Ordering::Relaxed);
        Ok(())
    }

    /// Takes the values stored for these tokens, each with its remaining TTL in milliseconds.
    fn take_values(
        &self,
        connection: &mut redis::Connection,
        tokens: &[SessionToken],
    ) -> RedisResult<Vec<(Value, i64)>> {
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("EVAL");
        command.arg(FETCH).arg(tokens.len());
        for &token in tokens {
            command.arg(self.shared.address.session_key(token));
        }
        let answers: Vec<redis::Value> = command.arg(VALUE_BYTES_MAX).query(connection)?;
        let taken = tokens.iter().zip(answers.chunks_exact(2)).map(|(&token, answer)| {
            let left_ms = redis::from_redis_value(answer[0].clone())?;
            let bytes: Option<Vec<u8>> = redis::from_redis_value(answer[1].clone())?;
            let place = self.shared.address.session_key(token);
            let verified = bytes.as_deref().and_then(|bytes| self.shared.verified(&place, bytes));
            Ok((verified.map_or(Value::Nothing, Value::from_bytes), left_ms))
        });
        taken.collect()
    }

    fn wake_subscriber(&self, connection: &mut redis::Connection) -> RedisResult<()> {
        redis::cmd("PUBLISH").arg(self.shared.address.wake_channel()).arg("").exec(connection)
    }

    /// Publishes all messages in one pipeline.
    fn publish(&self, connection: &mut redis::Connection, messages: &[Outgoing]) -> RedisResult<()> {
        let mut pipe = redis::pipe();
        for Outgoing { channel, bytes } in messages {
            let channel = self.shared.address.channel(*channel);
            let tagged = self.shared.tagged(&channel, bytes);
            pipe.cmd("PUBLISH").arg(channel).arg(&*tagged).ignore();
        }
        pipe.exec(connection)?;
        let counters = &self.shared.counters;
        counters.messages_out.fetch_add(messages.len() as u64, Ordering::Relaxed);
        let bytes: usize = messages.iter().map(|message| message.bytes.len()).sum();
        counters.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Raises the counter and leases `count` ids. Returns the end of the lease, 0 for none, and the outcome.
    fn lease_ids(
        &self,
        connection: &mut redis::Connection,
        bounds: Bounds,
        count: u32,
        may_create: bool,
    ) -> RedisResult<(u32, u32)> {
        let Bounds { min, max, lead_max } = bounds;
        let mut command = redis::cmd("EVAL");
        command.arg(LEASE).arg(1).arg(self.shared.address.id_counter_key());
        command.arg(min.max(PLAYER_ID_FIRST)).arg(count).arg(u8::from(may_create)).arg(max).arg(lead_max);
        command.query(connection)
    }

    fn deliver_lease(&self, (end, outcome): (u32, u32)) {
        let (shared, shown) = (&self.shared, &self.shared.address.shown);
        if outcome != 0 {
            shared.counters.implausible.fetch_add(1, Ordering::Relaxed);
        }
        if outcome != shared.lease_outcome.swap(outcome, Ordering::Relaxed) {
            match outcome {
                COUNTER_IMPLAUSIBLE => {
                    log::error!("the bus at {shown} has an implausible id counter, which is ignored");
                }
                IDS_EXHAUSTED => {
                    log::error!("the bus at {shown} has no ids left: restart all servers of this world");
                }
                _ => log::info!("the bus at {shown} grants ids again"),
            }
        }
        if end > 0 {
            shared.deliver(&self.inbox, LinkEvent::IdsLeased(end.saturating_sub(LEASE_IDS)..end));
        }
    }
}
