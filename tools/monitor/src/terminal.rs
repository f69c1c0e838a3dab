//! The terminal: drawn on, read from, and left as it was found.
//!
//! Keys are read here and not by crossterm, whose reader turns for ever on a terminal that has gone.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::{Position, Rect};
use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::SIGCONT;

/// Bytes read at a time: more than any key sends.
const READ_BYTES: usize = 64;

/// The first byte of a key without a character, and the escape key itself.
pub const ESCAPE: u8 = 0x1b;

/// Time in which a signal that stops the process has arrived.
const STOP_PAUSE: Duration = Duration::from_millis(50);

/// Leaves the alternate screen and shows the cursor.
const LEAVE: &[u8] = b"\x1b[?1049l\x1b[?25h";

/// The result of a wait for keys.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// Keys, each by the byte that it sends; maybe none.
    Keys(Vec<u8>),
    /// The terminal has gone.
    Gone,
}

/// The terminal.
pub struct Terminal {
    /// Never dropped: its own end would panic where the terminal has gone.
    screen: ManuallyDrop<DefaultTerminal>,
    /// What keys come from; none where standard input is no terminal and the process has none either.
    keys: Option<File>,
    /// The process was stopped, and goes on.
    is_continued: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// The terminal's.
    pub fn open() -> io::Result<Terminal> {
        let is_continued = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGCONT, Arc::clone(&is_continued))?;
        let keys = if io::stdin().is_terminal() {
            Some(File::from(io::stdin().as_fd().try_clone_to_owned()?))
        } else {
            File::open("/dev/tty").ok()
        };
        Ok(Terminal { screen: ManuallyDrop::new(ratatui::try_init()?), keys, is_continued })
    }

    /// Draws. Returns whether the terminal is still there.
    ///
    /// # Errors
    /// The terminal's.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<bool> {
        let is_continued = self.is_continued.swap(false, Ordering::Relaxed);
        let ready = if is_continued { self.take_over() } else { Ok(()) };
        match ready.and_then(|()| self.screen.draw(render).map(|_| ())) {
            Ok(()) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for keys.
    ///
    /// # Errors
    /// The terminal's.
    pub fn input(&mut self, patience: Duration) -> io::Result<Input> {
        let (screen, keys) = (io::stdout(), self.keys.as_ref());
        let mut watched = vec![PollFd::new(screen.as_fd(), PollFlags::empty())];
        watched.extend(keys.map(|keys| PollFd::new(keys.as_fd(), PollFlags::POLLIN)));
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut watched, patience) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Input::Keys(Vec::new())),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        if watched.iter().any(|watched| watched.revents().is_some_and(|events| events.intersects(gone))) {
            return Ok(Input::Gone);
        }
        let mut bytes = [0; READ_BYTES];
        match self.keys.as_mut().map_or(Ok(0), |keys| keys.read(&mut bytes)) {
            Ok(0) => Ok(Input::Gone),
            Ok(count) => Ok(Input::Keys(keys_in(&bytes[..count]))),
            Err(error) if is_gone(&error) => Ok(Input::Gone),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Input::Keys(Vec::new())),
            Err(error) => Err(error),
        }
    }

    /// Gives the terminal back and stops all programs in the foreground, as Ctrl-Z does elsewhere. Where no shell could let
    /// them go on, the kernel does not stop them.
    ///
    /// # Errors
    /// The terminal's.
    pub fn suspend(&mut self) -> io::Result<()> {
        self.screen.show_cursor()?;
        ratatui::try_restore()?;
        kill(Pid::from_raw(0), Signal::SIGTSTP)?;
        sleep(STOP_PAUSE);
        self.take_over()
    }

    /// Sets the terminal up again, whatever others have made of it meanwhile.
    fn take_over(&mut self) -> io::Result<()> {
        disable_raw_mode()?;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        // Draws everything again. `Terminal::clear` would first wait for the terminal to tell where its cursor is.
        let size = self.screen.size()?;
        self.screen.resize(Rect::from((Position::ORIGIN, size)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has gone needs nothing.
        let _ = self.screen.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// Gives the terminal back without waiting for it: it may take nothing (Ctrl-S), and another thread may wait for just that.
pub fn abandon() {
    let _ = disable_raw_mode();
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    if let Ok(mut screen) = OpenOptions::new().write(true).custom_flags(flags).open("/proc/self/fd/1") {
        let _ = screen.write_all(LEAVE);
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EIO | Errno::ENXIO | Errno::EPIPE))
}

/// The keys in what one read gave. Keys without a character, such as arrows, send an escape and more, and are left out.
fn keys_in(bytes: &[u8]) -> Vec<u8> {
    let (mut keys, mut rest) = (Vec::new(), bytes);
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
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
    fn keys_are_bytes_and_sequences_are_left_out() {
        assert_eq!(keys_in(b"pq"), b"pq");
        assert_eq!(keys_in(b"\x1b"), b"\x1b", "the escape key");
        assert_eq!(keys_in(b"a\x1b[Ab\x1b[1;5Cc\x1bOPd\x1bpe"), b"abcde");
        assert_eq!(keys_in(b"a\x1b[12"), b"a", "cut short");
    }

    #[test]
    fn errors_of_a_terminal_that_has_gone_are_told_from_others() {
        assert!(is_gone(&io::Error::from(Errno::EIO)));
        assert!(!is_gone(&io::Error::from(Errno::ENOSPC)) && !is_gone(&io::Error::other("x")));
    }
}
