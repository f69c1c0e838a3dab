//! The dashboard: what keys do, and when to draw. However it ends, by a key, a signal, a panic or a terminal that goes, the
//! terminal is as it was.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use signal_hook::consts::SIGHUP;
use stage::Interrupt;

use crate::history::History;
use crate::options::Options;
use crate::poll::Poll;
use crate::screen::{Screen, draw};
use crate::terminal::{self, ESCAPE, Input, Terminal};

/// Longest wait for a key.
const KEY_PATIENCE: Duration = Duration::from_millis(100);

/// Time in which the main thread ends after a signal, unless the terminal holds it.
const END_GRACE: Duration = Duration::from_secs(1);

/// Exit status after the terminal has gone: that of the signal which says so.
const HUNG_UP: u8 = 128 + SIGHUP as u8;

/// Shortest and longest interval that keys set.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_mins(1));

/// Shows servers until a key or a signal ends it, or the terminal goes.
///
/// # Errors
/// The terminal's, or the kernel refuses a thread.
pub fn run(options: &Options) -> io::Result<ExitCode> {
    let interrupt = Interrupt::watch()?;
    interrupt.exit_within(END_GRACE, terminal::abandon)?;
    let poll = Poll::start(&options.servers, options.interval)?;
    let mut terminal = Terminal::open()?;
    watch(options, &interrupt, &poll, &mut terminal).map(ExitCode::from)
}

/// Returns the exit status.
fn watch(options: &Options, interrupt: &Interrupt, poll: &Poll, terminal: &mut Terminal) -> io::Result<u8> {
    let mut histories: Vec<History> = options.servers.iter().map(|_| History::default()).collect();
    let (mut chosen, mut is_paused) = (0, false);
    loop {
        if let Some(status) = interrupt.status() {
            return Ok(status);
        }
        while let Some((server, answer)) = poll.next(Duration::ZERO) {
            if !is_paused {
                histories[server].take(answer);
            }
        }
        let screen = Screen {
            servers: &options.servers,
            histories: &histories,
            chosen,
            interval: poll.interval(),
            is_paused,
        };
        if !terminal.draw(|frame| draw(frame, &screen))? {
            return Ok(HUNG_UP);
        }
        let Input::Keys(keys) = terminal.input(KEY_PATIENCE)? else { return Ok(HUNG_UP) };
        for key in keys {
            match action(key) {
                Action::End => return Ok(0),
                Action::Suspend => terminal.suspend()?,
                Action::Next => chosen = (chosen + 1) % histories.len(),
                Action::Choose(server) if server < histories.len() => chosen = server,
                Action::Pause => is_paused = !is_paused,
                Action::Faster => poll.set_interval((poll.interval() / 2).max(INTERVALS.0)),
                Action::Slower => poll.set_interval((poll.interval() * 2).min(INTERVALS.1)),
                Action::Choose(_) | Action::Nothing => {}
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    End,
    Suspend,
    Next,
    Choose(usize),
    Pause,
    Faster,
    Slower,
    Nothing,
}

/// Control characters: in raw mode the terminal hands them over as they are.
const CTRL_C: u8 = 0x03;
const CTRL_Z: u8 = 0x1a;

fn action(key: u8) -> Action {
    match key {
        b'q' | CTRL_C | ESCAPE => Action::End,
        CTRL_Z => Action::Suspend,
        b'\t' => Action::Next,
        b'1'..=b'9' => Action::Choose(usize::from(key - b'1')),
        b'p' | b' ' => Action::Pause,
        b'+' => Action::Faster,
        b'-' => Action::Slower,
        _ => Action::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_last_line_says() {
        assert_eq!((action(b'q'), action(CTRL_C), action(ESCAPE)), (Action::End, Action::End, Action::End));
        assert_eq!((action(b'3'), action(b'\t')), (Action::Choose(2), Action::Next));
        assert_eq!((action(CTRL_Z), action(b'c')), (Action::Suspend, Action::Nothing));
    }
}
