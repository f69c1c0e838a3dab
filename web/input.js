/**
 * Translates keys, mouse and touch into the player's actions.
 *
 * @module input
 */

/** @import { Part } from './protocol.js' */

/** @type {Map<string, [Part, Part]>} */
const KEYS = new Map([
  ['KeyW', [0, -1]],
  ['ArrowUp', [0, -1]],
  ['KeyS', [0, 1]],
  ['ArrowDown', [0, 1]],
  ['KeyA', [-1, 0]],
  ['ArrowLeft', [-1, 0]],
  ['KeyD', [1, 0]],
  ['ArrowRight', [1, 0]],
]);

/** Distance from its start at which a drag gives a direction, in CSS pixels. */
const DRAG_PX = 16;

/** Longest touch without movement that counts as an attack, in milliseconds. */
const TAP_MS = 250;

/**
 * Returns the direction of a drag: one of eight, or none.
 * @param {number} x Distance to the right, in CSS pixels.
 * @param {number} y Distance downwards, in CSS pixels.
 * @returns {[Part, Part]}
 */
export function dragDirection(x, y) {
  if (Math.hypot(x, y) < DRAG_PX) return [0, 0];
  // An axis counts if the drag is at least 22.5 degrees off the other axis.
  const reach = Math.hypot(x, y) * Math.sin(Math.PI / 8);
  const part = (/** @type {number} */ along) => /** @type {Part} */ (Math.abs(along) < reach ? 0 : Math.sign(along));
  return [part(x), part(y)];
}

/**
 * Whether the space bar attacks with the focus there. Buttons and links keep it, except for a button that got the focus back.
 * @param {EventTarget | null} target
 */
const isOfGame = (target) => target === document.body || (target instanceof HTMLElement && 'playsOn' in target.dataset);

/** Current state of keys and touch. */
export class Input {
  /** @type {Set<string>} */
  #pressed = new Set();
  /** @type {{ id: number, x: number, y: number, at: number, moved: boolean, direction: [Part, Part] } | undefined} */
  #drag;

  /**
   * @param {HTMLElement} surface Element that receives mouse and touch.
   * @param {object} on
   * @param {() => void} on.attack
   * @param {(x: number) => void} on.aim Called with the pointer's distance from the left edge of the surface, in CSS pixels.
   */
  constructor(surface, on) {
    addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.code === 'Space' && isOfGame(event.target)) {
        event.preventDefault();
        if (!event.repeat) on.attack();
      } else if (KEYS.has(event.code)) {
        event.preventDefault();
        this.#pressed.add(event.code);
      }
    });
    addEventListener('keyup', (event) => {
      this.#pressed.delete(event.code);
      // Some browsers press a button when the space bar is released.
      if (event.code === 'Space' && isOfGame(event.target)) event.preventDefault();
    });
    addEventListener('blur', () => this.release());
    document.addEventListener('visibilitychange', () => document.hidden && this.release());
    surface.addEventListener('contextmenu', (event) => event.preventDefault());
    surface.addEventListener('pointerdown', (event) => {
      if (event.pointerType === 'mouse') {
        on.aim(event.offsetX);
        return on.attack();
      }
      surface.setPointerCapture(event.pointerId);
      if (this.#drag) return on.attack();
      const [x, y] = [event.offsetX, event.offsetY];
      this.#drag = { id: event.pointerId, x, y, at: event.timeStamp, moved: false, direction: [0, 0] };
    });
    surface.addEventListener('pointermove', (event) => {
      if (event.pointerType === 'mouse') return on.aim(event.offsetX);
      if (this.#drag?.id !== event.pointerId) return;
      this.#drag.direction = dragDirection(event.offsetX - this.#drag.x, event.offsetY - this.#drag.y);
      this.#drag.moved ||= this.#drag.direction.some((part) => part !== 0);
    });
    for (const end of ['pointerup', 'pointercancel']) {
      surface.addEventListener(end, (event) => {
        const drag = this.#drag;
        if (!(event instanceof PointerEvent) || drag?.id !== event.pointerId) return;
        this.#drag = undefined;
        if (!drag.moved && event.timeStamp - drag.at < TAP_MS) {
          on.aim(event.offsetX);
          on.attack();
        }
      });
    }
  }

  /** Releases all keys and the drag: the page does not receive key releases in another window. */
  release() {
    this.#pressed.clear();
    this.#drag = undefined;
  }

  /**
   * The direction of movement.
   * @returns {[Part, Part]}
   */
  get direction() {
    if (this.#drag?.moved) return this.#drag.direction;
    const pressed = [...this.#pressed].map((code) => KEYS.get(code) ?? [0, 0]);
    const sum = (/** @type {0 | 1} */ axis) => Math.sign(pressed.reduce((all, key) => all + key[axis], 0));
    return [/** @type {Part} */ (sum(0)), /** @type {Part} */ (sum(1))];
  }
}
