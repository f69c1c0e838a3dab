// Messages of Artillery's players and the latency of the server's acks. Artillery itself sends only text, so this file encodes
// the binary messages and sends them over Artillery's socket.
'use strict';

const LEAVE = 2, MOVE = 3, DIRECTION = 4, ATTACK = 5, ATTACK_END = 6;
const GAME_STATE = 7, MOVEMENT_ACK = 8;
const ACK_BYTES = 13;

// Timeout of the last acks, in milliseconds.
const ACK_PATIENCE_MS = 5000;
const SECOND_MS = 1000, NS_PER_MS = 1e6;

const isLikely = () => Math.random() < 0.5;
const anyPart = () => Math.floor(Math.random() * 3);
const message = (...bytes) => Buffer.from(bytes);

/** Encodes a MOVE of 6 bytes: dx + 1 and dy + 1 in two bits each, and the sequence. */
function move(dx, dy, sequence) {
  const bytes = message(MOVE, (dx + 1) | ((dy + 1) << 2), 0, 0, 0, 0);
  bytes.writeUInt32LE(sequence, 2);
  return bytes;
}

/** Returns the sequence a MOVEMENT_ACK acknowledges; undefined for other messages. */
function answeredSequence(bytes) {
  return bytes[0] === MOVEMENT_ACK && bytes.length === ACK_BYTES ? bytes.readUInt32LE(9) : undefined;
}

/** Starts to match acks with the player's MOVEs. */
function join(context, events, done) {
  const player = { sequence: 0, sentAt: new Map(), isLeaving: false, isIn: false };
  context.player = player;
  context.ws.on('message', (data) => {
    const bytes = Buffer.from(data);
    if (bytes[0] === GAME_STATE && !player.isIn) {
      player.isIn = true;
      events.emit('counter', 'game.players', 1);
    }
    const sequence = answeredSequence(bytes);
    if (sequence === undefined) return;
    const sentAt = player.sentAt.get(sequence);
    if (sentAt === undefined) return events.emit('counter', 'game.answers_to_no_move', 1);
    player.sentAt.delete(sequence);
    events.emit('counter', 'game.acks', 1);
    events.emit('histogram', 'game.move_to_ack_ms', Number(process.hrtime.bigint() - sentAt) / NS_PER_MS);
  });
  context.ws.on('close', () => {
    if (!player.isLeaving) events.emit('counter', 'game.disconnected', 1);
  });
  done();
}

/** Sends a step in a random direction, or a stop. */
function sendMove(context, events, done) {
  const player = context.player;
  player.sequence += 1;
  player.sentAt.set(player.sequence, process.hrtime.bigint());
  events.emit('counter', 'game.moves', 1);
  context.ws.send(move(anyPart() - 1, anyPart() - 1, player.sequence), done);
}

/** Sends the message of `make` with a probability of one half. */
const perhaps = (make) => (context, events, done) => (isLikely() ? context.ws.send(make(), done) : done());

/** Waits for outstanding acks, counts the missing ones, and leaves. */
function leave(context, events, done) {
  const player = context.player;
  const askedAt = Date.now();
  const look = () => {
    if (player.sentAt.size > 0 && Date.now() - askedAt < ACK_PATIENCE_MS) return void setTimeout(look, SECOND_MS / 50);
    if (player.sentAt.size > 0) events.emit('counter', 'game.moves_without_ack', player.sentAt.size);
    player.isLeaving = true;
    context.ws.send(message(LEAVE), done);
  };
  look();
}

module.exports = {
  join,
  sendMove,
  perhapsTurn: perhaps(() => message(DIRECTION, isLikely() ? 1 : 0xff)),
  perhapsAttack: perhaps(() => message(ATTACK)),
  perhapsAttackEnd: perhaps(() => message(ATTACK_END)),
  leave,
};
