//! Handshakes that wait for word from elsewhere: the ticket they show may be that of a player of another process, or of one that
//! has left there. They wait for a fraction of a second; then whoever has found nothing begins anew.

use std::collections::{HashMap, HashSet, VecDeque};

use mio::Token;

use super::Server;
use super::connection::Phase;
use super::http::Newcomer;
use crate::cluster::link::Record;
use crate::limits::RETURN_WAIT_MS;
use crate::metrics::{Closed, Resume};
use crate::resume::{Saved, Ticket};
use crate::wire::http::AcceptKey;
use crate::wire::websocket::Code;

/// A handshake that waits.
#[derive(Debug)]
struct Returning {
    token: Token,
    path: String,
    key: AcceptKey,
    until_ms: u64,
    /// What was kept, whose process has been asked since.
    kept: Option<Saved>,
    /// The bus has been asked a second time.
    is_asked_again: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    by_ticket: HashMap<Ticket, VecDeque<Returning>>,
    tokens: HashSet<Token>,
    /// Until when each waits, the first one first; some have been answered since.
    order: VecDeque<(u64, Ticket)>,
}

impl Waiters {
    /// Whether this connection's handshake waits.
    pub(super) fn contains(&self, token: Token) -> bool {
        !self.tokens.is_empty() && self.tokens.contains(&token)
    }

    fn push(&mut self, ticket: Ticket, returning: Returning) {
        self.tokens.insert(returning.token);
        self.order.push_back((returning.until_ms, ticket));
        self.by_ticket.entry(ticket).or_default().push_back(returning);
    }

    /// The first one that waits for this ticket.
    fn first(&mut self, ticket: Ticket) -> Option<&mut Returning> {
        self.by_ticket.get_mut(&ticket)?.front_mut()
    }

    fn pop(&mut self, ticket: Ticket) -> Option<Returning> {
        let waiting = self.by_ticket.get_mut(&ticket)?;
        let returning = waiting.pop_front();
        if waiting.is_empty() {
            self.by_ticket.remove(&ticket);
        }
        if let Some(returning) = &returning {
            self.tokens.remove(&returning.token);
        }
        returning
    }

    /// Lets the first one that waits for this ticket wait once more, if something was kept for it. Returns whether it does.
    fn wait_again(&mut self, ticket: Ticket, until_ms: u64) -> bool {
        let waits = self.first(ticket).is_some_and(|returning| {
            let waits = returning.kept.is_some() && !returning.is_asked_again;
            if waits {
                (returning.until_ms, returning.is_asked_again) = (until_ms, true);
            }
            waits
        });
        if waits {
            self.order.push_back((until_ms, ticket));
        }
        waits
    }

    /// What was kept for the first one that waits for this ticket.
    fn kept(&mut self, ticket: Ticket) -> Option<Saved> {
        self.first(ticket)?.kept
    }

    /// The ticket of one whose time is up.
    fn overdue(&mut self, now_ms: u64) -> Option<Ticket> {
        while let Some(&(until_ms, ticket)) = self.order.front().filter(|(until_ms, _)| *until_ms <= now_ms) {
            self.order.pop_front();
            if self.first(ticket).is_some_and(|returning| returning.until_ms <= until_ms) {
                return Some(ticket);
            }
        }
        None
    }
}

impl Server {
    /// Lets a handshake wait until it is known elsewhere what becomes of its ticket.
    pub(super) fn ask_elsewhere(&mut self, token: Token, path: &str, key: AcceptKey, ticket: Ticket) {
        let until_ms = self.now_ms() + RETURN_WAIT_MS;
        let returning =
            Returning { token, path: path.to_owned(), key, until_ms, kept: None, is_asked_again: false };
        self.returning.push(ticket, returning);
        if let Some(cluster) = &mut self.cluster {
            cluster.want(ticket);
        }
    }

    /// This is what was kept under a ticket.
    pub(super) fn fetched(&mut self, ticket: Ticket, record: Option<Record>) {
        let Some(record) = record else { return self.end_wait_with_kept(ticket) };
        let Some(cluster) = &mut self.cluster else { return };
        if record.has_left || !cluster.knows(record.node) {
            return self.end_wait(ticket, Resume::Hit, Some(record.saved));
        }
        // Only that process can tell whether its player is there.
        if let Some(returning) = self.returning.first(ticket) {
            returning.kept = Some(record.saved);
            self.claim_elsewhere(ticket);
        }
    }

    /// The process of a ticket's player has answered.
    pub(super) fn answered_elsewhere(&mut self, ticket: Ticket, saved: Option<Saved>) {
        let outcome = if saved.is_some() { Resume::TakenOver } else { Resume::SecondTab };
        self.end_wait(ticket, outcome, saved);
    }

    /// Somebody shows a ticket elsewhere: what becomes of its player, if it is here. One whose connection has gone quiet is
    /// handed over.
    pub(super) fn hand_over(&mut self, ticket: Ticket) {
        let Some(owner) = self.resumes.player(ticket) else { return };
        let saved = self.is_quiet(owner).then(|| {
            let saved = self.saved_of(owner);
            self.close_player(owner, Code::GoingAway, "gone on elsewhere", Closed::TakenOver);
            saved
        });
        self.answer_claim(ticket, saved.flatten());
    }

    /// Ends the waits whose time is up.
    pub(super) fn end_waits(&mut self) {
        let now_ms = self.now_ms();
        while let Some(ticket) = self.returning.overdue(now_ms) {
            // Its process lives and does not have the player any more: where it left it is being written down just now.
            if self.returning.wait_again(ticket, now_ms + RETURN_WAIT_MS) {
                if let Some(cluster) = &mut self.cluster {
                    cluster.want(ticket);
                }
            } else {
                self.end_wait_with_kept(ticket);
            }
        }
    }

    /// Nothing more is to be heard: what was kept must do, if anything was.
    fn end_wait_with_kept(&mut self, ticket: Ticket) {
        let kept = self.returning.kept(ticket);
        self.end_wait(ticket, if kept.is_some() { Resume::Hit } else { Resume::Miss }, kept);
    }

    fn end_wait(&mut self, ticket: Ticket, outcome: Resume, saved: Option<Saved>) {
        let Some(Returning { token, path, key, .. }) = self.returning.pop(ticket) else { return };
        let connection = self.table.get(token);
        let is_there = connection.is_some_and(|connection| matches!(connection.phase, Phase::Http(_)));
        if let Some(saved) = saved.filter(|_| !is_there || self.no_room(false).is_some()) {
            // It does not come in after all, and may try again.
            self.resumes.leave(ticket, saved, self.now_ms());
        }
        if !is_there {
            return;
        }
        self.metrics.resumes[outcome] += 1;
        // Nobody goes on under a ticket that was not drawn by one of us.
        let ticket = if saved.is_some() { Some(ticket) } else { Ticket::draw() };
        self.let_in(token, &Newcomer { path: &path, key: &key, ticket, saved });
    }
}
