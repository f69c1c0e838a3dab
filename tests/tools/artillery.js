// Runs a player of tools/artillery without Artillery: prints its messages in hex, and answers every MOVE with
// this ack (hex) with the MOVE's sequence number. Arguments: players.js, the ack.
'use strict';

const { EventEmitter } = require('node:events');
const [players, answer] = [require(process.argv[2]), Buffer.from(process.argv[3], 'hex')];

const ws = new EventEmitter();
ws.send = (bytes, done) => {
  console.log(`sent ${bytes.toString('hex')}`);
  if (bytes[0] === 3) {
    answer.writeUInt32LE(bytes.readUInt32LE(2), 9);
    ws.emit('message', Buffer.from(answer));
  }
  done();
};
const events = new EventEmitter();
events.on('counter', (name, by) => console.log(`counter ${name} ${by}`));
events.on('histogram', (name, value) => console.log(`histogram ${name} ${value >= 0 && value < 60000}`));

const context = { ws };
const lines = ['join'];
for (let round = 0; round < 20; round += 1) lines.push('sendMove', 'perhapsTurn', 'perhapsAttack', 'perhapsAttackEnd');
lines.push('leave');
(function next() {
  const name = lines.shift();
  if (name) players[name](context, events, next);
})();
