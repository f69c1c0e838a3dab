//! The dashboard: handles keys, and draws. It restores the terminal however it ends: by a key, a signal, a panic or a
//! closed terminal.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use game_client::Interrupt;
use signal_hook::consts::SIGHUP;

use super::Options;
use super::control::Control;
use super::history::History;
use super::players::Players;
use super::poll::Poll;
use super::screen::{Screen, draw};
use super::terminal::{self, ESCAPE, Terminal};

/// Longest wait for a key.
const KEY_TIMEOUT: Duration = Duration::from_millis(100);

/// Time for the main thread to end after a signal. It may be blocked on the terminal.
const END_GRACE: Duration = Duration::from_secs(1);

/// Exit status after the terminal has closed: the status of a process that SIGHUP ended.
const HUNG_UP: u8 = 128 + SIGHUP as u8;

/// Shortest and longest interval that can be set by keys.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_mins(1));

/// Control characters. In raw mode the terminal passes them through.
const CTRL_C: u8 = 0x03;
const CTRL_Z: u8 = 0x1a;

/// Shows servers until a key, a signal, or a closed terminal ends it.
///
/// # Errors
/// The terminal fails, or the kernel refuses a thread.
pub fn run(options: &Options) -> io::Result<ExitCode> {
    let interrupt = Interrupt::watch()?;
    interrupt.exit_within(END_GRACE, terminal::abandon)?;
    let poll = Poll::start(&options.servers, options.interval)?;
    let control = Control::start(&options.servers, options.control.as_ref())?;
    let mut terminal = Terminal::open()?;
    watch(options, &interrupt, &poll, &control, &mut terminal).map(ExitCode::from)
}

/// Runs the dashboard's loop. Returns the exit status.
fn watch(
    options: &Options,
    interrupt: &Interrupt,
    poll: &Poll,
    control: &Control,
    terminal: &mut Terminal,
) -> io::Result<u8> {
    let mut histories: Vec<History> = options.servers.iter().map(|_| History::default()).collect();
    let (mut selected, mut is_paused, mut players) = (0, false, Players::default());
    loop {
        if let Some(status) = interrupt.status() {
            return Ok(status);
        }
        while let Some((server, response)) = poll.next(Duration::ZERO) {
            if !is_paused {
                histories[server].record(response);
            }
        }
        players.exchange(control, selected, is_paused);
        let screen = Screen {
            servers: &options.servers,
            histories: &histories,
            selected,
            interval: poll.interval(),
            is_paused,
            players: &players,
        };
        if !terminal.draw(|frame| draw(frame, &screen))? {
            return Ok(HUNG_UP);
        }
        let Some(keys) = terminal.keys(KEY_TIMEOUT) else { return Ok(HUNG_UP) };
        for key in keys {
            let before = selected;
            match key {
                CTRL_C => return Ok(0),
                CTRL_Z => terminal.suspend()?,
                _ if players.key(key) => {}
                b'q' | ESCAPE => return Ok(0),
                b'\t' => selected = (selected + 1) % histories.len(),
                b'1'..=b'9' if usize::from(key - b'1') < histories.len() => {
                    selected = usize::from(key - b'1');
                }
                b'l' => players.open(),
                b'p' | b' ' => is_paused = !is_paused,
                b'+' => poll.set_interval((poll.interval() / 2).max(INTERVALS.0)),
                b'-' => poll.set_interval((poll.interval() * 2).min(INTERVALS.1)),
                _ => {}
            }
            if selected != before {
                players.forget();
            }
        }
    }
}
