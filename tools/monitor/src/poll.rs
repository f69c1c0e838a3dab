//! A thread for each server, so that one which hangs holds up nobody's figures but its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use stage::endpoint::{Lookup, Server};
use stage::http;

/// Longest wait for an answer, all of it: looking the name up, connecting, asking, reading.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers that wait to be looked at; a thread whose answers nobody takes stops asking.
const ANSWERS_MAX: usize = 64;

/// What came of a question.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When it came.
    pub at: Instant,
    /// The metrics, or why there are none.
    pub metrics: Result<Json, String>,
}

/// The questions and their answers.
pub struct Poll {
    answers: Receiver<(usize, Answer)>,
    interval_ms: Arc<AtomicU64>,
}

impl Poll {
    /// Begins to ask; the threads end with the process.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(servers: &[Server], interval: Duration) -> io::Result<Poll> {
        let (sender, answers) = sync_channel(ANSWERS_MAX);
        let interval_ms = Arc::new(AtomicU64::new(interval.as_millis() as u64));
        for (index, server) in servers.iter().enumerate() {
            let (sender, server, interval_ms) = (sender.clone(), server.clone(), Arc::clone(&interval_ms));
            let mut lookup = Lookup::new(server.host, server.port);
            thread::Builder::new().name(format!("poll-{index}")).spawn(move || {
                loop {
                    let begun = Instant::now();
                    let metrics = ask(&mut lookup, &server.name, begun + PATIENCE);
                    if sender.send((index, Answer { at: Instant::now(), metrics })).is_err() {
                        return;
                    }
                    let interval = Duration::from_millis(interval_ms.load(Ordering::Relaxed));
                    thread::sleep(interval.saturating_sub(begun.elapsed()));
                }
            })?;
        }
        Ok(Poll { answers, interval_ms })
    }

    /// The next answer and the index of its server, if one comes in time.
    pub fn next(&self, patience: Duration) -> Option<(usize, Answer)> {
        self.answers.recv_timeout(patience).ok()
    }

    /// Time between two questions.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.load(Ordering::Relaxed))
    }

    /// Takes effect with the question after the next one.
    pub fn set_interval(&self, interval: Duration) {
        self.interval_ms.store(interval.as_millis() as u64, Ordering::Relaxed);
    }
}

fn ask(lookup: &mut Lookup, authority: &str, deadline: Instant) -> Result<Json, String> {
    let addresses = lookup.addresses(deadline)?;
    let answer = http::get_from(addresses, authority, "/metrics", deadline).map_err(|error| {
        lookup.forget();
        error.to_string()
    })?;
    match answer.status {
        200 => serde_json::from_str(&answer.body).map_err(|_| "its answer is no JSON".to_owned()),
        404 => Err("it serves no metrics here; with ADMIN_ADDR they are served there".to_owned()),
        status => Err(format!("it answers with status {status}")),
    }
}
