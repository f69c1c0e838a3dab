//! Players who come back: what a handshake's ticket leads to, and what is remembered of whoever goes.

use std::path::PathBuf;

use mio::Token;

use super::Server;
use super::cluster::Cluster;
use super::connection::Phase;
use crate::config::Config;
use crate::limits::{RESUME_QUIET_MS, RESUME_SAVE_MS};
use crate::metrics::{Closed, Resume};
use crate::resume::store::Store;
use crate::resume::{Claim, Resumes, Saved, Ticket};
use crate::wire::http::Request;
use crate::wire::websocket::Code;

/// Whom a handshake's ticket makes of its player.
pub(super) enum Recognised {
    /// This one.
    As {
        /// The ticket it gets.
        ticket: Option<Ticket>,
        /// What it finds again.
        saved: Option<Saved>,
    },
    /// Another process of the world may know.
    Elsewhere(Ticket),
}

/// What is remembered by this configuration, with what earlier processes have kept.
pub(super) fn resumes_of(config: &Config) -> Resumes<Token> {
    if config.cluster_url.is_some() {
        if config.state_dir.is_some() {
            log::warn!("STATE_DIR has no effect: in a cluster places are kept by the bus");
        }
        return Resumes::kept_elsewhere(config.resume_ttl_s);
    }
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
        self.is_quiet(owner).then_some(owner)
    }

    /// Whether nothing has been heard of a player for a while.
    pub(super) fn is_quiet(&self, owner: Token) -> bool {
        let heard_ms = self.table.get(owner).and_then(|connection| match &connection.phase {
            Phase::Player { player, .. } => Some(player.heard_ms),
            _ => None,
        });
        heard_ms.is_some_and(|heard_ms| self.now_ms() - heard_ms >= RESUME_QUIET_MS)
    }

    /// What a player would find again.
    pub(super) fn saved_of(&self, owner: Token) -> Option<Saved> {
        let Phase::Player { slot, .. } = self.table.get(owner)?.phase else { return None };
        Some(self.game.saved(slot))
    }

    /// The ticket that a new player gets, and what it finds again. The connection it still has, if that has gone quiet, is
    /// closed.
    pub(super) fn recognise(&mut self, request: &Request) -> Recognised {
        let is_new = |ticket| Recognised::As { ticket, saved: None };
        if !self.resumes.is_on() {
            return is_new(None);
        }
        let Some(ticket) = shown_in(request) else { return is_new(Ticket::draw()) };
        let owner = self.quiet_owner(request);
        if let Some(owner) = owner {
            self.close_player(owner, Code::GoingAway, "gone on elsewhere", Closed::TakenOver);
        }
        let outcome = match self.resumes.claim(ticket, self.now_ms()) {
            Claim::Left(saved) => {
                self.metrics.resumes[if owner.is_some() { Resume::TakenOver } else { Resume::Hit }] += 1;
                return Recognised::As { ticket: Some(ticket), saved: Some(saved) };
            }
            Claim::Playing(_) => Resume::SecondTab,
            Claim::Unknown if self.cluster.as_ref().is_some_and(Cluster::is_up) => {
                return Recognised::Elsewhere(ticket);
            }
            Claim::Unknown => Resume::Miss,
        };
        self.metrics.resumes[outcome] += 1;
        // Nobody goes on under a ticket that was not drawn here.
        is_new(Ticket::draw())
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
