//! Players who come back: what a handshake's ticket leads to, and what is remembered of whoever goes.

use std::path::PathBuf;

use mio::Token;

use super::Server;
use super::connection::Phase;
use crate::config::Config;
use crate::limits::{RESUME_QUIET_MS, RESUME_SAVE_MS};
use crate::metrics::{Closed, Resume};
use crate::resume::store::Store;
use crate::resume::{Claim, Resumes, Saved, Ticket};
use crate::wire::http::Request;
use crate::wire::websocket::Code;

/// What is remembered by this configuration, with what earlier processes have kept.
pub(super) fn resumes_of(config: &Config) -> Resumes<Token> {
    let open = |folder: &PathBuf| Store::open(folder, config.resume_ttl_s);
    let store = config.state_dir.as_ref().map(open).transpose().unwrap_or_else(|why| {
        log::error!("{why}; who comes back after a restart begins anew");
        None
    });
    let mut resumes = Resumes::new(config.resume_ttl_s, store);
    resumes.recall(0);
    resumes
}

impl Server {
    /// Whose connection this handshake takes over: one that shows the ticket of a player not heard from for a while.
    pub(super) fn quiet_owner(&self, request: &Request) -> Option<Token> {
        let owner = self.resumes.player(shown_in(request)?)?;
        let Phase::Player { player, .. } = &self.table.get(owner)?.phase else { return None };
        (self.now_ms() - player.heard_ms >= RESUME_QUIET_MS).then_some(owner)
    }

    /// The ticket that a new player gets, and what it finds again. The connection it still has, if that has gone quiet, is
    /// closed.
    pub(super) fn recognise(&mut self, request: &Request) -> (Option<Ticket>, Option<Saved>) {
        if !self.resumes.is_on() {
            return (None, None);
        }
        let Some(ticket) = shown_in(request) else { return (Ticket::draw(), None) };
        let owner = self.quiet_owner(request);
        if let Some(owner) = owner {
            self.close_player(owner, Code::GoingAway, "gone on elsewhere", Closed::TakenOver);
        }
        let (outcome, saved) = match self.resumes.claim(ticket, self.now_ms()) {
            Claim::Left(saved) if owner.is_some() => (Resume::TakenOver, Some(saved)),
            Claim::Left(saved) => (Resume::Hit, Some(saved)),
            Claim::Playing(_) => (Resume::SecondTab, None),
            Claim::Unknown => (Resume::Miss, None),
        };
        self.metrics.resumes[outcome] += 1;
        // Nobody goes on under a ticket that was not drawn here.
        (if saved.is_some() { Some(ticket) } else { Ticket::draw() }, saved)
    }

    /// Remembers a player that is about to leave the world.
    pub(super) fn remember(&mut self, slot: u32, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            let (saved, now_ms) = (self.game.saved(slot), self.now_ms());
            self.resumes.leave(ticket, saved, now_ms);
        }
    }

    /// Writes down where a player is, every few seconds, when that outlives the process.
    pub(super) fn save_if_due(&mut self, token: Token) {
        let now_ms = self.now_ms();
        if !self.resumes.is_lasting() {
            return;
        }
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { slot, player } = &mut connection.phase else { return };
        if let Some(ticket) = player.ticket
            && now_ms - player.saved_ms >= RESUME_SAVE_MS
        {
            player.saved_ms = now_ms;
            self.resumes.save(ticket, self.game.saved(*slot));
        }
    }
}

fn shown_in(request: &Request) -> Option<Ticket> {
    request.cookie.as_deref().and_then(Ticket::in_cookies)
}
