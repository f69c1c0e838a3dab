/**
 * The sprites: each character is drawn once in every color, pose and direction, and copied from there.
 *
 * @module sprites
 */

/** @import { State } from './protocol.js' */

/** Size of a sprite in units. The feet of the character are centered horizontally, at `FEET_Y`. */
const SPRITE_WIDTH = 48;
const SPRITE_HEIGHT = 48;
const FEET_Y = 42;

const HUES = 12;
const FRAMES = { idle: 2, moving: 6, attacking: 5 };
const COLUMNS = FRAMES.idle + FRAMES.moving + FRAMES.attacking;
const FIRST = { idle: 0, moving: FRAMES.idle, attacking: FRAMES.idle + FRAMES.moving };

/** Duration of a frame, in milliseconds. */
const FRAME_MS = { idle: 600, moving: 90, attacking: 200 };

/**
 * Returns the hue of a player, in degrees. Players with consecutive ids get distant hues.
 * @param {number} id
 */
export const hueOf = (id) => ((id * 5) % HUES) * (360 / HUES);

/** The sprites of all characters. */
export class Sprites {
  /** @param {number} scale Screen pixels per unit. */
  constructor(scale) {
    this.scale = scale;
    this.width = Math.ceil(SPRITE_WIDTH * scale);
    this.height = Math.ceil(SPRITE_HEIGHT * scale);
    const canvas = new OffscreenCanvas(this.width * COLUMNS, this.height * HUES * 2);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
    for (let row = 0; row < HUES * 2; row += 1) {
      for (const state of /** @type {State[]} */ (['idle', 'moving', 'attacking'])) {
        for (let frame = 0; frame < FRAMES[state]; frame += 1) {
          context.save();
          context.translate((FIRST[state] + frame) * this.width + this.width / 2, row * this.height);
          // Clips the drawing to its own sprite.
          context.beginPath();
          context.rect(-this.width / 2, 0, this.width, this.height);
          context.clip();
          context.scale(row % 2 === 0 ? scale : -scale, scale);
          drawCharacter(context, hueOf(row >> 1), state, frame / FRAMES[state]);
          context.restore();
        }
      }
    }
    this.atlas = canvas.transferToImageBitmap();
  }

  /**
   * Copies a character with its feet at (`x`, `y`), in screen pixels.
   * @param {CanvasRenderingContext2D} context
   * @param {{ id: number, facing: 'left' | 'right', state: State, since: number }} who `since`: milliseconds in this state.
   * @param {number} x
   * @param {number} y
   * @param {boolean} isStill Without animation.
   */
  draw(context, who, x, y, isStill) {
    const count = FRAMES[who.state];
    const passed = Math.max(Math.floor(who.since / FRAME_MS[who.state]), 0);
    const frame = isStill ? Math.floor(count / 2) : who.state === 'attacking' ? Math.min(passed, count - 1) : passed % count;
    const row = (who.id % HUES) * 2 + (who.facing === 'right' ? 0 : 1);
    context.drawImage(
      this.atlas,
      (FIRST[who.state] + frame) * this.width,
      row * this.height,
      this.width,
      this.height,
      Math.round(x - this.width / 2),
      Math.round(y - FEET_Y * this.scale),
      this.width,
      this.height,
    );
  }
}

/**
 * Draws a character that looks to the right, around the y axis.
 * @param {OffscreenCanvasRenderingContext2D} context
 * @param {number} hue
 * @param {State} state
 * @param {number} part Progress of the animation, from 0 to 1.
 */
function drawCharacter(context, hue, state, part) {
  const swing = state === 'moving' ? Math.sin(part * 2 * Math.PI) : 0;
  const bob = state === 'moving' ? Math.abs(swing) * 1.5 : state === 'idle' ? part * 1.2 : 0;
  const lean = state === 'moving' ? 1.5 : state === 'attacking' ? 2 * Math.sin(part * Math.PI) : 0;
  const [dark, body, light] = [28, 52, 72].map((lightness) => `hsl(${hue} 65% ${lightness}%)`);
  context.lineCap = 'round';
  context.lineJoin = 'round';

  context.fillStyle = 'rgb(0 0 0 / 0.3)';
  ellipse(context, 0, FEET_Y, 9, 3);

  context.strokeStyle = dark;
  context.lineWidth = 4;
  line(context, -2, 32 - bob, -2 - swing * 6, FEET_Y - Math.max(-swing, 0) * 3);
  line(context, 2, 32 - bob, 2 + swing * 6, FEET_Y - Math.max(swing, 0) * 3);

  context.fillStyle = body;
  context.strokeStyle = 'rgb(10 14 24)';
  context.lineWidth = 1.2;
  context.beginPath();
  context.roundRect(-7 + lean, 19 - bob, 14, 16, 5);
  context.fill();
  context.stroke();

  context.fillStyle = light;
  ellipse(context, lean * 1.5, 13 - bob, 7.5, 7);
  context.stroke();
  context.fillStyle = 'rgb(10 14 24)';
  ellipse(context, lean * 1.5 + 2, 12.5 - bob, 1.3, 1.8);
  ellipse(context, lean * 1.5 + 5.5, 12.5 - bob, 1.2, 1.8);

  // The arm, and in its hand a blade that swings down from behind the head.
  const angle = state === 'attacking' ? -2.2 + part * 3.2 : state === 'moving' ? 0.9 + swing * 0.4 : 1.1;
  const [handX, handY] = [lean + 4 + Math.cos(angle) * 7, 25 - bob + Math.sin(angle) * 7];
  context.strokeStyle = dark;
  context.lineWidth = 3.5;
  line(context, lean + 4, 25 - bob, handX, handY);
  context.strokeStyle = state === 'attacking' ? 'rgb(255 255 255)' : 'rgb(205 214 228)';
  context.lineWidth = 2;
  const blade = angle - 0.5;
  line(context, handX, handY, handX + Math.cos(blade) * 13, handY + Math.sin(blade) * 13);
}

/**
 * @param {OffscreenCanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} width Half the width.
 * @param {number} height Half the height.
 */
function ellipse(context, x, y, width, height) {
  context.beginPath();
  context.ellipse(x, y, width, height, 0, 0, 2 * Math.PI);
  context.fill();
}

/**
 * @param {OffscreenCanvasRenderingContext2D} context
 * @param {number} fromX
 * @param {number} fromY
 * @param {number} toX
 * @param {number} toY
 */
function line(context, fromX, fromY, toX, toY) {
  context.beginPath();
  context.moveTo(fromX, fromY);
  context.lineTo(toX, toY);
  context.stroke();
}
