//! Takeovers in which SIGKILL ends one of the two processes, between any two steps of their protocol. The messages pass
//! through this test, which decides when.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};

use game_client::Vector;
use nix::sys::signal::Signal;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::failures::{accept, line_from, sockets_in};
use super::{Subject, takeover};
use crate::support::client::replica_options;
use crate::support::http::get;
use crate::support::process::{send_signal, stderr_text};
use crate::support::{Client, Settings, wait_for_acks};

/// Number of players: their sockets fit in one message.
const PLAYERS: usize = 20;

/// The step after which a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Request,
    Answer,
    Tokens,
    Sockets,
    HalfTheImage,
    Image,
    /// The byte of the new process is on its way; the old one has not read it.
    Committing,
}

const BEFORE_COMMIT: [Step; 6] =
    [Step::Request, Step::Answer, Step::Tokens, Step::Sockets, Step::HalfTheImage, Step::Image];

/// A takeover whose messages stop after some step.
struct Stopped {
    /// Kept open: their ends are the ends of the processes.
    old: UnixStream,
    new: UnixStream,
    process: Child,
}

/// Passes the messages of a takeover on, up to and including this step.
fn stop_after(step: Step, subject: &Subject) -> Stopped {
    let path = subject.folder.join("between.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    let settings = subject.settings.clone().set("CONTROL_SOCKET", path.to_str().expect("UTF-8"));
    let process = takeover(&settings).stderr(Stdio::piped()).spawn().expect("the program starts");
    let (new, request) = accept(&listener);
    let old = UnixStream::connect(subject.socket()).expect("the control socket");
    let mut stopped = Stopped { old, new, process };
    stopped.pass_until(step, &request);
    stopped
}

impl Stopped {
    fn pass_until(&mut self, step: Step, request: &[u8]) {
        self.old.write_all(request).expect("the old process reads");
        if step == Step::Request {
            return;
        }
        let answer = line_from(&mut self.old);
        self.new.write_all(&answer).expect("the new process reads");
        if step == Step::Answer {
            return;
        }
        self.pass(sockets_in(&answer) * 8);
        if step == Step::Tokens {
            return;
        }
        self.pass_descriptors();
        if step == Step::Sockets {
            return;
        }
        let length = u64::from_le_bytes(self.pass(8).try_into().expect("eight bytes")) as usize;
        self.pass(length / 2);
        if step == Step::HalfTheImage {
            return;
        }
        self.pass(length - length / 2);
        if step == Step::Committing {
            self.new.read_exact(&mut [0]).expect("the new process commits");
        }
    }

    /// Passes this number of bytes to the new process, and returns them.
    fn pass(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.old.read_exact(&mut bytes).expect("the old process sends");
        self.new.write_all(&bytes).expect("the new process reads");
        bytes
    }

    fn pass_descriptors(&mut self) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let (mut control, mut byte) = (RecvAncillaryBuffer::new(&mut space), [0]);
        recvmsg(&self.old, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
            .expect("descriptors");
        let received: Vec<OwnedFd> = control
            .drain()
            .filter_map(|part| match part {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        assert!(received.len() > PLAYERS, "the listener and the players in one message");
        let borrowed: Vec<_> = received.iter().map(OwnedFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
        sendmsg(&self.new, &[IoSlice::new(&byte)], &mut control, SendFlags::empty()).expect("it is read");
    }
}

/// All players move, and get their acks.
fn step(players: &mut [Client], vector: Vector) {
    for player in &mut *players {
        player.step(vector);
    }
    wait_for_acks(players);
    assert!(players.iter().all(|player| !player.ended && player.replica.violations().is_empty()));
}

#[test]
fn the_old_process_goes_on_when_the_new_one_is_killed() {
    let mut subject = Subject::start("kill-new", Settings::new());
    let mut players = Client::join_many(&subject.server, PLAYERS, replica_options());
    for (kill_after, failed) in BEFORE_COMMIT.into_iter().chain([Step::Committing]).zip(1..) {
        let mut stopped = stop_after(kill_after, &subject);
        stopped.process.kill().expect("it ran");
        stopped.process.wait().expect("its status");
        drop(stopped);
        step(&mut players, Vector::RIGHT);
        assert_eq!(subject.server.count("takeovers_failed_total"), failed, "{kill_after:?}");
    }
    subject.take_over();
    step(&mut players, Vector::ZERO);
}

#[test]
fn the_new_process_ends_when_the_old_one_is_killed_before_the_commit() {
    for kill_after in BEFORE_COMMIT.into_iter().filter(|step| *step != Step::Image) {
        let mut subject = Subject::start("kill-old", Settings::new());
        let players = Client::join_many(&subject.server, PLAYERS, replica_options());
        let Stopped { old, new, process } = stop_after(kill_after, &subject);
        send_signal(subject.server.pid(), Signal::SIGKILL);
        subject.server.wait_for_exit();
        drop((old, new, players));
        let output = process.wait_with_output().expect("its status");
        assert_eq!(output.status.code(), Some(1), "{kill_after:?}: {}", stderr_text(&output));
    }
}

/// It has everything, and nobody else reads the sockets.
#[test]
fn the_new_process_serves_when_the_old_one_is_killed_during_the_commit() {
    let mut subject = Subject::start("kill-committing", Settings::new());
    let mut players = Client::join_many(&subject.server, PLAYERS, replica_options());
    let mut stopped = stop_after(Step::Committing, &subject);
    send_signal(subject.server.pid(), Signal::SIGKILL);
    subject.server.wait_for_exit();
    let address = subject.server.address();
    step(&mut players, Vector::RIGHT);
    assert!(get(address, "/health").text().contains(&format!("\"players\":{PLAYERS}")));
    stopped.process.kill().expect("it ran");
    stopped.process.wait().expect("its status");
}
