//! The terminal: drawing, input, and restoring its state.
//!
//! Keys are read here and not by crossterm, whose reader spins on a closed terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, sleep};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::{Position, Rect};
use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::SIGCONT;

/// Size of a read, in bytes: larger than any key sequence.
const READ_BYTES: usize = 64;

/// Most reads that wait to be handled. More keys wait in the terminal.
const READS_MAX: usize = 16;

/// The escape key, and the first byte of key sequences.
pub const ESCAPE: u8 = 0x1b;

/// What the arrows up and down are read as: Ctrl-P and Ctrl-N, which move the same way in a shell.
pub const UP: u8 = 0x10;
pub const DOWN: u8 = 0x0e;

/// Time for SIGTSTP to arrive.
const STOP_PAUSE: Duration = Duration::from_millis(50);

/// Leaves the alternate screen and shows the cursor.
const LEAVE: &[u8] = b"\x1b[?1049l\x1b[?25h";

/// The terminal.
pub struct Terminal {
    /// Never dropped: its destructor would panic on a closed terminal.
    screen: ManuallyDrop<DefaultTerminal>,
    /// The keys of each read, until the terminal closes; `None` if neither standard input nor the process has one.
    keys: Option<Receiver<Vec<u8>>>,
    /// Whether the process was stopped and has continued.
    is_continued: Arc<AtomicBool>,
}

impl Terminal {
    /// Sets up the terminal.
    ///
    /// # Errors
    /// The terminal fails.
    pub fn open() -> io::Result<Terminal> {
        let is_continued = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGCONT, Arc::clone(&is_continued))?;
        let source = if io::stdin().is_terminal() {
            Some(File::from(io::stdin().as_fd().try_clone_to_owned()?))
        } else {
            File::open("/dev/tty").ok()
        };
        let keys = source.map(read_keys).transpose()?;
        Ok(Terminal { screen: ManuallyDrop::new(ratatui::try_init()?), keys, is_continued })
    }

    /// Draws. Returns `false` if the terminal has closed.
    ///
    /// # Errors
    /// The terminal fails.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<bool> {
        let is_continued = self.is_continued.swap(false, Ordering::Relaxed);
        let ready = if is_continued { self.set_up() } else { Ok(()) };
        match ready.and_then(|()| self.screen.draw(render).map(|_| ())) {
            Ok(()) => Ok(true),
            Err(error) if is_closed(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for keys, by the bytes that they send; may be empty. Returns `None` if the terminal has closed.
    pub fn keys(&mut self, timeout: Duration) -> Option<Vec<u8>> {
        let Some(keys) = &self.keys else {
            sleep(timeout);
            return Some(Vec::new());
        };
        match keys.recv_timeout(timeout) {
            Ok(keys) => Some(keys),
            Err(RecvTimeoutError::Timeout) => Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Restores the terminal and stops the foreground process group, as Ctrl-Z does. Without a shell that could
    /// continue it, the kernel does not stop it.
    ///
    /// # Errors
    /// The terminal fails.
    pub fn suspend(&mut self) -> io::Result<()> {
        self.screen.show_cursor()?;
        ratatui::try_restore()?;
        kill(Pid::from_raw(0), Signal::SIGTSTP)?;
        sleep(STOP_PAUSE);
        self.set_up()
    }

    /// Sets up the terminal again, regardless of changes by other programs.
    fn set_up(&mut self) -> io::Result<()> {
        disable_raw_mode()?;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        // Redraws everything. `Terminal::clear` would first wait for the terminal to report its cursor position.
        let size = self.screen.size()?;
        self.screen.resize(Rect::from((Position::ORIGIN, size)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Errors of a closed terminal do not matter.
        let _ = self.screen.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// Restores the terminal without blocking: its output may be stopped (Ctrl-S), with another thread blocked on it.
pub fn abandon() {
    let _ = disable_raw_mode();
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    if let Ok(mut screen) = OpenOptions::new().write(true).custom_flags(flags).open("/proc/self/fd/1") {
        let _ = screen.write_all(LEAVE);
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EIO | Errno::ENXIO | Errno::EPIPE))
}

/// Reads keys on a thread until the terminal closes or the process ends.
fn read_keys(mut source: File) -> io::Result<Receiver<Vec<u8>>> {
    let (sender, keys) = sync_channel(READS_MAX);
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        let mut bytes = [0; READ_BYTES];
        loop {
            match source.read(&mut bytes) {
                Ok(count) if count > 0 && sender.send(keys_in(&bytes[..count])).is_ok() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    })?;
    Ok(keys)
}

/// Returns the keys of one read. Escape sequences of keys without a character are skipped, except the arrows up and down.
fn keys_in(bytes: &[u8]) -> Vec<u8> {
    let (mut keys, mut rest) = (Vec::new(), bytes);
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (&ESCAPE, [b'[' | b'O', arrow @ (b'A' | b'B'), after @ ..]) => {
                keys.push(if *arrow == b'A' { UP } else { DOWN });
                after
            }
            (&ESCAPE, [b'[', after @ ..]) => {
                let length = after.iter().position(|byte| (b'@'..=b'~').contains(byte));
                &after[length.map_or(after.len(), |length| length + 1)..]
            }
            (&ESCAPE, [b'O', _, after @ ..] | [_, after @ ..]) => after,
            (&key, after) => {
                keys.push(key);
                after
            }
        };
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_keys_and_skips_sequences() {
        assert_eq!(keys_in(b"pq"), b"pq");
        assert_eq!(keys_in(b"\x1b"), b"\x1b", "the escape key");
        assert_eq!(keys_in(b"a\x1b[Cb\x1b[1;5Ac\x1bOPd\x1bpe"), b"abcde");
        assert_eq!(keys_in(b"\x1b[A\x1bOBa"), [UP, DOWN, b'a']);
        assert_eq!(keys_in(b"a\x1b[12"), b"a", "truncated");
    }

    #[test]
    fn recognizes_errors_of_a_closed_terminal() {
        assert!(is_closed(&io::Error::from(Errno::EIO)));
        assert!(!is_closed(&io::Error::from(Errno::ENOSPC)) && !is_closed(&io::Error::other("x")));
    }
}
