//! A small server in a crowd of bad clients: slow, silent, deaf, garbled, flooding, half-closed and vanished ones, join storms, no
//! descriptors or memory left, reloads, suspensions, bans, and a shutdown under load. By seed it has an admin listener, and a proxy in
//! front. No bound is ever exceeded, and once all clients are gone, or have been given up, the server holds nothing and admits as
//! many players of an address as before. A crowd of patient clients then recounts every refusal.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::slice;

use pixi_game_server::config::Config;
use pixi_game_server::limits::{ADMIN_CONNECTIONS_MAX, RESERVE_DESCRIPTORS};
use pixi_game_server::ops::metrics::Metrics;
use pixi_game_server::replication::pool::Pool;
use pixi_game_server::server::core::Census;
use pixi_game_server::server::core::capacity::Capacity;
use pixi_game_server::server::core::system::Listener;

use super::client::{Client, handshake, refusal};
use super::machine::random::Random;
use super::machine::socket::Plan;
use super::machine::{ClientEnd, Host, NS_PER_MS};
use super::peer::BINARY;
use super::{HANDOVER_ONE_IN, operator, seeds};
use crate::support::raw::masked;

const PLAYERS_MAX: usize = 12;
const PLAYERS_PER_ADDRESS: u32 = 4;
const HTTP_MAX: usize = 8;
const HTTP_PER_ADDRESS: u32 = 5;
const DESCRIPTORS_MAX: usize = 24;
pub const STEP_MS: u64 = 13;
const CHAOS_STEPS: u64 = 1_500;
const PATIENT_STEPS: u64 = 400;
/// Covers every timeout of the configuration, in seconds.
const FAREWELL_S: u64 = 40;
/// Steps within which the server notices that a client has gone.
const NOTICE_STEPS: u64 = 1_000 / STEP_MS;
/// Time after which the server gives up a client that takes no bytes, in seconds.
pub const WRITE_STALL_S: u32 = 4;

/// Part of the page that a range names.
const RANGE: std::ops::Range<usize> = 100..700;

fn config(seed: u64) -> Config {
    Config {
        spawn_seed: Some(seed),
        max_connections: PLAYERS_MAX,
        max_conns_per_ip: Some(PLAYERS_PER_ADDRESS),
        ip_conn_rate: Some(0),
        http_conns_per_ip: Some(HTTP_PER_ADDRESS),
        admin_addr: (seed % 2 == 1).then(|| SocketAddr::from(([127, 0, 0, 1], 9)).into()),
        proxy_protocol: seed % 4 >= 2,
        trusted_proxies: vec!["10.9.0.0/16".parse().expect("a network")],
        keepalive_timeout_s: 3,
        ping_interval_s: 2,
        idle_timeout_s: 6,
        write_stall_s: WRITE_STALL_S,
        write_buffer_bytes: 256,
        resume_ttl_s: 5,
        ..Config::default()
    }
}

struct Crowd {
    random: Random,
    /// Decides when the server hands over.
    handovers: Random,
    host: Host,
    config: Config,
    clients: Vec<Client>,
    /// Connections that clients have left, with the step; vanished clients keep theirs open.
    left: Vec<(u64, ClientEnd)>,
    cookies: Vec<String>,
    /// The content of a page.
    page: String,
    seen: Seen,
}

/// What became of a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Refused,
    Closed,
}

/// What clients saw.
#[derive(Default)]
struct Seen {
    /// Refusals and ends, by reason.
    reasons: BTreeMap<(Fate, &'static str), u64>,
    /// Clients without an answer.
    unanswered: u64,
    /// Players with a cookie, and refused handshakes with one.
    reconnects: [u64; 2],
}

impl Crowd {
    fn new(seed: u64) -> Self {
        let capacity = Capacity { players: PLAYERS_MAX, http: HTTP_MAX };
        Self {
            random: Random::new(seed ^ 0xc40d),
            handovers: Random::new(seed ^ 0x4a4e),
            host: Host::limited(seed, config(seed), capacity, DESCRIPTORS_MAX),
            config: config(seed),
            clients: Vec::new(),
            left: Vec::new(),
            cookies: Vec::new(),
            page: String::new(),
            seen: Seen::default(),
        }
    }

    fn metrics(&self) -> &Metrics {
        self.host.core.metrics()
    }

    /// Connects from an address, if need be through a proxy. Returns what the proxy sends first.
    fn dial(&mut self, listener: Listener, address: u8, plan: Plan) -> (ClientEnd, Vec<u8>) {
        let address = Ipv4Addr::new(10, 0, 0, address);
        if !self.config.proxy_protocol || listener == Listener::Admin {
            return (self.host.connect(listener, IpAddr::V4(address), plan), Vec::new());
        }
        let (v2, to) = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", [10, 9, 0, 1, 0, 80, 0, 80]);
        let header = match self.random.below(2) {
            0 => format!("PROXY TCP4 {address} 10.9.0.1 80 80\r\n").into_bytes(),
            _ => [&v2[..], &address.octets(), &to].concat(),
        };
        (self.host.connect(listener, IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), plan), header)
    }

    /// Clients arrive, and the operator and the machine interfere.
    fn disturb(&mut self, step: u64, is_patient: bool) {
        let arrivals = if self.random.chance(150) { 25 } else { u64::from(self.random.chance(4)) };
        for _ in 0..arrivals {
            let cookie = if self.random.chance(3) { self.cookies.pop() } else { None };
            let faults = Plan::Transient(Random::new(self.random.below(1 << 30)));
            let (address, is_admin) = (self.random.below(6) as u8, self.random.chance(5));
            let listener =
                if is_admin && self.config.admin_addr.is_some() { Listener::Admin } else { Listener::Public };
            let plan = if is_patient { Plan::None } else { faults };
            let (pipe, mut header) = self.dial(listener, address, plan);
            let mut client = Client::any(pipe, is_patient, step, cookie.as_deref(), &mut self.random);
            match self.random.below(20) {
                0 => header.clear(),
                1 if !header.is_empty() => header = b"PROXY TCP4 nobody\r\n".to_vec(),
                _ => {}
            }
            client.unsent = [header, client.unsent].concat();
            self.clients.push(client);
        }
        let random = &mut self.random;
        let machine = self.host.core.system_mut();
        if random.chance(200) {
            machine.failing_accepts = random.below(3) as u32;
            machine.failing_registrations = random.below(3) as u32;
        }
        if random.chance(100) {
            let max_visible = 1 + random.below(20) as usize;
            let fresh = Config { max_visible, ..self.config.clone() };
            machine.on_disk = Some(if random.chance(4) { Err("unreadable".to_owned()) } else { Ok(fresh) });
            self.host.core.begin_reload();
        }
        if self.random.chance(100) {
            operator::act(&mut self.host, &mut self.random, is_patient);
        }
        if self.random.chance(500) {
            self.host.suspend(self.random.below(4_000) * NS_PER_MS);
        }
    }

    fn step(&mut self, step: u64, pool: &mut Pool) {
        if self.handovers.chance(HANDOVER_ONE_IN) {
            self.host.hand_over(pool);
        }
        for mut client in std::mem::take(&mut self.clients) {
            if client.act(step, &mut self.random) {
                self.clients.push(client);
            } else {
                self.recount(&client);
                self.cookies.extend(client.stream.cookie);
                self.left.push((step, client.pipe));
            }
        }
        self.host.run_for(STEP_MS * NS_PER_MS, pool);
        self.check_bounds();
        operator::check_bans(&mut self.host);
        for (left_at, pipe) in &self.left {
            let pipe = pipe.borrow();
            let is_late = step > left_at + NOTICE_STEPS && pipe.is_gone() && pipe.is_served();
            assert!(!is_late, "the server holds {pipe:?}");
        }
        self.left.retain(|(_, pipe)| !pipe.borrow().is_closed);
    }

    fn check_bounds(&self) {
        let (census, machine) = (self.host.core.census(), self.host.core.system());
        let metrics = self.metrics();
        let open = machine.kernel.open.get();
        assert_eq!(census.connections, open);
        assert!(open + machine.reserve <= DESCRIPTORS_MAX, "{open} connections");
        assert!(census.players <= PLAYERS_MAX, "{census:?}");
        let gate_max = HTTP_MAX + ADMIN_CONNECTIONS_MAX + RESERVE_DESCRIPTORS;
        assert!(census.gate <= gate_max, "{census:?}");
        assert!(census.addresses <= census.connections, "{census:?}");
        assert_eq!(metrics.connections_accepted_total, machine.accepted);
        assert_eq!(metrics.bytes_in_total, machine.kernel.bytes_in.get());
        assert_eq!(metrics.bytes_out_total, machine.kernel.bytes_out.get());
        let ended = metrics.connections_upgraded_total - census.players as u64;
        assert_eq!(metrics.closed.total(), ended, "{:?}", metrics.closed);
    }

    /// Counts what a client saw, and checks the pages that it received.
    fn recount(&mut self, client: &Client) {
        for ((status, body), target) in client.stream.responses.iter().zip(&client.targets) {
            match (status, *target) {
                (206, _) => assert_eq!(*body, self.page[RANGE]),
                (200, "GET /play") => assert_eq!(*body, self.page),
                _ => {}
            }
        }
        let is_player = client.stream.status == Some(101);
        let refusals = client.stream.responses.iter().filter_map(|(status, body)| refusal(*status, body));
        let refusals = refusals.map(|reason| (Fate::Refused, reason));
        for seen in refusals.chain(is_player.then(|| (Fate::Closed, client.end()))) {
            *self.seen.reasons.entry(seen).or_default() += 1;
        }
        self.seen.unanswered += u64::from(!client.is_done() && !is_player);
        self.seen.reconnects[usize::from(!is_player)] += u64::from(client.has_cookie);
    }

    /// Patient clients see every refusal and the end of every player, or else the end of the connection without an answer.
    fn run_patient(&mut self, pool: &mut Pool) {
        let Metrics { refused, closed, reconnects, .. } = self.metrics();
        let (refused_before, closed_before, reconnects_before) = (*refused, *closed, reconnects.total());
        let unregistered_before = self.host.core.system().unregistered;
        self.seen = Seen::default();
        for step in 0.. {
            if step < PATIENT_STEPS {
                self.disturb(step, true);
            } else if self.clients.is_empty() {
                break;
            }
            self.step(step, pool);
            assert!(step < 10 * PATIENT_STEPS, "clients wait for ever");
        }
        let (after, seen) = (self.host.core.metrics(), &self.seen);
        let mut unanswered = self.host.core.system().unregistered - unregistered_before;
        let refused = after.refused.iter().zip(refused_before.iter()).map(|counts| (Fate::Refused, counts));
        let closed = after.closed.iter().zip(closed_before.iter()).map(|counts| (Fate::Closed, counts));
        for (fate, ((reason, after), (_, before))) in refused.chain(closed) {
            let (count, seen) = (after - before, seen.reasons.get(&(fate, reason)).unwrap_or(&0));
            match reason {
                "handshake_timeout" | "handshake_displaced" | "proxy_header" | "descriptors" => {
                    unanswered += count - seen;
                }
                _ => assert_eq!(count, *seen, "{reason}"),
            }
        }
        assert_eq!(unanswered, seen.unanswered, "{:?}", after.refused);
        let reconnects = after.reconnects.total() - reconnects_before;
        let [players, refused] = seen.reconnects;
        // A handshake may be refused before its cookie counts.
        assert!((players..=players + refused).contains(&reconnects), "{reconnects} of {players} + {refused}");
    }

    /// Every attentive player gets the ack of its last MOVE: after bursts, and after one that it could not read.
    fn check_bursts(&mut self, pool: &mut Pool) {
        for round in 0..3 {
            for client in self.clients.iter_mut().filter(|client| client.is_attentive()) {
                (client.leaves_at, client.is_idle) = (u64::MAX, true);
                client.burst(round == 1, &mut self.random);
                client.pipe.borrow_mut().send_buffer_bytes = if round == 2 { 0 } else { 4_000 };
            }
            self.step(CHAOS_STEPS, pool);
            for client in self.clients.iter_mut().filter(|client| round == 2 && client.is_attentive()) {
                let last = client.next_move(&mut self.random);
                client.send(BINARY, &last);
            }
            self.step(CHAOS_STEPS, pool);
            for client in self.clients.iter().filter(|client| client.is_attentive()) {
                client.pipe.borrow_mut().send_buffer_bytes = 4_000;
            }
            (0..500 / STEP_MS).for_each(|step| self.step(CHAOS_STEPS + step, pool));
            let stays = |client: &&Client| client.leaves_at == u64::MAX && client.is_attentive();
            for client in self.clients.iter().filter(stays) {
                assert_eq!(client.acks.last().copied().unwrap_or(0), client.moves, "the last MOVE");
            }
            // Until the rate allows another burst.
            (0..4_000 / STEP_MS).for_each(|step| self.step(CHAOS_STEPS + step, pool));
        }
    }

    /// Waits until the server has given up all clients, and checks that it holds nothing.
    fn part(&mut self, pool: &mut Pool) {
        for client in self.clients.drain(..) {
            client.pipe.borrow_mut().close();
        }
        let machine = self.host.core.system_mut();
        (machine.failing_accepts, machine.failing_registrations) = (0, 0);
        self.host.run_for(FAREWELL_S * 1_000 * NS_PER_MS, pool);
        let census = self.host.core.census();
        assert_eq!(census, Census::default());
        assert_eq!(self.host.core.system().reserve, RESERVE_DESCRIPTORS);
        self.check_bounds();
        self.left.clear();
    }

    /// Lets clients act for this time.
    fn wait(&mut self, duration_ms: u64, clients: &mut [Client], pool: &mut Pool) {
        for _ in 0..=duration_ms / STEP_MS {
            for client in &mut *clients {
                client.act(0, &mut self.random);
            }
            self.host.run_for(STEP_MS * NS_PER_MS, pool);
        }
    }

    /// Connects a client that stays and has no faults, and lets the server answer its request.
    fn visit(&mut self, listener: Listener, address: u8, request: &[u8], pool: &mut Pool) -> Client {
        let (pipe, header) = self.dial(listener, address, Plan::None);
        let mut client = Client::new(pipe, [&header, request].concat());
        self.wait(50, slice::from_mut(&mut client), pool);
        client
    }

    fn join(&mut self, address: u8, cookie: Option<&str>, pool: &mut Pool) -> Client {
        self.visit(Listener::Public, address, &handshake(cookie), pool)
    }

    fn leave(&mut self, client: &Client, pool: &mut Pool) {
        client.pipe.borrow_mut().close();
        self.host.run_for(50 * NS_PER_MS, pool);
    }

    fn leave_all(&mut self, clients: Vec<Client>, pool: &mut Pool) {
        for client in clients {
            self.leave(&client, pool);
        }
    }

    /// An address at its limit gets one more player exactly when one of its players has left.
    fn check_address_limit(&mut self, pool: &mut Pool) {
        for address in 0..6 {
            let mut players: Vec<Client> = Vec::new();
            for n in 0..3 * PLAYERS_PER_ADDRESS {
                let expected = if players.len() < PLAYERS_PER_ADDRESS as usize { 101 } else { 429 };
                let client = self.join(address, None, pool);
                let status = client.stream.status;
                assert_eq!(status, Some(expected), "player {n} of {address}");
                if expected == 101 {
                    players.push(client);
                } else {
                    let leaving = self.random.below(players.len() as u64) as usize;
                    self.leave(&client, pool);
                    self.leave(&players.remove(leaving), pool);
                }
            }
            self.leave_all(players, pool);
        }
    }

    /// One connection too many of an address displaces its first one. The admin listener answers while the public one is full.
    fn check_room(&mut self, pool: &mut Pool) {
        let mut visit = |address| self.visit(Listener::Public, address, b"", pool);
        let mut silent: Vec<_> = (0..=HTTP_PER_ADDRESS).map(|_| visit(0)).collect();
        let is_served: Vec<_> = silent.iter().map(|client| client.pipe.borrow().is_served()).collect();
        assert!(!is_served[0] && is_served[1..].iter().all(|is_served| *is_served), "{is_served:?}");
        silent.extend((1..HTTP_MAX as u8).map(visit));
        assert!(self.host.core.census().gate <= HTTP_MAX, "{:?}", self.host.core.census());
        for target in ["health", "metrics"] {
            if self.config.admin_addr.is_some() {
                let request = format!("GET /{target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                let client = self.visit(Listener::Admin, 9, request.as_bytes(), pool);
                assert_eq!(client.stream.status, Some(200), "{target}");
                self.leave(&client, pool);
            }
        }
        self.leave_all(silent, pool);
    }

    /// Each use of a session's cookie has its outcome, also at the limit of the address.
    fn check_reconnects(&mut self, pool: &mut Pool) {
        let before = self.metrics().reconnects;
        let mut tabs: Vec<_> = (0..PLAYERS_PER_ADDRESS).map(|_| self.join(7, None, pool)).collect();
        // The owner is silent, so the handshake takes over its place.
        let mut owner = tabs.remove(0);
        let first_cookie = owner.stream.cookie.clone();
        tabs.push(self.join(7, first_cookie.as_deref(), pool));
        self.wait(1_500, &mut tabs, pool);
        self.wait(0, slice::from_mut(&mut owner), pool);
        assert_eq!(owner.stream.why, "gone on elsewhere");
        self.leave(&owner, pool);
        let status = |client: &Client| client.stream.status.unwrap_or(0);
        let statuses = [status(tabs.last().expect("a tab")), status(&self.join(7, None, pool))];
        assert_eq!(statuses, [101, 429]);
        // The owner answers, so the handshake is a second tab.
        let cookie = tabs.last().and_then(|tab| tab.stream.cookie.clone());
        self.leave(&tabs.remove(0), pool);
        tabs.push(self.join(7, cookie.as_deref(), pool));
        self.wait(1_500, &mut tabs, pool);
        assert_eq!(status(tabs.last().expect("a tab")), 101);
        self.leave_all(tabs, pool);
        // A cookie continues its session once, and the next one not within a second.
        let third = self.join(7, cookie.as_deref(), pool);
        self.leave(&third, pool);
        for cookie in [third.stream.cookie, cookie, first_cookie] {
            let last = self.join(7, cookie.as_deref(), pool);
            assert_eq!(status(&last), 101);
            self.leave(&last, pool);
        }
        let after = self.metrics().reconnects;
        let counts: Vec<_> =
            after.iter().zip(before.iter()).map(|(after, before)| after.1 - before.1).collect();
        assert_eq!(counts, [1, 1, 1, 0, 2, 1], "{after:?}");
    }

    /// A reload requested during another one reads again, and one that fails changes nothing.
    fn check_reload(&mut self, pool: &mut Pool) {
        for (contents, expected) in [(vec![Some(7), Some(9)], 9), (vec![None], 9), (vec![None, Some(5)], 5)] {
            for content in contents {
                let fresh = content.map(|max_visible| Config { max_visible, ..self.config.clone() });
                self.host.core.system_mut().on_disk = Some(fresh.ok_or_else(|| "unreadable".to_owned()));
                self.host.core.begin_reload();
            }
            self.host.run_for(300 * NS_PER_MS, pool);
            let max_visible = self.host.core.engine().viewers().settings().max_visible;
            assert_eq!(max_visible, expected);
        }
    }

    /// Shuts down under load: every attentive player gets its acks and its Close, and the loop ends in time.
    fn check_drain(mut self, pool: &mut Pool) {
        for step in 0..CHAOS_STEPS / 10 {
            self.disturb(step, false);
            self.step(step, pool);
        }
        let began_ms = self.host.now_ms();
        for client in &mut self.clients {
            client.leaves_at = u64::MAX;
            if client.is_attentive() {
                let message = client.next_move(&mut self.random);
                client.pipe.borrow_mut().deliver(&masked(BINARY, &message));
            }
        }
        self.host.read_ready();
        self.host.core.drain();
        let timeout_ms = u64::from(config(0).shutdown_timeout_s) * 1_000;
        for step in 0.. {
            if self.host.core.is_over() {
                break;
            }
            self.disturb(step, false);
            self.step(step, pool);
            let elapsed_ms = self.host.now_ms() - began_ms;
            // Each suspension lasts 4 s at most.
            assert!(elapsed_ms <= timeout_ms + 12_000, "{elapsed_ms} ms");
        }
        for mut client in std::mem::take(&mut self.clients) {
            client.act(0, &mut self.random);
            assert!(!client.is_attentive(), "a player got no Close");
        }
        assert_eq!(self.host.core.census().players, 0);
    }

    fn run(mut self) {
        std::thread::scope(|scope| {
            let mut pool = Pool::spawn_with(scope, 2, 8).expect("threads");
            let pool = &mut pool;
            let page =
                self.visit(Listener::Public, 0, b"GET /play HTTP/1.1\r\nHost: localhost\r\n\r\n", pool);
            self.page.clone_from(&page.stream.responses[0].1);
            self.leave(&page, pool);
            for step in 0..CHAOS_STEPS {
                self.disturb(step, false);
                self.step(step, pool);
            }
            operator::end(&mut self.host);
            self.check_bursts(pool);
            self.part(pool);
            self.run_patient(pool);
            operator::end(&mut self.host);
            self.part(pool);
            self.check_address_limit(pool);
            self.check_room(pool);
            self.check_reconnects(pool);
            self.check_reload(pool);
            self.part(pool);
            assert!(self.metrics().takeovers_total > 0);
            self.check_drain(pool);
        });
    }
}

#[test]
fn a_crowd_of_bad_clients_exceeds_no_bound_and_leaves_nothing_behind() {
    for seed in seeds() {
        Crowd::new(seed).run();
    }
}
