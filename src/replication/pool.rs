//! The worker pool: encodes the flushes of a batch on several threads, including the event loop's own.
//!
//! Threads are spawned once, in the scope around the event loop. During a fan-out they share the scene
//! through an `Arc`, and each gets its viewers by value; afterwards the event loop owns everything again. A
//! panic while a flush is encoded affects that viewer only.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::flush::write_flush;
use super::frames::{FrameCounts, Frames};
use super::interest::Scratch;
use super::schedule::FlushKind;
use super::viewers::Assignment;
use super::{Scene, Settings, Viewers};
use crate::ops::crash::catch_panic;
use crate::world::World;

/// Viewers encoded by one thread in one batch.
///
/// A batch blocks the event loop from reading: about 0.3 ms for this many interest updates. Smaller batches
/// run on the event loop's thread only, since a round trip to a worker costs 50 to 125 us.
const VIEWERS_PER_THREAD: usize = 128;

/// Number of viewers to prefetch ahead. The thread that encodes them prefetches, since cores do not share an
/// L1 cache. The later prefetches read the viewer itself.
const VIEWER_AHEAD: usize = 4;

/// Number of interest sets to prefetch ahead.
const INTEREST_SETS_AHEAD: usize = 2;

/// Number of viewers whose members' entity states are prefetched ahead, for interest updates.
const ENTITIES_AHEAD: usize = 1;

/// The frames of one viewer's flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The viewer's slot at encoding time.
    pub slot: u32,
    /// The viewer's id; its slot may have been reused by the time the frames are written.
    pub id: u32,
    /// Range of its frames in the chunk's arena.
    range: Range<usize>,
    /// Encoding panicked: the segment has no frames, and the viewer's state is unreliable.
    pub failed: bool,
}

/// The input and output of one thread.
#[derive(Debug, Default)]
struct Chunk {
    arena: Vec<u8>,
    segments: Vec<Segment>,
    counts: FrameCounts,
    scratch: Scratch,
    assignments: Vec<Assignment>,
}

/// The frames of one fan-out, written out in slices.
#[derive(Debug, Default)]
pub struct Batch {
    chunks: Vec<Chunk>,
    chunk: usize,
    segment: usize,
}

impl Batch {
    /// Returns the next segment and its frames.
    pub fn next_segment(&mut self) -> Option<(&Segment, &[u8])> {
        while self.chunks.get(self.chunk).is_some_and(|chunk| self.segment >= chunk.segments.len()) {
            self.chunk += 1;
            self.segment = 0;
        }
        let chunk = self.chunks.get(self.chunk)?;
        let segment = &chunk.segments[self.segment];
        self.segment += 1;
        Some((segment, &chunk.arena[segment.range.clone()]))
    }

    /// Returns the slots of up to `most` segments that come next in this chunk.
    pub fn upcoming(&self, most: usize) -> impl Iterator<Item = u32> {
        let chunk = self.chunks.get(self.chunk).map_or(&[][..], |chunk| &chunk.segments);
        chunk.iter().skip(self.segment).take(most).map(|segment| segment.slot)
    }

    /// Returns whether all segments have been taken.
    pub fn is_finished(&self) -> bool {
        self.chunks
            .iter()
            .skip(self.chunk)
            .enumerate()
            .all(|(distance, chunk)| chunk.segments.len() <= if distance == 0 { self.segment } else { 0 })
    }

    /// Returns the number of frames written in this batch, by kind, for each thread.
    pub fn counts(&self) -> impl Iterator<Item = &FrameCounts> {
        self.chunks.iter().map(|chunk| &chunk.counts)
    }
}

struct Job {
    scene: Arc<Scene>,
    settings: Arc<Settings>,
    chunk: Chunk,
}

struct Worker {
    jobs: SyncSender<Job>,
    results: Receiver<Chunk>,
}

/// The worker threads and the buffers of a batch.
pub struct Pool {
    workers: Vec<Worker>,
    batch: Batch,
    viewers_per_thread: usize,
}

impl Pool {
    /// Spawns `threads - 1` workers; the event loop's thread is the remaining one.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, threads: usize) -> std::io::Result<Self> {
        Self::spawn_with(scope, threads, VIEWERS_PER_THREAD)
    }

    /// Spawns a pool like [`Pool::spawn`], with another number of viewers per thread and batch.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub fn spawn_with<'scope>(
        scope: &'scope Scope<'scope, '_>,
        threads: usize,
        viewers_per_thread: usize,
    ) -> std::io::Result<Self> {
        let workers = (1..threads).map(|number| {
            let (jobs, inbox) = sync_channel::<Job>(1);
            let (outbox, results) = sync_channel(1);
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn_scoped(scope, move || work(&inbox, &outbox))?;
            Ok(Worker { jobs, results })
        });
        Ok(Self {
            workers: workers.collect::<std::io::Result<_>>()?,
            batch: Batch::default(),
            viewers_per_thread,
        })
    }

    /// Returns the number of threads that encode flushes, including the event loop's.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Returns the maximum number of viewers in a batch.
    pub fn batch_size(&self) -> usize {
        self.viewers_per_thread * self.threads()
    }

    /// Returns whether all frames of the last batch have been taken.
    pub fn batch_is_written(&self) -> bool {
        self.batch.is_finished()
    }

    /// Returns the frames of the last batch.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Encodes the next batch of due viewers into [`Pool::batch`]. The workers then hold no reference to the scene.
    ///
    /// # Panics
    /// If a worker thread has ended, which never happens while the pool exists.
    pub fn flush_batch(
        &mut self,
        scene: &Arc<Scene>,
        viewers: &mut Viewers,
        can_be_written: &mut dyn FnMut(u32) -> bool,
    ) {
        let mut due = std::mem::take(&mut self.chunk_of_loop().assignments);
        let most = self.batch_size();
        viewers.take_due(scene, most, &mut due, can_be_written);
        let threads = (due.len() / self.viewers_per_thread).clamp(1, self.threads());
        self.prepare(threads);
        let share = due.len().div_ceil(threads);

        if threads > 1 {
            let settings = Arc::new(viewers.settings().clone());
            for (worker, chunk) in self.workers.iter().zip(&mut self.batch.chunks[1..threads]) {
                let mut chunk = std::mem::take(chunk);
                chunk.assignments.extend(due.drain(due.len() - share.min(due.len())..));
                let job = Job { scene: Arc::clone(scene), settings: Arc::clone(&settings), chunk };
                worker.jobs.send(job).expect("workers run as long as the pool exists");
            }
        }
        self.batch.chunks[0].assignments = due;
        self.batch.chunks[0].run(scene, viewers.settings());
        for (worker, chunk) in self.workers.iter().zip(&mut self.batch.chunks[1..threads]) {
            *chunk = worker.results.recv().expect("workers catch panics and always send a result");
        }
        for chunk in &mut self.batch.chunks {
            for (viewer, _) in chunk.assignments.drain(..) {
                viewers.put_back(viewer);
            }
        }
    }

    fn chunk_of_loop(&mut self) -> &mut Chunk {
        if self.batch.chunks.is_empty() {
            self.batch.chunks.push(Chunk::default());
        }
        &mut self.batch.chunks[0]
    }

    /// Clears the buffers of the last batch; they keep their allocations.
    fn prepare(&mut self, threads: usize) {
        if self.batch.chunks.len() < threads {
            self.batch.chunks.resize_with(threads, Chunk::default);
        }
        for chunk in &mut self.batch.chunks {
            chunk.arena.clear();
            chunk.segments.clear();
            chunk.counts = FrameCounts::default();
        }
        (self.batch.chunk, self.batch.segment) = (0, 0);
    }
}

impl Chunk {
    fn run(&mut self, scene: &Scene, settings: &Settings) {
        for at in 0..self.assignments.len() {
            self.prefetch_ahead(at, &scene.world);
            let (viewer, kind) = &mut self.assignments[at];
            let start = self.arena.len();
            let result = catch_panic(|| {
                let (out, counts) = (&mut self.arena, &mut self.counts);
                let mut frames = Frames { world: &scene.world, out, counts };
                write_flush(viewer, scene, settings, *kind, &mut self.scratch, &mut frames);
            });
            if result.is_none() {
                self.arena.truncate(start);
            }
            if self.arena.len() > start || result.is_none() {
                let range = start..self.arena.len();
                self.segments.push(Segment {
                    slot: viewer.slot,
                    id: viewer.id,
                    range,
                    failed: result.is_none(),
                });
            }
        }
    }

    /// Prefetches the data that the flushes after position `at` will read.
    fn prefetch_ahead(&self, at: usize, world: &World) {
        if let Some((viewer, _)) = self.assignments.get(at + VIEWER_AHEAD) {
            viewer.prefetch();
        }
        if let Some((viewer, kind)) = self.assignments.get(at + INTEREST_SETS_AHEAD) {
            viewer.prefetch_interest_set(*kind, world);
        }
        // A delta reads few entity states.
        if let Some((viewer, FlushKind::InterestUpdate | FlushKind::Snapshot)) =
            self.assignments.get(at + ENTITIES_AHEAD)
        {
            viewer.prefetch_entity_states(world);
        }
    }
}

fn work(inbox: &Receiver<Job>, outbox: &SyncSender<Chunk>) {
    for Job { scene, settings, mut chunk } in inbox {
        chunk.run(&scene, &settings);
        // The event loop needs the scene exclusively once it has every result, so drop this reference first.
        drop(scene);
        if outbox.send(chunk).is_err() {
            return;
        }
    }
}
