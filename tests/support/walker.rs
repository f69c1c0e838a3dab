//! Players that walk as the browser client does while a key is held: 24 steps a second, one MOVE per step.

use std::time::Instant;

use game_client::{ClientMessage, Facing, Vector};

use super::{Client, Server, poll_until, wait_for_acks};

pub const STEPS_PER_S: f64 = 24.0;

/// Length of a step, in world units.
pub const UNITS_PER_STEP: i32 = 4;

/// A held arrow key.
pub struct Walker {
    vector: Vector,
    start: Instant,
    taken: u32,
}

impl Walker {
    pub fn new(vector: Vector) -> Walker {
        Walker { vector, start: Instant::now(), taken: 0 }
    }

    pub fn taken(&self) -> u32 {
        self.taken
    }

    /// Takes the due steps, at most `steps_max` in total; after a pause at once, as in the browser.
    pub fn drive(&mut self, client: &mut Client, steps_max: u32) {
        let due = (self.start.elapsed().as_secs_f64() * STEPS_PER_S) as u32 + 1;
        while self.taken < due.min(steps_max) {
            client.step(self.vector);
            self.taken += 1;
        }
    }
}

/// Walks one client a number of steps, releases the key, and waits until every step is acked.
pub fn walk(clients: &mut [Client], index: usize, vector: Vector, steps: u32) {
    let mut walker = Walker::new(vector);
    poll_until(clients, "a walk", |clients| {
        walker.drive(&mut clients[index], steps);
        walker.taken() == steps
    });
    clients[index].step(Vector::ZERO);
    wait_for_acks(clients);
}

/// Lets all clients take a step once their previous ones are acked, to the right and back. Counts the steps.
pub fn step_when_answered(clients: &mut [Client], steps: &mut usize) {
    if clients.iter().all(Client::is_answered) {
        let direction = [Vector::RIGHT, Vector::LEFT][*steps / 10 % 2];
        for client in clients {
            client.step(direction);
        }
        *steps += 1;
    }
}

/// Walks one client along the x axis to about `x`, and releases the key.
pub fn walk_to_x(clients: &mut [Client], index: usize, x: i32) {
    let distance = x - clients[index].position().0;
    let vector = if distance < 0 { Vector::LEFT } else { Vector::RIGHT };
    walk(clients, index, vector, distance.unsigned_abs() / UNITS_PER_STEP.unsigned_abs());
}

/// A client that has walked 40 units down from its spawn point and faces left.
pub fn walked_client(server: &Server) -> Client {
    let mut clients = [Client::join(server)];
    let (x, y) = clients[0].position();
    walk(&mut clients, 0, Vector::DOWN, 10);
    clients[0].send(&ClientMessage::Direction(Facing::Left));
    wait_for_acks(&mut clients);
    let [client] = clients;
    assert_eq!(client.position(), (x, y + 40));
    client
}

/// The session cookie of a [`walked_client`] that has disconnected.
pub fn cookie_of_walked_client(server: &Server) -> String {
    let client = walked_client(server);
    let cookie = client.cookie();
    client.reset();
    server.wait_for_players(0);
    cookie
}
