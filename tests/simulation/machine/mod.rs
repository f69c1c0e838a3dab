//! The operating system in memory: virtual time, sockets, listeners, descriptors, reloads and a bus. [`Host`] is the driver's
//! loop over it, so the whole core runs in a simulation. The same seed and the same calls give the same run.

pub mod bus;
pub mod random;
pub mod socket;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Error, ErrorKind};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pixi_game_server::auth::KeySet;
use pixi_game_server::cluster::Node;
use pixi_game_server::config::Config;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::Core;
use pixi_game_server::server::core::assets::Assets;
use pixi_game_server::server::core::capacity::Capacity;
use pixi_game_server::server::core::cluster::Cluster;
use pixi_game_server::server::core::image;
use pixi_game_server::server::core::system::{Accepted, Listener, Reloaded, System, Usage};
use pixi_game_server::server::core::table::Token;
use pixi_game_server::sessions::{SessionToken, Sessions};

use bus::SimulatedBus;
use random::Random;
use socket::{Kernel, Pipe, Plan, ServerEnd};

pub const NS_PER_MS: u64 = 1_000_000;

/// The monotonic clock at the start.
const START_NS: u64 = 5_000 * NS_PER_MS;

/// The wall clock at the start, in milliseconds since 1970.
const START_UNIX_MS: u64 = 1_800_000_000_000;

/// Errors of Linux.
const EMFILE: i32 = 24;
const ENOMEM: i32 = 12;

/// Duration of a reload.
const RELOAD_NS: u64 = 50 * NS_PER_MS;

/// One end of a connection as its client holds it.
pub type ClientEnd = Rc<RefCell<Pipe>>;

/// The simulated operating system.
#[derive(Debug)]
pub struct Machine {
    now_ns: Cell<u64>,
    cpu_ns: Cell<u64>,
    /// CPU time of everything between two readings of the clock, in nanoseconds.
    pub work_ns: u64,
    random: Random,
    pub kernel: Rc<Kernel>,
    backlogs: [VecDeque<(ClientEnd, IpAddr)>; 2],
    sockets: BTreeMap<Token, ClientEnd>,
    /// Reserve descriptors.
    pub reserve: usize,
    /// Limit of open descriptors: connections and reserve descriptors.
    pub descriptors_max: usize,
    /// Connections that failed before the accept.
    pub aborted: usize,
    /// Connections that `accept` returned.
    pub accepted: u64,
    /// Numbers of the next accepts, and of the next registrations, that fail for lack of memory.
    pub failing_accepts: u32,
    pub failing_registrations: u32,
    /// Accepted connections that could not be registered.
    pub unregistered: u64,
    /// The configuration that a reload reads, or its problems. Without one, a reload can't start.
    pub on_disk: Option<Result<Config, String>>,
    /// The end of the reload in progress, and what it has read.
    reload: Option<(u64, Result<Config, String>)>,
}

impl Machine {
    /// Registers the sockets of another process, as the driver does.
    fn register_all(&mut self, mut sockets: Vec<(Token, ServerEnd)>) -> Vec<(Token, ServerEnd)> {
        for (token, socket) in &mut sockets {
            self.register(socket, *token).expect("no registration fails");
        }
        sockets
    }

    fn new(seed: u64) -> Self {
        Self {
            now_ns: Cell::new(START_NS),
            cpu_ns: Cell::new(0),
            work_ns: 500,
            random: Random::new(seed ^ 0x70ce_u64),
            kernel: Rc::default(),
            backlogs: Default::default(),
            sockets: BTreeMap::new(),
            reserve: 0,
            descriptors_max: usize::MAX,
            aborted: 0,
            accepted: 0,
            failing_accepts: 0,
            failing_registrations: 0,
            unregistered: 0,
            on_disk: None,
            reload: None,
        }
    }

    fn is_exhausted(&self) -> bool {
        self.kernel.open.get() + self.reserve >= self.descriptors_max
    }
}

impl System for Machine {
    type Socket = ServerEnd;
    type Bus = SimulatedBus;

    fn monotonic_ns(&self) -> u64 {
        self.now_ns.set(self.now_ns.get() + self.work_ns);
        self.cpu_ns.set(self.cpu_ns.get() + self.work_ns);
        self.now_ns.get()
    }

    fn thread_cpu_ns(&self) -> u64 {
        self.cpu_ns.get()
    }

    fn continue_cpu_time(&mut self, cpu_ns: u64) {
        self.cpu_ns.set(cpu_ns);
    }

    fn unix_time(&self) -> Duration {
        Duration::from_millis(START_UNIX_MS) + Duration::from_nanos(self.now_ns.get() - START_NS)
    }

    fn random_seed(&mut self) -> u64 {
        self.random.below(1 << 31)
    }

    fn draw_token(&mut self) -> Option<SessionToken> {
        let mut part = || u128::from(self.random.below(1 << 31));
        Some(SessionToken::of(part() << 93 | part() << 62 | part() << 31 | part()))
    }

    fn usage(&self) -> Usage {
        Usage { cpu_ns: self.cpu_ns.get(), ..Usage::default() }
    }

    fn set_listening(&mut self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn admin_port(&self) -> Option<u16> {
        None
    }

    fn public_port(&self) -> u16 {
        80
    }

    fn accept(&mut self, listener: Listener) -> Accepted<ServerEnd> {
        // Linux reports exhaustion even if the backlog is empty.
        if self.is_exhausted() {
            return Accepted::NoDescriptor(Error::from_raw_os_error(EMFILE));
        }
        if take_one(&mut self.failing_accepts) {
            return Accepted::NoMemory(Error::from_raw_os_error(ENOMEM));
        }
        let Some((pipe, address)) = self.backlogs[listener as usize].pop_front() else {
            return Accepted::None;
        };
        if pipe.borrow().is_over() {
            self.aborted += 1;
            return Accepted::Aborted;
        }
        self.accepted += 1;
        Accepted::Connection(ServerEnd::new(pipe), address)
    }

    fn register(&mut self, socket: &mut ServerEnd, token: Token) -> io::Result<()> {
        if take_one(&mut self.failing_registrations) {
            self.unregistered += 1;
            return Err(Error::from_raw_os_error(ENOMEM));
        }
        socket.pipe.borrow_mut().register(token);
        self.sockets.insert(token, Rc::clone(&socket.pipe));
        Ok(())
    }

    fn deregister(&mut self, socket: &mut ServerEnd) {
        if let Some(token) = socket.pipe.borrow_mut().deregister() {
            self.sockets.remove(&token);
        }
    }

    fn hold_descriptor(&mut self) -> bool {
        let is_open = !self.is_exhausted();
        self.reserve += usize::from(is_open);
        is_open
    }

    fn release_descriptor(&mut self) {
        self.reserve -= 1;
    }

    fn capacity_for(&mut self, players: usize, _: bool) -> Capacity {
        Capacity { players, http: 64 }
    }

    fn begin_reload(&mut self, _: Arc<Assets>) -> io::Result<()> {
        let read = self.on_disk.clone().ok_or(ErrorKind::WouldBlock)?;
        self.reload = Some((self.now_ns.get() + RELOAD_NS, read));
        Ok(())
    }

    fn save_bans(&mut self, _: String) {}

    fn finish_reload(&mut self) -> Option<Reloaded> {
        let now_ns = self.now_ns.get();
        let (_, read) = self.reload.take_if(|(end_ns, _)| now_ns >= *end_ns)?;
        Some(read.map(|config| (config, Assets::default(), KeySet::default())))
    }
}

fn take_one(count: &mut u32) -> bool {
    let is_left = *count > 0;
    *count -= u32::from(is_left);
    is_left
}

/// A server on its machine.
#[derive(Debug)]
pub struct Host {
    pub core: Core<Machine>,
    listeners_ready: Vec<Listener>,
    /// Whether other processes take over now and then.
    pub has_handovers: bool,
    /// Number of HTTP connections.
    http: usize,
    /// The link to the bus of a cluster.
    bus: Option<SimulatedBus>,
}

impl Host {
    pub fn new(seed: u64, config: Config) -> Self {
        let capacity = Capacity { players: config.max_connections, http: 64 };
        let sessions = Sessions::new(config.resume_ttl_s, None);
        Self::with(Machine::new(seed), config, capacity, sessions, None)
    }

    /// A server with these HTTP connections and descriptors.
    pub fn limited(seed: u64, config: Config, capacity: Capacity, descriptors_max: usize) -> Self {
        let sessions = Sessions::new(config.resume_ttl_s, None);
        let machine = Machine { descriptors_max, ..Machine::new(seed) };
        Self::with(machine, config, capacity, sessions, None)
    }

    /// A node of a cluster.
    pub fn clustered(seed: u64, config: Config, node: Node, bus: SimulatedBus) -> Self {
        let capacity = Capacity { players: config.max_connections, http: 64 };
        let sessions = Sessions::for_cluster(config.resume_ttl_s);
        let spare = bus.reconnect();
        let mut host =
            Self::with(Machine::new(seed), config, capacity, sessions, Some(Cluster::new(node, bus, 0)));
        host.bus = Some(spare);
        host
    }

    fn with(
        machine: Machine,
        config: Config,
        capacity: Capacity,
        sessions: Sessions<Token>,
        cluster: Option<Cluster<SimulatedBus>>,
    ) -> Self {
        let core = Core::new(machine, config, capacity, Assets::default(), sessions, cluster);
        Self { core, listeners_ready: Vec::new(), has_handovers: false, http: capacity.http, bus: None }
    }

    /// A process that takes over from this image, with sockets whose clients do nothing.
    pub fn from_image(image: &[u8], tokens: &[Token], config: Config) -> Self {
        let (mut machine, capacity) =
            (Machine::new(0), Capacity { players: config.max_connections, http: 64 });
        // Long after the image was made.
        machine.now_ns.set(1_000_000 * NS_PER_MS);
        let sockets =
            tokens.iter().map(|token| (*token, ServerEnd::new(Pipe::new(Plan::None, &machine.kernel))));
        let sockets = machine.register_all(sockets.collect());
        let sessions = Sessions::new(config.resume_ttl_s, None);
        let parts = (image, sockets);
        let core = image::resume(machine, config, capacity, Assets::default(), sessions, None, parts)
            .expect("the image is whole");
        Self { core, listeners_ready: Vec::new(), has_handovers: false, http: capacity.http, bus: None }
    }

    /// Hands the game over to another process, if the core can now.
    pub fn hand_over(&mut self, pool: &Pool) {
        if !image::is_possible(&self.core, pool) {
            return;
        }
        let image = image::make(&self.core).expect("memory suffices");
        let sockets = image::sockets(&self.core)
            .map(|(token, socket)| (token, ServerEnd::new(Rc::clone(&socket.pipe))))
            .collect();
        let config = self.core.config().clone();
        let (ttl_s, world) = (config.resume_ttl_s, (config.world_width, config.world_height));
        let capacity = Capacity { players: config.max_connections, http: self.http };
        // Limits and faults are those of a process.
        let machine = std::mem::replace(self.core.system_mut(), Machine::new(0));
        let (descriptors_max, failing_registrations) =
            (machine.descriptors_max, machine.failing_registrations);
        machine.cpu_ns.set(0);
        let mut machine =
            Machine { reserve: 0, descriptors_max: usize::MAX, failing_registrations: 0, ..machine };
        let sockets = machine.register_all(sockets);
        let bus = self.bus.take();
        let sessions = if bus.is_some() { Sessions::for_cluster(ttl_s) } else { Sessions::new(ttl_s, None) };
        self.bus = bus.as_ref().map(SimulatedBus::reconnect);
        let cluster = bus.map(|bus| Cluster::new(Node::new(0, String::new(), world), bus, 0));
        let parts = (image.as_slice(), sockets);
        self.core = image::resume(machine, config, capacity, Assets::default(), sessions, cluster, parts)
            .expect("the image is whole");
        let machine = self.core.system_mut();
        (machine.descriptors_max, machine.failing_registrations) = (descriptors_max, failing_registrations);
    }

    /// Drops the readiness of all sockets but these.
    pub fn forget_readiness_except(&mut self, kept: &[Token]) {
        let machine = self.core.system();
        for token in machine.kernel.ready.take() {
            if kept.contains(&token) {
                machine.kernel.ready.borrow_mut().push(token);
            } else if let Some(pipe) = machine.sockets.get(&token) {
                pipe.borrow_mut().drop_event();
            }
        }
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        (self.core.system().now_ns.get() - START_NS) / NS_PER_MS
    }

    /// Nanoseconds until the next tick.
    pub fn next_tick_ns(&self) -> u64 {
        self.core.next_tick_ns().saturating_sub(self.core.system().now_ns.get())
    }

    /// Connects a client. The connection waits in the backlog.
    pub fn connect(&mut self, listener: Listener, address: IpAddr, plan: Plan) -> ClientEnd {
        let machine = self.core.system_mut();
        let pipe = Pipe::new(plan, &machine.kernel);
        machine.backlogs[listener as usize].push_back((Rc::clone(&pipe), address));
        self.listeners_ready.push(listener);
        pipe
    }

    /// Lets time pass in which the process does not run.
    pub fn suspend(&mut self, duration_ns: u64) {
        let now_ns = &self.core.system().now_ns;
        now_ns.set(now_ns.get() + duration_ns);
    }

    /// Runs the event loop for this long.
    pub fn run_for(&mut self, duration_ns: u64, pool: &mut Pool) {
        let until_ns = self.core.system().now_ns.get() + duration_ns;
        while !self.core.is_over() {
            self.turn(until_ns, pool);
            if self.core.system().now_ns.get() >= until_ns {
                break;
            }
        }
    }

    /// Runs the event loop without a wait until nothing is left to do.
    pub fn run_until_idle(&mut self, pool: &mut Pool) {
        while self.turn(0, pool) {}
    }

    /// One iteration of the driver's loop, with a wait until `until_ns` at most. Returns whether it had work without a wait.
    fn turn(&mut self, until_ns: u64, pool: &mut Pool) -> bool {
        let timeout = self.core.begin_wait(pool);
        let machine = self.core.system();
        let events = machine.kernel.ready.take();
        let has_work =
            !events.is_empty() || !self.listeners_ready.is_empty() || timeout == Some(Duration::ZERO);
        if !has_work {
            let now_ns = machine.now_ns.get();
            let timeout_ns = timeout.map_or(u64::MAX, |timeout| now_ns + timeout.as_nanos() as u64);
            machine.now_ns.set(self.core.next_tick_ns().min(until_ns).min(timeout_ns).max(now_ns));
        }
        self.core.end_wait(true);
        self.dispatch(events);
        self.core.turn(pool);
        has_work
    }

    /// Reports what is ready, and lets the core read it within the current turn.
    pub fn read_ready(&mut self) {
        let events = self.core.system().kernel.ready.take();
        self.dispatch(events);
    }

    fn dispatch(&mut self, events: Vec<Token>) {
        for listener in std::mem::take(&mut self.listeners_ready) {
            self.core.listener_ready(listener);
        }
        for token in events {
            let Some(pipe) = self.core.system().sockets.get(&token) else { continue };
            let readiness = pipe.borrow_mut().take_event();
            self.core.connection_ready(token, readiness);
        }
    }
}
