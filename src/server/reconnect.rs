//! Sessions: what a handshake's token leads to, and what is remembered of a player that goes.

use std::path::PathBuf;

use mio::Token;

use super::Server;
use super::cluster::Cluster;
use super::connection::Phase;
use super::http::ResumedSession;
use crate::config::Config;
use crate::limits::SESSION_SAVE_MS;
use crate::ops::metrics::Reconnect;
use crate::sessions::store::{self, Store};
use crate::sessions::{Lookup, SavedPlayer, SessionToken, Sessions};

/// What the token of a handshake makes of its player.
pub(super) enum Recognised {
    /// A newcomer, or one that finds this again.
    As(Option<ResumedSession>),
    /// Its player is in the world, with this connection.
    InUse(SessionToken, Token),
    /// Another process of the world may know.
    Elsewhere(SessionToken),
}

/// What is remembered by this configuration, with what earlier processes have kept.
pub(super) fn resumes_of(config: &Config) -> Sessions<Token> {
    let folder = state_dir(config);
    if config.cluster_url.is_some() {
        return Sessions::for_cluster(config.resume_ttl_s);
    }
    let open = |folder: &PathBuf| Store::open(folder, config.resume_ttl_s);
    let store = folder.map(open).transpose().unwrap_or_else(|why| {
        log_unsaved(&why);
        None
    });
    let mut resumes = Sessions::new(config.resume_ttl_s, store);
    resumes.load(0);
    resumes
}

/// Logs the complaints of [`resumes_of`] about the folder, and leaves the folder as it is.
pub(super) fn check(config: &Config) {
    if let Some(Err(why)) = state_dir(config).map(|folder| store::check(folder)) {
        log_unsaved(&why);
    }
}

/// The folder for a store, where there is to be one.
fn state_dir(config: &Config) -> Option<&PathBuf> {
    if config.cluster_url.is_some() && config.state_dir.is_some() {
        log::warn!("STATE_DIR has no effect: in a cluster places are kept by the bus");
        return None;
    }
    config.state_dir.as_ref()
}

fn log_unsaved(why: &str) {
    log::error!("{why}; a player that returns after a restart begins anew");
}

impl Server {
    /// The connection of the player whose token a handshake shows, if that player is in the world.
    pub(super) fn owner_of_shown(&mut self, shown: SessionToken) -> Option<Token> {
        let owner = self.sessions.player(shown)?;
        self.confirm_if_heard(owner);
        // The token shown may have been the one before, which is worth nothing now.
        self.sessions.player(shown)
    }

    /// What a player would find again.
    pub(super) fn saved_of(&self, owner: Token) -> Option<SavedPlayer> {
        let Phase::Player { slot, ref player } = self.table.get(owner)?.phase else { return None };
        let saved = self.game.saved(slot);
        Some(
            player
                .ticket
                .map_or(saved, |ticket| self.sessions.with_reconnect_age(ticket, saved, self.now_ms())),
        )
    }

    /// What the token that a handshake shows leads to.
    pub(super) fn recognise(&mut self, shown: Option<SessionToken>) -> Recognised {
        if !self.sessions.is_enabled() {
            return Recognised::As(None);
        }
        let Some(shown) = shown else { return Recognised::As(None) };
        let outcome = match self.sessions.take(shown, self.now_ms()) {
            Lookup::Disconnected(saved) => {
                self.metrics.reconnects[Reconnect::Hit] += 1;
                return Recognised::As(Some(ResumedSession { shown, saved }));
            }
            Lookup::Active(owner) => return Recognised::InUse(shown, owner),
            Lookup::TooSoon => Reconnect::TooSoon,
            Lookup::Unknown if self.cluster.as_ref().is_some_and(Cluster::is_up) => {
                return Recognised::Elsewhere(shown);
            }
            Lookup::Unknown => Reconnect::Miss,
        };
        self.metrics.reconnects[outcome] += 1;
        Recognised::As(None)
    }

    /// A player comes in under a token of its own. No client goes on under one that was not drawn by a node of the world.
    pub(super) fn give_ticket(
        &mut self,
        token: Token,
        ticket: Option<SessionToken>,
        returning: Option<&ResumedSession>,
    ) {
        let (Some(ticket), now_ms) = (ticket, self.now_ms()) else { return };
        match returning {
            Some(ResumedSession { shown, .. }) => self.sessions.reconnect(ticket, *shown, token, now_ms),
            None => self.sessions.start(ticket, token),
        }
        // A newcomer without a cluster has nothing to lose yet.
        if returning.is_some() || self.cluster.is_some() {
            self.save_session(token);
        }
    }

    /// Lets the token before the current one lapse, once its player's client is known to have that.
    fn confirm_if_heard(&mut self, token: Token) {
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { player, .. } = &mut connection.phase else { return };
        if let (Some(since_ms), Some(ticket)) = (player.unconfirmed_since_ms, player.ticket)
            && player.heard_ms >= since_ms
        {
            player.unconfirmed_since_ms = None;
            self.sessions.confirm(ticket);
        }
    }

    /// Remembers a player that is about to leave the world.
    pub(super) fn remember(&mut self, token: Token) {
        self.confirm_if_heard(token);
        let Some(connection) = self.table.get(token) else { return };
        if let Phase::Player { slot, ref player } = connection.phase
            && let Some(ticket) = player.ticket
        {
            let (saved, now_ms) = (self.game.saved(slot), self.now_ms());
            self.sessions.disconnect(ticket, saved, now_ms);
        }
    }

    /// Looks after a player's session once a second: its token, and what is written down of it every few seconds when that
    /// outlives the process.
    pub(super) fn tend_session(&mut self, token: Token) {
        self.confirm_if_heard(token);
        let now_ms = self.now_ms();
        if !self.sessions.is_persistent() {
            return;
        }
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { player, .. } = &mut connection.phase else { return };
        if now_ms - player.saved_ms >= SESSION_SAVE_MS {
            player.saved_ms = now_ms;
            self.save_session(token);
        }
    }

    fn save_session(&mut self, token: Token) {
        let Some(connection) = self.table.get(token) else { return };
        if let Phase::Player { slot, ref player } = connection.phase
            && let Some(ticket) = player.ticket
        {
            self.sessions.save(ticket, self.game.saved(slot), self.now_ms());
        }
    }
}
