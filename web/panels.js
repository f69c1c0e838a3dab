/**
 * The panels over the scene: figures, buttons, help, the hint of the keys, and notices.
 *
 * @module panels
 */

/** @import { Status } from './connection.js' */
/** @import { Rules } from './rules.js' */

/** Time from the join to the fading of the hint, and an upper bound for the fading (see play.css), in milliseconds. */
const HINT_MS = 8_000;
const FADING_MS = 2_000;

/** Bots that one click adds. */
const BOTS_AT_ONCE = 50;

/**
 * @template {HTMLElement} T
 * @param {string} id
 */
export const element = (id) => /** @type {T} */ (document.getElementById(id));

/**
 * Writes a text when it changes: screen readers announce every write.
 * @param {string} id
 * @param {string} text
 */
function write(id, text) {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
}

export class Panels {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #hintTimer;
  /** @type {Status} */
  #status = { is: 'connecting' };

  /**
   * @param {object} on
   * @param {() => void} on.retry
   * @param {(count: number) => void} on.addBots
   */
  constructor(on) {
    element('retry').addEventListener('click', on.retry);
    element('bots-button').addEventListener('click', () => on.addBots(BOTS_AT_ONCE));
    element('help-button').addEventListener('click', () => {
      this.#showHelp(element('help').hidden !== false);
      this.#endHint();
    });
    element('help-button').addEventListener('blur', () => delete element('help-button').dataset.playsOn);
    // After a click with the mouse the space bar attacks again, instead of pressing the button.
    element('panels').addEventListener('click', ({ detail }) => {
      if (detail > 0 && document.activeElement instanceof HTMLButtonElement) document.activeElement.blur();
    });
    addEventListener('keydown', ({ key }) => key === 'Escape' && this.#leaveHelp());
    document.addEventListener('click', ({ detail, target }) => {
      const isInside = target instanceof Element && target.closest('#help, #help-button');
      if (detail > 0 && !isInside) this.#leaveHelp();
    });
  }

  /** @param {boolean} isShown */
  #showHelp(isShown) {
    element('help').hidden = !isShown;
    element('help-button').setAttribute('aria-expanded', String(isShown));
  }

  /** Closes an open help, returns the focus to its button, and leaves the space bar to the game: Enter opens the help again. */
  #leaveHelp() {
    if (element('help').hidden) return;
    this.#showHelp(false);
    element('help-button').focus();
    element('help-button').dataset.playsOn = '';
  }

  /** The player has joined: the hint of the keys fades after a while. */
  joined() {
    this.#hintTimer ??= setTimeout(() => {
      element('hint').classList.add('fading');
      this.#hintTimer = setTimeout(() => this.#endHint(), FADING_MS);
    }, HINT_MS);
  }

  #endHint() {
    element('hint').hidden = true;
  }

  /**
   * @param {Status} status
   * @param {number} now
   */
  showStatus(status, now) {
    this.#status = status;
    element('notice').hidden = status.is === 'open';
    element('retry').hidden = status.is !== 'waiting';
    if (status.is === 'connecting') write('notice-text', 'Connecting...');
    this.showWait(now);
  }

  /**
   * Counts down to the next attempt to connect, if one is due.
   * @param {number} now
   */
  showWait(now) {
    if (this.#status.is !== 'waiting') return;
    const { reason, until } = this.#status;
    const wait = ` Trying again in ${Math.max(Math.ceil((until - now) / 1000), 1)} s.`;
    write('notice-text', reason + (Number.isFinite(until) ? wait : ''));
  }

  /**
   * Shows a notice while the rules of the server can't be read.
   * @param {Readonly<Rules>} rules The rules of the page.
   * @param {Error | undefined} failure
   */
  showRules({ width, height, stepUnits }, failure) {
    element('rules').hidden = !failure;
    const size = [width, height].map((side) => side.toLocaleString('en')).join(' by ');
    const assumed = `The page assumes a world of ${size} units, and steps of ${stepUnits} units.`;
    write('rules', failure ? `The rules of this server can't be read (${failure.message}). ${assumed}` : '');
  }

  /**
   * Offers as many bots as may join, and explains a limit in the help.
   * @param {number} most Maximum number of bots of this page.
   */
  showBotsMax(most) {
    element('bots-button').hidden = most === 0;
    write('bots-button', most === 1 ? 'Add 1 bot' : `Add ${Math.min(most, BOTS_AT_ONCE)} bots`);
    element('bots-help').hidden = most < BOTS_AT_ONCE;
    element('bots-limit').hidden = most >= BOTS_AT_ONCE;
    const bots = most === 1 ? '1 bot' : `${most} bots`;
    write(
      'bots-limit',
      most === 0
        ? 'This server allows one connection per account, so no bots can join.'
        : `This server allows ${most + 1} connections per account, so at most ${bots} can join.`,
    );
  }

  /**
   * @param {object} figures
   * @param {number | undefined} figures.pingMs
   * @param {number} figures.framesPerS
   * @param {{ connected: number, room: number }} figures.bots
   */
  showFigures({ pingMs, framesPerS, bots }) {
    write('ping', pingMs === undefined ? '-' : `${Math.round(pingMs)} ms`);
    write('frames', String(Math.round(framesPerS)));
    const { connected, room } = bots;
    if (connected > 0) element('bots-figure').hidden = false;
    write('bots', String(connected));
    /** @type {HTMLButtonElement} */ (element('bots-button')).disabled = room === 0;
  }

  /**
   * @param {number | undefined} inView Players in view; undefined if unknown.
   * @param {number | undefined} players Players on the server; undefined if unknown.
   */
  showPlayers(inView, players) {
    write('shown', inView?.toString() ?? '-');
    write('players', players?.toString() ?? '-');
  }
}
