//! `web/vectors.json`: server, test client and page decode valid and malformed messages the same way.

use std::process::Command;

use game_client::{ClientMessage, Entry, Facing, ServerMessage, State};
use pixi_game_server::wire::message;
use serde_json::{Value as Json, json};

use crate::support::debian::program;
use crate::support::from_hex;
use crate::support::process::{stdout_text, succeed};

/// Length of the frame header before the payload. All messages here are short.
const FRAME_HEADER_BYTES: usize = 2;

struct Case {
    bytes: Vec<u8>,
    /// The decoded message; `None` if the bytes are malformed.
    message: Option<Json>,
}

fn cases(from: &str) -> Vec<Case> {
    let text = include_str!("../../web/vectors.json");
    let all: Vec<Json> = serde_json::from_str(text).expect("the vectors are JSON");
    let of_side = all.iter().filter(|case| case["from"] == from);
    let cases: Vec<Case> = of_side
        .map(|case| {
            let hex = case["hex"].as_str().expect("bytes in hex");
            assert_ne!(case.get("message").is_some(), case.get("error").is_some(), "{hex}");
            Case { bytes: from_hex(hex), message: case.get("message").cloned() }
        })
        .collect();
    assert!(cases.len() > 20);
    cases
}

fn side(is_right: bool) -> &'static str {
    if is_right { "right" } else { "left" }
}

/// A JSON number; whole numbers have no decimal point in the vectors.
fn number(number: f32) -> Json {
    if number.fract() == 0.0 { json!(number as i64) } else { json!(number) }
}

fn client_json(message: &ClientMessage) -> Json {
    match *message {
        ClientMessage::Join => json!({ "type": "join" }),
        ClientMessage::Leave => json!({ "type": "leave" }),
        ClientMessage::Move { vector, sequence, claim } => {
            let mut json =
                json!({ "type": "move", "dx": vector.dx(), "dy": vector.dy(), "sequence": sequence });
            if let Some((x, y)) = claim {
                (json["x"], json["y"]) = (json!(x), json!(y));
            }
            json
        }
        ClientMessage::Direction(facing) => {
            json!({ "type": "direction", "facing": side(facing == Facing::Right) })
        }
        ClientMessage::Attack { aim: None } => json!({ "type": "attack" }),
        ClientMessage::Attack { aim: Some((x, y)) } => {
            json!({ "type": "attack", "x": number(x), "y": number(y) })
        }
        ClientMessage::AttackEnd => json!({ "type": "attackEnd" }),
        ClientMessage::Viewport { width, height } => {
            json!({ "type": "viewport", "width": width, "height": height })
        }
    }
}

/// The server's decoding of a client message as JSON. The server ignores the aim of an attack.
fn decoded_by_server(message: message::ClientMessage) -> Json {
    use message::ClientMessage as Read;
    match message {
        Read::Join => json!({ "type": "join" }),
        Read::Leave => json!({ "type": "leave" }),
        Read::Move(step) => {
            let (dx, dy) = (step.vector.dx(), step.vector.dy());
            let mut json = json!({ "type": "move", "dx": dx, "dy": dy, "sequence": step.sequence });
            if let Some(claim) = step.claim {
                (json["x"], json["y"]) = (json!(claim.x), json!(claim.y));
            }
            json
        }
        Read::Direction(facing) => {
            json!({ "type": "direction", "facing": side(facing == message::Facing::Right) })
        }
        Read::Attack => json!({ "type": "attack" }),
        Read::AttackEnd => json!({ "type": "attackEnd" }),
        Read::Viewport { width, height } => json!({ "type": "viewport", "width": width, "height": height }),
    }
}

fn entry_json(entry: &Entry) -> Json {
    let state = match entry.state {
        State::Idle => "idle",
        State::Moving => "moving",
        State::Attacking => "attacking",
    };
    let (dx, dy) = (entry.vector.dx(), entry.vector.dy());
    let facing = side(entry.facing == Facing::Right);
    json!({ "id": entry.id, "x": entry.x, "y": entry.y, "dx": dx, "dy": dy, "state": state, "facing": facing })
}

fn server_json(message: &ServerMessage) -> Json {
    match message {
        ServerMessage::GameState(entries) => {
            json!({ "type": "gameState", "players": entries.iter().map(entry_json).collect::<Vec<_>>() })
        }
        ServerMessage::MoveAck { id, x, y, sequence } => {
            json!({ "type": "ack", "id": id, "x": x, "y": y, "sequence": sequence })
        }
        ServerMessage::Joined(entry) => json!({ "type": "joined", "player": entry_json(entry) }),
        ServerMessage::Left(id) => json!({ "type": "left", "id": id }),
        ServerMessage::Attack { id, x, y } => json!({ "type": "attack", "id": id, "x": x, "y": y }),
        ServerMessage::Direction { id, facing } => {
            json!({ "type": "direction", "id": id, "facing": side(*facing == Facing::Right) })
        }
        ServerMessage::Movement { id, vector } => {
            json!({ "type": "movement", "id": id, "dx": vector.dx(), "dy": vector.dy() })
        }
    }
}

/// The server's encoding of a message, without the frame header.
fn encoded_by_server(message: &ServerMessage) -> Vec<u8> {
    let entry = |entry: &Entry| message::Entry {
        id: entry.id,
        x: entry.x,
        y: entry.y,
        dx: entry.vector.dx(),
        dy: entry.vector.dy(),
        state: match entry.state {
            State::Idle => message::State::Idle,
            State::Moving => message::State::Moving,
            State::Attacking => message::State::Attacking,
        },
        facing: facing(entry.facing),
    };
    let mut frame = Vec::new();
    match message {
        ServerMessage::GameState(entries) => message::game_state(&mut frame, entries.iter().map(entry)),
        ServerMessage::MoveAck { id, x, y, sequence } => message::ack(&mut frame, *id, *x, *y, *sequence),
        ServerMessage::Joined(player) => message::joined(&mut frame, &entry(player)),
        ServerMessage::Left(id) => message::left(&mut frame, *id),
        ServerMessage::Attack { id, x, y } => message::attack(&mut frame, *id, *x, *y),
        ServerMessage::Direction { id, facing: to } => message::direction(&mut frame, *id, facing(*to)),
        ServerMessage::Movement { id, vector } => {
            frame.extend(message::movement(*id, vector.dx(), vector.dy()));
        }
    }
    frame.split_off(FRAME_HEADER_BYTES)
}

fn facing(facing: Facing) -> message::Facing {
    if facing == Facing::Right { message::Facing::Right } else { message::Facing::Left }
}

#[test]
fn both_codecs_agree_on_client_messages() {
    for Case { bytes, message } in cases("client") {
        let read = ClientMessage::decode(&bytes);
        assert_eq!(read.as_ref().ok().map(client_json), message, "{bytes:02x?}");
        if let Ok(read) = read {
            assert_eq!(read.to_bytes()[..], bytes);
        }
        let mut expected = message;
        if let Some(Json::Object(attack)) = &mut expected
            && attack["type"] == "attack"
        {
            attack.retain(|key, _| key == "type");
        }
        assert_eq!(message::decode(&bytes).ok().map(decoded_by_server), expected, "{bytes:02x?}");
    }
}

#[test]
fn both_codecs_agree_on_server_messages() {
    for Case { bytes, message } in cases("server") {
        let read = ServerMessage::decode(&bytes);
        assert_eq!(read.as_ref().ok().map(server_json), message, "{bytes:02x?}");
        if let Ok(read) = read {
            assert_eq!(encoded_by_server(&read), bytes);
        }
    }
}

#[test]
fn the_page_codec_agrees_too() {
    let output = succeed(
        Command::new(program("node"))
            .args(["--test", "--test-reporter=tap"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web")),
    );
    let output_lines = stdout_text(&output);
    assert!(output_lines.contains("# fail 0") && !output_lines.contains("# pass 0"), "{output_lines}");
}
