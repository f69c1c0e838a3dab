/**
 * The effect of an attack: a bright blade's path before the attacker, and a ring that spreads on the ground.
 *
 * @module effects
 */

/** Duration of the effect, in milliseconds. */
const EFFECT_MS = 500;

/** Height of the blade's path above the feet, in units. */
const CHEST_UNITS = 18;

/** Radius of the blade's path and of the ring at the end of the effect, in units. */
const PATH_UNITS = 32;
const RING_UNITS = 46;

/** Half the angle of the blade's path. */
const HALF_ANGLE = 1.25;

/** Progress at which the effect is drawn if nothing may move. */
const STILL_PART = 0.4;

/**
 * Draws the effect of an attack, unless it is over.
 * @param {CanvasRenderingContext2D} context
 * @param {{ facing: 'left' | 'right', since: number }} attacker `since`: milliseconds since the start of the attack.
 * @param {{ x: number, y: number, scale: number }} at The feet of the attacker, and screen pixels per unit.
 * @param {boolean} isStill Without motion, for the whole attack.
 */
export function drawAttack(context, { facing, since }, { x, y, scale }, isStill) {
  const part = isStill ? STILL_PART : since / EFFECT_MS;
  if (part < 0 || part >= 1) return;
  context.save();
  context.translate(x, y);
  context.scale(facing === 'right' ? scale : -scale, scale);
  context.lineCap = 'round';

  context.globalAlpha = 0.6 * (1 - part);
  context.strokeStyle = '#ffe9a8';
  context.lineWidth = 2;
  context.beginPath();
  context.ellipse(0, 0, 10 + (RING_UNITS - 10) * part, (10 + (RING_UNITS - 10) * part) * 0.4, 0, 0, 2 * Math.PI);
  context.stroke();

  // The blade covers its path in the first third of the effect; then the path fades.
  const swept = Math.min(part * 3, 1);
  context.globalAlpha = 1 - part;
  for (const [width, color] of /** @type {const} */ ([[9, 'rgb(255 190 60 / 0.5)'], [4, '#fff6d5']])) {
    context.strokeStyle = color;
    context.lineWidth = width * (1 - part / 2);
    context.beginPath();
    context.arc(0, -CHEST_UNITS, PATH_UNITS, -HALF_ANGLE, -HALF_ANGLE + 2 * HALF_ANGLE * swept);
    context.stroke();
  }
  context.restore();
}
