//! The terminal: keys, and when to draw. However it ends, by a key, a signal or a panic, the terminal is as it was.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use stage::Interrupt;

use crate::history::History;
use crate::options::Options;
use crate::poll::Poll;
use crate::screen::{Screen, draw};

/// Longest wait for a key.
const KEY_PATIENCE: Duration = Duration::from_millis(100);

/// Shortest and longest interval that keys set.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_mins(1));

/// Shows servers until somebody has seen enough.
///
/// # Errors
/// The terminal's, or no thread to be had.
pub fn run(options: &Options) -> io::Result<ExitCode> {
    let interrupt = Interrupt::watch()?;
    let poll = Poll::start(&options.servers, options.interval)?;
    let mut terminal = ratatui::try_init()?;
    let result = watch(options, &interrupt, &poll, &mut terminal);
    ratatui::restore();
    result.map(|()| ExitCode::SUCCESS)
}

fn watch(
    options: &Options,
    interrupt: &Interrupt,
    poll: &Poll,
    terminal: &mut ratatui::DefaultTerminal,
) -> io::Result<()> {
    let mut histories: Vec<History> = options.servers.iter().map(|_| History::default()).collect();
    let (mut chosen, mut is_paused) = (0, false);
    while !interrupt.is_wanted() {
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
        terminal.draw(|frame| draw(frame, &screen))?;
        if !event::poll(KEY_PATIENCE)? {
            continue;
        }
        let Event::Key(key) = event::read()? else { continue };
        match action(key) {
            Action::End => return Ok(()),
            Action::Next => chosen = (chosen + 1) % histories.len(),
            Action::Choose(server) if server < histories.len() => chosen = server,
            Action::Pause => is_paused = !is_paused,
            Action::Faster => poll.set_interval((poll.interval() / 2).max(INTERVALS.0)),
            Action::Slower => poll.set_interval((poll.interval() * 2).min(INTERVALS.1)),
            Action::Choose(_) | Action::Nothing => {}
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    End,
    Next,
    Choose(usize),
    Pause,
    Faster,
    Slower,
    Nothing,
}

fn action(key: KeyEvent) -> Action {
    if key.kind == KeyEventKind::Release {
        return Action::Nothing;
    }
    match key.code {
        // The terminal hands it over as a key.
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Action::End,
        KeyCode::Char('q') | KeyCode::Esc => Action::End,
        KeyCode::Tab => Action::Next,
        KeyCode::Char(digit @ '1'..='9') => Action::Choose(digit as usize - '1' as usize),
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Char('+') => Action::Faster,
        KeyCode::Char('-') => Action::Slower,
        _ => Action::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_last_line_says() {
        let key = |code| action(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(key(KeyCode::Char('q')), Action::End);
        assert_eq!(key(KeyCode::Char('3')), Action::Choose(2));
        assert_eq!(key(KeyCode::Tab), Action::Next);
        assert_eq!(action(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Action::End);
        assert_eq!(key(KeyCode::Char('c')), Action::Nothing);
    }
}
