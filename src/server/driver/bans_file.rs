//! The file of bans in the state directory, written by a thread of its own.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use crate::ops::files::read_bounded;
use crate::server::core::bans::BanDecision;

/// Name of the file.
const NAME: &str = "bans.json";

/// Most bytes that the file may have: a thousand bans need a tenth.
const BYTES_MAX: u64 = 1 << 20;

/// The file, and the thread that writes it once there is something to write.
#[derive(Debug)]
pub(super) struct BansFile {
    path: Option<PathBuf>,
    writer: Option<(Sender<String>, JoinHandle<()>)>,
}

impl BansFile {
    /// Names the file in this directory; without one, bans last as long as the process.
    pub fn new(state_dir: Option<&Path>) -> Self {
        Self { path: state_dir.map(|folder| folder.join(NAME)), writer: None }
    }

    /// Reads the bans. A file that can't be read is logged and set aside.
    pub fn load(&self) -> Vec<BanDecision> {
        let Some(path) = &self.path else { return Vec::new() };
        let read = read_bounded(path, BYTES_MAX)
            .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::other));
        read.unwrap_or_else(|error| {
            if error.kind() != ErrorKind::NotFound {
                log::error!(
                    "{}: {error}; nobody is banned, and the file is kept as {NAME}.broken",
                    path.display()
                );
                let _ = fs::rename(path, path.with_extension("json.broken"));
            }
            Vec::new()
        })
    }

    /// Writes this text, after the texts before.
    pub fn save(&mut self, text: String) {
        let Some(path) = self.path.clone() else { return };
        if self.writer.is_none() {
            let (sender, texts) = channel::<String>();
            let write_all = move || {
                for text in texts {
                    if let Err(error) = write(&path, &text) {
                        log::error!("{}: {error}; bans will not survive a restart", path.display());
                    }
                }
            };
            match thread::Builder::new().name("bans".to_owned()).spawn(write_all) {
                Ok(thread) => self.writer = Some((sender, thread)),
                Err(error) => return log::error!("bans are not saved: starting a thread failed: {error}"),
            }
        }
        if let Some((sender, _)) = &self.writer {
            // The thread ends only after the sender.
            let _ = sender.send(text);
        }
    }

    /// Waits until everything is written.
    pub fn finish(&mut self) {
        if let Some((sender, thread)) = self.writer.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}

impl Drop for BansFile {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Replaces the file in one step.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
