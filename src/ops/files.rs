//! Opens files without blocking on a peer, such as a FIFO without a reader or a device that never responds.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, OFlags, accessat, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// Pause between two reads of a FIFO whose writer has written nothing yet.
const WRITER_POLL: Duration = Duration::from_millis(10);

/// Maximum number of reads that find a FIFO empty: five seconds.
const WRITER_POLLS_MAX: usize = 500;

/// Maximum number of symbolic links that Linux follows while it resolves a path.
const SYMLINKS_MAX: usize = 40;

/// Opens without blocking, and without making a terminal the process's controlling terminal.
const NONBLOCKING: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);

/// Opens a file for appending and creates it if it is missing. Writes to it block, as usual.
///
/// # Errors
/// The operating system's error; a FIFO without a reader is one.
pub fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).custom_flags(NONBLOCKING.bits() as i32).open(path);
    let file = file.map_err(|error| {
        let is_fifo = || path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) && is_fifo() {
            io::Error::new(ErrorKind::NotConnected, "it is a FIFO without a reader")
        } else {
            error
        }
    })?;
    fcntl_setfl(&file, fcntl_getfl(&file)?.difference(OFlags::NONBLOCK))?;
    Ok(file)
}

/// Checks that [`open_to_append`] could open a file, without creating it.
///
/// # Errors
/// The operating system's error.
pub fn check_append(path: &Path) -> io::Result<()> {
    check_opening(path, OpenOptions::new().append(true))
}

/// Checks that a file could be opened for reading and writing, without creating it.
///
/// # Errors
/// The operating system's error.
pub fn check_read_write(path: &Path) -> io::Result<()> {
    check_opening(path, OpenOptions::new().read(true).write(true))
}

/// Opens only a regular file: the reader of a FIFO would see the end of input when this handle closes.
fn check_opening(path: &Path, options: &mut OpenOptions) -> io::Result<()> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {
            options.custom_flags(NONBLOCKING.bits() as i32).open(path).map(drop)
        }
        Ok(_) => check_access(path, Access::WRITE_OK),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let path = resolve_links(path);
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            check_access(folder.unwrap_or(Path::new(".")), Access::WRITE_OK | Access::EXEC_OK)
        }
        Err(error) => Err(error),
    }
}

/// Resolves symbolic links to the path at which a missing file would be created.
fn resolve_links(path: &Path) -> PathBuf {
    let mut end = path.to_owned();
    for _ in 0..SYMLINKS_MAX {
        let Ok(to) = end.read_link() else { break };
        end = end.parent().unwrap_or(Path::new("")).join(to);
    }
    end
}

fn check_access(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

/// Opens a regular file for reading.
///
/// # Errors
/// The operating system's error; any other kind of file is one.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCKING.bits() as i32).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// Reads at most `bytes_max + 1` bytes of a file, so that the caller detects a longer one. A FIFO is read to its end.
///
/// # Errors
/// The operating system's error; a FIFO without a writer, or one whose writer sends nothing for five seconds.
pub fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCKING.bits() as i32).open(path)?;
    let is_fifo = file.metadata()?.file_type().is_fifo();
    let (mut source, mut bytes) = (file.take(bytes_max + 1), Vec::new());
    for _ in 0..WRITER_POLLS_MAX {
        match source.read_to_end(&mut bytes) {
            // Bytes read before `WouldBlock` stay in `bytes`.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(WRITER_POLL),
            Err(error) => return Err(error),
            Ok(_) if is_fifo && bytes.is_empty() => {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "it is a FIFO without a writer"));
            }
            Ok(_) => return Ok(bytes),
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "its writer sends nothing"))
}
