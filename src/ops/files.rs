//! Opening files so that nothing waits for a peer: a FIFO without its other end, a device that never answers.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, OFlags, accessat, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// Pause between two looks at a FIFO whose writer has written nothing yet.
const WRITER_POLL: Duration = Duration::from_millis(10);

/// Looks in all at a FIFO whose writer is slow: five seconds.
const WRITER_POLLS_MAX: usize = 500;

/// Links in a row that Linux follows.
const LINKS_MAX: usize = 40;

/// Without waiting for a peer, and without a terminal becoming the process's own.
const AT_ONCE: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);

/// Opens a file to append to it, and makes it if it is missing. Writes to it wait, as usual.
///
/// # Errors
/// As the operating system has it; a FIFO that nothing reads is one of them.
pub fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).custom_flags(AT_ONCE.bits() as i32).open(path);
    let file = file.map_err(|error| {
        let is_fifo = || path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) && is_fifo() {
            io::Error::new(ErrorKind::NotConnected, "it is a FIFO that nothing reads")
        } else {
            error
        }
    })?;
    fcntl_setfl(&file, fcntl_getfl(&file)?.difference(OFlags::NONBLOCK))?;
    Ok(file)
}

/// Whether [`open_to_append`] could open a file, found out without making one.
///
/// # Errors
/// As the operating system has it.
pub fn check_append(path: &Path) -> io::Result<()> {
    check_opening(path, OpenOptions::new().append(true))
}

/// The same for a file that is read and written.
///
/// # Errors
/// As the operating system has it.
pub fn check_read_write(path: &Path) -> io::Result<()> {
    check_opening(path, OpenOptions::new().read(true).write(true))
}

/// Only a regular file is opened: to the reader of a FIFO this would look like a writer that has ended.
fn check_opening(path: &Path, options: &mut OpenOptions) -> io::Result<()> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {
            options.custom_flags(AT_ONCE.bits() as i32).open(path).map(drop)
        }
        Ok(_) => check_access(path, Access::WRITE_OK),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let path = end_of_links(path);
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            check_access(folder.unwrap_or(Path::new(".")), Access::WRITE_OK | Access::EXEC_OK)
        }
        Err(error) => Err(error),
    }
}

/// The path at which a file is made that is not there: behind links, where they lead.
fn end_of_links(path: &Path) -> PathBuf {
    let mut end = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(to) = end.read_link() else { break };
        end = end.parent().unwrap_or(Path::new("")).join(to);
    }
    end
}

fn check_access(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

/// Opens a file to read it.
///
/// # Errors
/// As the operating system has it; anything but a regular file is one of them.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(AT_ONCE.bits() as i32).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// Reads a file of at most this many bytes, and a byte more if there are more. A FIFO with a writer is read to its end, as
/// `<(...)` in a shell makes one.
///
/// # Errors
/// As the operating system has it; a FIFO that is empty or whose writer stays silent.
pub fn read_all(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(AT_ONCE.bits() as i32).open(path)?;
    let is_fifo = file.metadata()?.file_type().is_fifo();
    let (mut source, mut bytes) = (file.take(bytes_max + 1), Vec::new());
    for _ in 0..WRITER_POLLS_MAX {
        match source.read_to_end(&mut bytes) {
            // What was read before a `WouldBlock` stays in `bytes`.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(WRITER_POLL),
            Err(error) => return Err(error),
            Ok(_) if is_fifo && bytes.is_empty() => {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "it is a FIFO that nothing writes"));
            }
            Ok(_) => return Ok(bytes),
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "its writer stays silent"))
}
