//! A hostile writer to Redis can't prevent joins, kill a node, exhaust its memory, or forge a ghost of its player.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use pixi_game_server::cluster::message::{Body, Changes, Header, Heartbeat, encode};
use pixi_game_server::cluster::status::Status;
use pixi_game_server::limits::{BUS_MESSAGE_BYTES_MAX, GHOST_SLOTS_MAX, IDS_LEAD_MAX, LEASE_IDS};
use pixi_game_server::world::{GhostUpdate, Position, Vector};

use super::redis::Redis;
use super::{OTHER, VIEWER, cluster, pair, settings, start, two, wait_until_mutual};
use crate::support::wait::wait_until;
use crate::support::{Client, Server, poll_until};

/// Node id that the attacker uses, unless it forges another node's.
const FORGER: u64 = 0x000f_0f0f;

fn message(sequence: u64, body: &Body) -> Vec<u8> {
    encode(&Header { world: (2_000, 2_000), node: FORGER, sequence, sent_us: 0 }, body)
}

fn beat(ids_end: u32) -> Vec<u8> {
    message(
        1,
        &Body::Heartbeat(Heartbeat {
            name: "forger".to_owned(),
            ids_end,
            players: u32::MAX,
            status: Status::default(),
        }),
    )
}

fn ghost(id: u32) -> GhostUpdate {
    GhostUpdate {
        id,
        position: Position { x: 510, y: 510 },
        vector: Vector::ZERO,
        faces_right: true,
        attacks: false,
        begins_attack: false,
    }
}

/// Region of [`ghost`] and its channel.
const REGION: u32 = 20;
const CHANNEL: &[u8] = b"pixi:main:region:20";

fn publish(redis: &Redis, channel: &[u8], bytes: &[u8]) {
    redis.command(&[b"PUBLISH", channel, bytes]);
}

/// Publishes all messages over one connection.
fn flood(redis: &Redis, channel: &[u8], messages: &[Vec<u8>]) {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).expect("it accepts");
    for message in messages {
        let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n", channel.len());
        stream.write_all(head.as_bytes()).expect("it takes bytes");
        stream.write_all(channel).expect("it takes bytes");
        stream.write_all(format!("\r\n${}\r\n", message.len()).as_bytes()).expect("it takes bytes");
        stream.write_all(message).expect("it takes bytes");
        stream.write_all(b"\r\n").expect("it takes bytes");
        let mut answer = [0; 64];
        let count = stream.read(&mut answer).expect("it answers");
        assert_eq!(answer[..count].first(), Some(&b':'));
    }
}

/// Asserts that players can join here, with ids from at least two leases.
fn assert_players_can_join(server: &Server) {
    for _ in 0..2 {
        let id = Client::join(server).id();
        assert!(id < 1_001 + 4 * LEASE_IDS + IDS_LEAD_MAX, "{id}");
        wait_until("a lease in reserve", || cluster(server, "ids_left") > u64::from(LEASE_IDS));
    }
}

#[test]
fn a_heartbeat_with_the_highest_id_does_not_prevent_joins() {
    let redis = Redis::start();
    let server = start(&settings(&redis, "first"));
    for ids_end in [u32::MAX, u32::MAX - 1, u32::MAX - LEASE_IDS] {
        publish(&redis, b"pixi:main:all", &beat(ids_end));
    }
    wait_until("refusals", || cluster(&server, "bus_implausible_total") == 3);
    assert_players_can_join(&server);
    assert_players_can_join(&start(&settings(&redis, "second")));
    assert_eq!(
        server.log().matches("a heartbeat with an implausible claim of ids").count(),
        1,
        "{}",
        server.log()
    );
}

#[test]
fn no_counter_value_prevents_joins() {
    let key: &[u8] = b"pixi:main:ids";
    let values: [&[u8]; 7] = [
        b"4294967295", b"9223372036854775807", b"-5", b"garbage", b"", b"inf", b"99999999999999999999999999",
    ];
    let admits = |value: &[u8]| {
        let redis = Redis::start();
        assert!(redis.command(&[b"SET", key, value]).starts_with("+OK"));
        // A node without ids waits before it resets the counter.
        let first = start(&settings(&redis, "first"));
        redis.command(&[b"SET", key, value]);
        assert_players_can_join(&first);
        redis.command(&[b"SET", key, value]);
        assert_players_can_join(&start(&settings(&redis, "second")));
        first.wait_for_log("an implausible id counter");
    };
    thread::scope(|scope| {
        for value in values {
            scope.spawn(|| admits(value));
        }
    });
    let redis = Redis::start();
    redis.command(&[b"RPUSH", key, b"a list"]);
    assert_players_can_join(&start(&settings(&redis, "first")));
}

#[test]
fn a_flood_of_snapshots_costs_bounded_memory() {
    let redis = Redis::start();
    let servers = two(&redis);
    let mut clients = pair(&servers);
    let first = 1_001 + 60 * LEASE_IDS;
    publish(&redis, b"pixi:main:all", &beat(first + 200 * 29_000));
    // Messages of the maximum length, each with different players.
    let messages: Vec<Vec<u8>> = (0..200)
        .map(|at| {
            let ids = (0..29_000).map(|player| first + at as u32 * 29_000 + player);
            let snapshot = Body::Snapshot { region: REGION, players: ids.map(ghost).collect() };
            message(2 + at, &snapshot)
        })
        .collect();
    assert!(messages.iter().all(|message| message.len() <= BUS_MESSAGE_BYTES_MAX));
    flood(&redis, CHANNEL, &messages);
    // Some messages exceed the maximum length.
    flood(&redis, CHANNEL, &vec![vec![0; 1 << 20]; 50]);
    wait_until_mutual(&mut clients);
    poll_until(&mut clients, "the flood to be processed", |_| {
        servers.iter().all(|server| cluster(server, "ghosts") == 1 && cluster(server, "peers") == 1)
    });
    for server in &servers {
        assert!(cluster(server, "bus_dropped_total") >= 50);
        let resident_bytes = server.count("resident_bytes");
        assert!(resident_bytes < 160 << 20, "{resident_bytes} bytes, for {GHOST_SLOTS_MAX} slots at most");
    }
    let newcomer = Client::join(&servers[0]);
    poll_until(&mut clients, "a newcomer", |clients| clients[OTHER].sees(newcomer.id()));
}

#[test]
fn forged_ghosts_of_known_players_are_ignored() {
    let redis = Redis::start();
    let servers = two(&redis);
    let mut clients = pair(&servers);
    let (own, other) = (clients[VIEWER].id(), clients[OTHER].id());
    publish(&redis, b"pixi:main:all", &beat(1_001 + 100 * LEASE_IDS));
    wait_until("the forged peer to be counted", || cluster(&servers[0], "peers") == 2);
    let outside = GhostUpdate { position: Position { x: 2_001, y: 510 }, ..ghost(1_001 + 99 * LEASE_IDS) };
    // Ids of local and remote players, an id that was never leased, and one outside the world.
    let players = vec![ghost(own), ghost(other), ghost(u32::MAX), outside];
    let changes = Changes { region: REGION, updated: players.clone(), ..Changes::default() };
    for body in [Body::Snapshot { region: REGION, players }, Body::Changes(changes)] {
        publish(&redis, CHANNEL, &message(u64::MAX - 1, &body));
    }
    wait_until("implausible messages to be counted", || cluster(&servers[0], "bus_implausible_total") >= 4);
    assert_eq!(cluster(&servers[0], "ghosts"), 1);
    let place = clients[OTHER].position();
    poll_until(&mut clients, "the other player at its true position", |clients| {
        super::is_shown_at(&clients[VIEWER], other, place)
    });
    assert_eq!(clients[VIEWER].visible(), [other]);
}
