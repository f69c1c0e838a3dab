//! Players that walk as the browser client does while a key is held: 24 steps a second, each told by a MOVE.

use std::time::Instant;

use game_client::{ClientMessage, Facing, Vector};

use super::{Client, Server, poll_until, wait_for_acks};

/// Steps the client takes a second.
pub const STEPS_PER_S: f64 = 24.0;

/// Units of one step.
pub const UNITS_PER_STEP: i32 = 4;

/// One held key.
pub struct Walker {
    vector: Vector,
    start: Instant,
    taken: u32,
}

impl Walker {
    /// Presses the key.
    pub fn new(vector: Vector) -> Walker {
        Walker { vector, start: Instant::now(), taken: 0 }
    }

    /// Steps taken so far.
    pub fn taken(&self) -> u32 {
        self.taken
    }

    /// Takes the steps that are due, up to `steps_max` in all. After a pause they come at once, as in the browser.
    pub fn drive(&mut self, client: &mut Client, steps_max: u32) {
        let due = (self.start.elapsed().as_secs_f64() * STEPS_PER_S) as u32 + 1;
        while self.taken < due.min(steps_max) {
            client.step(self.vector);
            self.taken += 1;
        }
    }
}

/// Lets one client walk a number of steps and release the key, and waits until all of it is answered.
pub fn walk(clients: &mut [Client], who: usize, vector: Vector, steps: u32) {
    let mut walker = Walker::new(vector);
    poll_until(clients, "a walk", |clients| {
        walker.drive(&mut clients[who], steps);
        walker.taken() == steps
    });
    clients[who].step(Vector::ZERO);
    wait_for_acks(clients);
}

/// Lets one client walk along x to about this place and release the key.
pub fn walk_to_x(clients: &mut [Client], who: usize, x: i32) {
    let distance = x - clients[who].position().0;
    let vector = if distance < 0 { Vector::LEFT } else { Vector::RIGHT };
    walk(clients, who, vector, distance.unsigned_abs() / UNITS_PER_STEP.unsigned_abs());
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
