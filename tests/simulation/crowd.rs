//! A small server in a crowd of bad clients: slow, silent, deaf, garbled, flooding, half-closed and vanished ones, join storms, no
//! descriptors left, reloads, suspensions and a shutdown under load. No bound is ever exceeded, and once all clients are gone, or
//! have been given up, the server holds nothing and admits as many players of an address as before.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};

use pixi_game_server::config::Config;
use pixi_game_server::limits::RESERVE_DESCRIPTORS;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::Census;
use pixi_game_server::server::core::assets::Assets;
use pixi_game_server::server::core::capacity::Capacity;
use pixi_game_server::server::core::system::Listener;

use super::client::{ClientStream, handshake};
use super::machine::random::Random;
use super::machine::socket::Plan;
use super::machine::{ClientEnd, Host, NS_PER_MS};
use super::peer::BINARY;
use super::seeds;
use crate::support::raw::masked;

const PLAYERS_MAX: usize = 12;
const PLAYERS_PER_ADDRESS: u32 = 4;
const HTTP_MAX: usize = 8;
const DESCRIPTORS_MAX: usize = 24;
const STEP_MS: u64 = 13;
const CHAOS_STEPS: u64 = 1_500;
/// Covers every timeout of the configuration, in seconds.
const FAREWELL_S: u64 = 40;

fn config(seed: u64) -> Config {
    Config {
        spawn_seed: Some(seed),
        max_connections: PLAYERS_MAX,
        max_conns_per_ip: Some(PLAYERS_PER_ADDRESS),
        ip_conn_rate: Some(0),
        http_conns_per_ip: Some(5),
        keepalive_timeout_s: 3,
        ping_interval_s: 2,
        idle_timeout_s: 6,
        write_stall_s: 4,
        resume_ttl_s: 5,
        ..Config::default()
    }
}

/// A client, by what it sends and how it reads.
struct Client {
    pipe: ClientEnd,
    stream: ClientStream,
    /// What it still has to send, and how many bytes it sends at once.
    unsent: Vec<u8>,
    bytes_at_once: usize,
    /// Bytes that it reads in a step; a client that reads in full also answers pings.
    reads: usize,
    /// It upgrades, so its responses are parsed.
    is_player: bool,
    acks: Vec<u32>,
    moves: u32,
    leaves_at: u64,
}

fn request(random: &mut Random) -> String {
    let target =
        ["GET /health", "GET /metrics", "HEAD /metrics", "GET /nothing", "POST /", "GET /ws", "OPTIONS /ws"];
    let target = target[random.below(7) as usize];
    let field = ["", "Connection: close\r\n", "Accept: text/plain\r\n", "Content-Length: 3\r\n"]
        [random.below(4) as usize];
    format!("{target} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n")
}

impl Client {
    fn connect(host: &mut Host, step: u64, cookie: Option<&str>, random: &mut Random) -> Self {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, random.below(6) as u8));
        let plan = Plan::Transient(Random::new(random.below(1 << 30)));
        let pipe = host.connect(Listener::Public, address, plan);
        pipe.borrow_mut().send_buffer_bytes = 300 + random.below(4_000) as usize;
        let garbage: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
        let is_player = random.chance(2);
        let unsent = match random.below(6) {
            // Silent.
            0 => Vec::new(),
            // Garbled, before or after the upgrade.
            1 if is_player => [handshake(None), garbage].concat(),
            1 => garbage,
            _ if is_player => handshake(cookie),
            // Pipelined.
            _ => (0..=random.below(30)).map(|_| request(random)).collect::<String>().into_bytes(),
        };
        let bytes_at_once = [1, 20, usize::MAX][random.below(3) as usize];
        let reads = [0, 50, usize::MAX, usize::MAX][random.below(4) as usize];
        let stream = ClientStream::default();
        let leaves_at = step + random.below(700);
        Self { pipe, stream, unsent, bytes_at_once, reads, is_player, acks: Vec::new(), moves: 0, leaves_at }
    }

    /// Sends a part, and reads a part. Returns whether the client is still there.
    fn act(&mut self, step: u64, random: &mut Random) -> bool {
        if step >= self.leaves_at {
            let mut pipe = self.pipe.borrow_mut();
            match random.below(6) {
                0 => pipe.break_with(ErrorKind::ConnectionReset),
                1 => pipe.break_with(ErrorKind::TimedOut),
                // Vanishes: the server hears nothing of it any more.
                2 => {}
                _ => pipe.close(),
            }
            return false;
        }
        if self.stream.status == Some(101) && random.chance(6) {
            let burst = if random.chance(200) { 2_000 } else { 1 };
            for _ in 0..burst {
                self.moves += 1;
                let message = [&[3, random.below(3) as u8 | 4][..], &self.moves.to_le_bytes()].concat();
                self.unsent.extend(masked(BINARY, &message));
            }
        }
        let mut pipe = self.pipe.borrow_mut();
        let count = self.bytes_at_once.min(self.unsent.len());
        let sent: Vec<u8> = self.unsent.drain(..count).collect();
        if random.chance(400) {
            pipe.end();
        } else if !pipe.incoming_ended {
            pipe.deliver(&sent);
        }
        let bytes = pipe.fetch(self.reads);
        let is_over = pipe.is_over();
        drop(pipe);
        if self.is_player {
            let acks = &mut self.acks;
            let replies = self.stream.receive(&bytes, |payload| {
                if let [8, _, _, _, _, _, _, _, _, sequence @ ..] = payload {
                    acks.push(u32::from_le_bytes(sequence.try_into().expect("an ack has 13 bytes")));
                }
            });
            self.unsent.extend(replies);
            assert!(
                self.acks.is_sorted_by(|a, b| a < b),
                "a MOVE is acknowledged once, in order: {:?}",
                self.acks
            );
            assert!(self.acks.last().is_none_or(|last| *last <= self.moves));
        }
        !is_over
    }
}

struct Crowd {
    seed: u64,
    random: Random,
    host: Host,
    clients: Vec<Client>,
    /// Connections of vanished clients, which stay open at their end.
    vanished: Vec<ClientEnd>,
    cookies: Vec<String>,
}

impl Crowd {
    fn new(seed: u64) -> Self {
        let capacity = Capacity { players: PLAYERS_MAX, http: HTTP_MAX };
        let host = Host::limited(seed, config(seed), capacity, DESCRIPTORS_MAX);
        let random = Random::new(seed ^ 0xc40d);
        Self { seed, random, host, clients: Vec::new(), vanished: Vec::new(), cookies: Vec::new() }
    }

    fn step(&mut self, step: u64, pool: &mut Pool) {
        let arrivals = if self.random.chance(150) { 25 } else { u64::from(self.random.chance(4)) };
        for _ in 0..arrivals {
            let cookie = if self.random.chance(3) { self.cookies.pop() } else { None };
            let client = Client::connect(&mut self.host, step, cookie.as_deref(), &mut self.random);
            self.clients.push(client);
        }
        if self.random.chance(300) {
            let max_visible = 1 + self.random.below(20) as usize;
            let config = Config { max_visible, ..config(self.seed) };
            self.host.core.system_mut().reload = Some(Ok((config, Assets::default())));
            self.host.core.begin_reload();
        }
        if self.random.chance(500) {
            self.host.suspend(self.random.below(4_000) * NS_PER_MS);
        }
        for mut client in std::mem::take(&mut self.clients) {
            if client.act(step, &mut self.random) {
                self.clients.push(client);
            } else {
                self.cookies.extend(client.stream.cookie);
                self.vanished.push(client.pipe);
            }
        }
        self.host.run_for(STEP_MS * NS_PER_MS, pool);
        self.check_bounds();
    }

    fn check_bounds(&self) {
        let (seed, census, machine) = (self.seed, self.host.core.census(), self.host.core.system());
        let metrics = self.host.core.metrics();
        let open = machine.kernel.open.get();
        assert_eq!(census.connections, open, "SIMULATION_SEED={seed}");
        assert!(open + machine.reserve <= DESCRIPTORS_MAX, "SIMULATION_SEED={seed}: {open} connections");
        assert!(census.players <= PLAYERS_MAX, "SIMULATION_SEED={seed}: {census:?}");
        assert!(census.gate <= HTTP_MAX + RESERVE_DESCRIPTORS, "SIMULATION_SEED={seed}: {census:?}");
        assert!(census.addresses <= census.connections, "SIMULATION_SEED={seed}: {census:?}");
        assert_eq!(metrics.connections_accepted_total, machine.accepted, "SIMULATION_SEED={seed}");
        assert_eq!(metrics.bytes_in_total, machine.kernel.bytes_in.get(), "SIMULATION_SEED={seed}");
        assert_eq!(metrics.bytes_out_total, machine.kernel.bytes_out.get(), "SIMULATION_SEED={seed}");
        let ended = metrics.connections_upgraded_total - census.players as u64;
        assert_eq!(metrics.closed.total(), ended, "SIMULATION_SEED={seed}: {:?}", metrics.closed);
    }

    /// Waits until the server has given up all clients, and checks that it holds nothing.
    fn part(&mut self, pool: &mut Pool) {
        for client in self.clients.drain(..) {
            client.pipe.borrow_mut().close();
        }
        self.host.run_for(FAREWELL_S * 1_000 * NS_PER_MS, pool);
        let census = self.host.core.census();
        assert_eq!(census, Census::default(), "SIMULATION_SEED={}", self.seed);
        assert_eq!(self.host.core.system().reserve, RESERVE_DESCRIPTORS, "SIMULATION_SEED={}", self.seed);
        self.check_bounds();
    }

    /// Returns the status of a handshake from this address.
    fn join(&mut self, address: IpAddr, pool: &mut Pool) -> (ClientEnd, Option<u16>) {
        let pipe = self.host.connect(Listener::Public, address, Plan::None);
        pipe.borrow_mut().deliver(&handshake(None));
        self.host.run_for(50 * NS_PER_MS, pool);
        let mut stream = ClientStream::default();
        stream.receive(&pipe.borrow_mut().fetch(usize::MAX), |_| {});
        (pipe, stream.status)
    }

    /// An address at its limit gets one more player exactly when one of its players has left.
    fn check_address_limit(&mut self, pool: &mut Pool) {
        for address in 0..6 {
            let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, address));
            let mut players: Vec<ClientEnd> = Vec::new();
            for n in 0..3 * PLAYERS_PER_ADDRESS {
                let expected = if players.len() < PLAYERS_PER_ADDRESS as usize { 101 } else { 429 };
                let (pipe, status) = self.join(address, pool);
                assert_eq!(
                    status,
                    Some(expected),
                    "SIMULATION_SEED={}: handshake {n} of {address}",
                    self.seed
                );
                if expected == 101 {
                    players.push(pipe);
                } else {
                    pipe.borrow_mut().close();
                    let leaving = players.remove(self.random.below(players.len() as u64) as usize);
                    leaving.borrow_mut().close();
                    self.host.run_for(50 * NS_PER_MS, pool);
                }
            }
            for player in &players {
                player.borrow_mut().close();
            }
            self.host.run_for(50 * NS_PER_MS, pool);
        }
    }

    /// Shuts down under load: every player gets its Close, and the loop ends in time.
    fn check_drain(mut self, pool: &mut Pool) {
        (0..CHAOS_STEPS / 10).for_each(|step| self.step(step, pool));
        let began_ms = self.host.now_ms();
        self.host.core.drain();
        let timeout_ms = u64::from(config(0).shutdown_timeout_s) * 1_000;
        for step in 0.. {
            if self.host.core.is_over() {
                break;
            }
            self.step(step, pool);
            let elapsed_ms = self.host.now_ms() - began_ms;
            // Each suspension lasts 4 s at most.
            assert!(elapsed_ms <= timeout_ms + 12_000, "SIMULATION_SEED={}: {elapsed_ms} ms", self.seed);
        }
        assert_eq!(self.host.core.census().players, 0, "SIMULATION_SEED={}", self.seed);
    }

    fn run(mut self) {
        std::thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
            (0..CHAOS_STEPS).for_each(|step| self.step(step, &mut pool));
            self.part(&mut pool);
            self.check_address_limit(&mut pool);
            self.part(&mut pool);
            self.check_drain(&mut pool);
        });
    }
}

#[test]
fn a_crowd_of_bad_clients_exceeds_no_bound_and_leaves_nothing_behind() {
    for seed in seeds() {
        Crowd::new(seed).run();
    }
}
