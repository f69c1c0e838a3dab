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
pub(super) enum TokenLookup {
    /// A newcomer, or one that finds this again.
    Player(Option<ResumedSession>),
    /// Its player is in the world, with this connection.
    InUse(SessionToken, Token),
    /// Another process of the world may know.
    Remote(SessionToken),
}

/// What is remembered by this configuration, with what earlier processes have kept.
pub(super) fn sessions_from(config: &Config) -> Sessions<Token> {
    let folder = state_dir(config);
    if config.cluster_url.is_some() {
        return Sessions::for_cluster(config.resume_ttl_s);
    }
    let open = |folder: &PathBuf| Store::open(folder, config.resume_ttl_s);
    let store = folder.map(open).transpose().unwrap_or_else(|why| {
        log_unsaved(&why);
        None
    });
    let mut sessions = Sessions::new(config.resume_ttl_s, store);
    sessions.load(0);
    sessions
}

/// Logs the complaints of [`sessions_from`] about the folder, and leaves the folder as it is.
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
    pub(super) fn connected_owner(&mut self, presented: SessionToken) -> Option<Token> {
        let owner = self.sessions.player(presented)?;
        self.confirm_token(owner);
        // The token shown may have been the one before, which is worth nothing now.
        self.sessions.player(presented)
    }

    /// What a player would find again.
    pub(super) fn saved_player(&self, owner: Token) -> Option<SavedPlayer> {
        let Phase::Player { slot, ref player } = self.table.get(owner)?.phase else { return None };
        let saved = self.engine.saved(slot);
        Some(
            player
                .session_token
                .map_or(saved, |session| self.sessions.with_reconnect_age(session, saved, self.now_ms())),
        )
    }

    /// What the token that a handshake shows leads to.
    pub(super) fn look_up_token(&mut self, presented: Option<SessionToken>) -> TokenLookup {
        if !self.sessions.is_enabled() {
            return TokenLookup::Player(None);
        }
        let Some(presented) = presented else { return TokenLookup::Player(None) };
        let outcome = match self.sessions.take(presented, self.now_ms()) {
            Lookup::Disconnected(saved) => {
                self.metrics.reconnects[Reconnect::Hit] += 1;
                return TokenLookup::Player(Some(ResumedSession { presented, saved }));
            }
            Lookup::Active(owner) => return TokenLookup::InUse(presented, owner),
            Lookup::TooSoon => Reconnect::TooSoon,
            Lookup::Unknown if self.cluster.as_ref().is_some_and(Cluster::is_up) => {
                return TokenLookup::Remote(presented);
            }
            Lookup::Unknown => Reconnect::Miss,
        };
        self.metrics.reconnects[outcome] += 1;
        TokenLookup::Player(None)
    }

    /// A player comes in under a token of its own. No client goes on under one that was not drawn by a node of the world.
    pub(super) fn start_session(
        &mut self,
        token: Token,
        session: Option<SessionToken>,
        reconnect: Option<&ResumedSession>,
    ) {
        let (Some(session), now_ms) = (session, self.now_ms()) else { return };
        match reconnect {
            Some(ResumedSession { presented, .. }) => {
                self.sessions.reconnect(session, *presented, token, now_ms)
            }
            None => self.sessions.start(session, token),
        }
        // A newcomer without a cluster has nothing to lose yet.
        if reconnect.is_some() || self.cluster.is_some() {
            self.save_session(token);
        }
    }

    /// Lets the token before the current one lapse, once its player's client is known to have that.
    fn confirm_token(&mut self, token: Token) {
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { player, .. } = &mut connection.phase else { return };
        if let (Some(since_ms), Some(session)) = (player.unconfirmed_since_ms, player.session_token)
            && player.last_frame_ms >= since_ms
        {
            player.unconfirmed_since_ms = None;
            self.sessions.confirm(session);
        }
    }

    /// Remembers a player that is about to leave the world.
    pub(super) fn end_session(&mut self, token: Token) {
        self.confirm_token(token);
        let Some(connection) = self.table.get(token) else { return };
        if let Phase::Player { slot, ref player } = connection.phase
            && let Some(session) = player.session_token
        {
            let (saved, now_ms) = (self.engine.saved(slot), self.now_ms());
            self.sessions.disconnect(session, saved, now_ms);
        }
    }

    /// Looks after a player's session once a second: its token, and what is written down of it every few seconds when that
    /// outlives the process.
    pub(super) fn maintain_session(&mut self, token: Token) {
        self.confirm_token(token);
        let now_ms = self.now_ms();
        if !self.sessions.is_persistent() {
            return;
        }
        let Some(connection) = self.table.get_mut(token) else { return };
        let Phase::Player { player, .. } = &mut connection.phase else { return };
        if now_ms - player.last_saved_ms >= SESSION_SAVE_MS {
            player.last_saved_ms = now_ms;
            self.save_session(token);
        }
    }

    fn save_session(&mut self, token: Token) {
        let Some(connection) = self.table.get(token) else { return };
        if let Phase::Player { slot, ref player } = connection.phase
            && let Some(session) = player.session_token
        {
            self.sessions.save(session, self.engine.saved(slot), self.now_ms());
        }
    }
}
