//! The table of players: its keys, its state, and what it asks of the server.

use std::mem::take;
use std::time::{Duration, Instant};

use pixi_game_server::control::players::{Listed, PlayerList};
use pixi_game_server::control::{Network, Sort};

use super::control::{Answer, Ask, Control};
use super::terminal::{DOWN, ESCAPE, UP};

/// Time between two lists.
const LIST_INTERVAL: Duration = Duration::from_secs(1);

/// Time after which an answer is called late.
const LATE: Duration = Duration::from_secs(1);

/// Longest filter: an IPv6 network.
const FILTER_BYTES_MAX: usize = 43;

const ENTER: u8 = b'\r';
const BACKSPACES: [u8; 2] = [0x08, 0x7f];

/// The orders of players, as in [`Sort::NAMES`].
const SORTS: [Sort; 5] = [Sort::Id, Sort::Acks, Sort::Bytes, Sort::Age, Sort::Rejected];

const KEYS: &str = " s sort   / filter   j k select   x kick   b ban 1 h   Esc close   q quit";

/// Whether the table is shown.
#[derive(Debug, Default, PartialEq)]
enum Shown {
    #[default]
    No,
    /// It is shown once there is a list.
    Asked,
    Yes,
}

/// What the next key belongs to.
#[derive(Debug, Default)]
enum Prompt {
    #[default]
    None,
    /// The text of the filter so far.
    Filter(String),
    /// An action that is not confirmed yet.
    Confirm(Ask, String),
}

/// The table of players.
#[derive(Debug, Default)]
pub struct Players {
    shown: Shown,
    sort: usize,
    filter: Option<Network>,
    list: PlayerList,
    /// Index of the selected player.
    selected: usize,
    prompt: Prompt,
    /// The result of an action, until the next key.
    status: String,
    /// Why there is no list, until there is one.
    problem: String,
    /// Time of the question that has no answer yet.
    asked: Option<Instant>,
    /// Time of the last question for a list; `None` asks at once.
    listed: Option<Instant>,
    /// A confirmed action that waits for the answer to the question before it.
    confirmed: Option<Ask>,
}

impl Players {
    /// Shows the table if the server's control socket answers.
    pub fn open(&mut self) {
        self.shown = Shown::Asked;
        self.listed = None;
    }

    /// Starts again, for another server. The order and the filter stay.
    pub fn forget(&mut self) {
        let shown = if self.shown == Shown::No { Shown::No } else { Shown::Asked };
        // The answer to a question that is under way belongs to the other server.
        let (sort, filter, asked) = (self.sort, self.filter, self.asked);
        *self = Players { shown, sort, filter, asked, ..Players::default() };
    }

    /// Takes the answer, and asks the next question. `is_paused` keeps the list.
    pub fn exchange(&mut self, control: &Control, server: usize, is_paused: bool) {
        if let Some((of, answer)) = control.answer() {
            self.asked = None;
            if of == server {
                self.take(answer);
            }
        }
        if self.asked.is_none()
            && let Some(ask) = self.question(Instant::now(), is_paused)
        {
            self.asked = Some(Instant::now());
            control.ask(server, ask);
        }
    }

    fn question(&mut self, now: Instant, is_paused: bool) -> Option<Ask> {
        let is_due = self.listed.is_none_or(|listed| !is_paused && now - listed >= LIST_INTERVAL);
        if self.confirmed.is_some() || self.shown == Shown::No || !is_due {
            return self.confirmed.take();
        }
        self.listed = Some(now);
        Some(Ask::List(SORTS[self.sort], self.filter))
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Action(result) => {
                self.status = result.unwrap_or_else(|problem| problem);
                self.listed = None;
            }
            Answer::List(_) if self.shown == Shown::No => {}
            Answer::List(Ok(list)) => {
                let id = self.selected().map(|player| player.id);
                (self.list, self.shown) = (list, Shown::Yes);
                self.problem.clear();
                let same = self.list.players.iter().position(|player| Some(player.id) == id);
                self.select(same.unwrap_or(self.selected));
            }
            Answer::List(Err(problem)) => {
                if self.shown == Shown::Asked {
                    self.shown = Shown::No;
                }
                self.problem = format!("no players: {problem}");
            }
        }
    }

    fn select(&mut self, index: usize) {
        self.selected = index.min(self.list.players.len().saturating_sub(1));
    }

    /// Handles a key. Returns whether it belongs to the table.
    pub fn key(&mut self, key: u8) -> bool {
        self.status.clear();
        self.problem.clear();
        match take(&mut self.prompt) {
            Prompt::Filter(text) => self.filter_key(text, key),
            Prompt::Confirm(ask, _) if key == b'y' => self.confirmed = Some(ask),
            Prompt::Confirm(..) => self.status = String::from("nothing done"),
            Prompt::None => return self.shown != Shown::No && self.table_key(key),
        }
        true
    }

    fn filter_key(&mut self, mut text: String, key: u8) {
        match key {
            ESCAPE => {}
            ENTER if text.is_empty() => (self.filter, self.listed) = (None, None),
            ENTER => match Network::try_from(text.clone()) {
                Ok(network) => (self.filter, self.listed) = (Some(network), None),
                Err(problem) => self.status = problem,
            },
            _ => {
                if BACKSPACES.contains(&key) {
                    text.pop();
                } else if key.is_ascii_graphic() && text.len() < FILTER_BYTES_MAX {
                    text.push(char::from(key));
                }
                self.prompt = Prompt::Filter(text);
            }
        }
    }

    fn table_key(&mut self, key: u8) -> bool {
        match key {
            ESCAPE | b'l' => self.shown = Shown::No,
            b's' => (self.sort, self.listed) = ((self.sort + 1) % SORTS.len(), None),
            b'/' => self.prompt = Prompt::Filter(String::new()),
            b'j' | DOWN => self.select(self.selected + 1),
            b'k' | UP => self.select(self.selected.saturating_sub(1)),
            b'x' | b'b' => match self.selected().map(|player| action(key, player)) {
                Some(Ok((ask, question))) => self.prompt = Prompt::Confirm(ask, question),
                Some(Err(problem)) => self.status = problem,
                None => self.status = String::from("no player is selected"),
            },
            _ => return false,
        }
        true
    }

    /// Whether the table is shown.
    pub fn is_shown(&self) -> bool {
        self.shown == Shown::Yes
    }

    /// Returns the players of the table.
    pub fn rows(&self) -> &[Listed] {
        &self.list.players
    }

    /// Returns the index of the selected player.
    pub fn selected_row(&self) -> usize {
        self.selected
    }

    fn selected(&self) -> Option<&Listed> {
        self.list.players.get(self.selected)
    }

    /// Returns how many players the table has, their order and the filter.
    pub fn title(&self) -> String {
        let of = self.filter.map_or(String::new(), |network| format!(" of {network}"));
        let (rows, matching) = (self.list.players.len(), self.list.matching);
        format!(" {rows} of {matching} players{of}, by {} ", Sort::NAMES[self.sort])
    }

    /// Returns the last line of the screen: a question, a status, or the keys; `None` for those of the dashboard.
    pub fn line(&self) -> Option<String> {
        let is_late = self.asked.is_some_and(|asked| self.shown != Shown::No && asked.elapsed() > LATE);
        match &self.prompt {
            Prompt::Filter(text) => Some(format!(" address or network, empty for all: {text}_")),
            Prompt::Confirm(_, question) => Some(format!(" {question} y/n")),
            Prompt::None if !self.status.is_empty() => Some(format!(" {}", self.status)),
            Prompt::None if !self.problem.is_empty() => Some(format!(" {}", self.problem)),
            Prompt::None if is_late => Some(" waiting for the control socket".to_owned()),
            Prompt::None => self.is_shown().then(|| KEYS.to_owned()),
        }
    }
}

/// Returns the action of a key, and the question that confirms it.
fn action(key: u8, player: &Listed) -> Result<(Ask, String), String> {
    let Listed { id, address, .. } = player;
    let shown = address.as_deref().unwrap_or("an unknown address");
    if key == b'x' {
        return Ok((Ask::Kick(*id, address.clone()), format!("kick player {id} of {shown}?")));
    }
    let network = Network::try_from(address.clone().unwrap_or_default())
        .map_err(|_| format!("player {id}: {shown} can't be banned"))?;
    Ok((Ask::Ban(network), format!("ban {network} of player {id} for 1 h?")))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn players(ids: &[u32]) -> PlayerList {
        let player = |&id| Listed { id, address: Some(format!("192.0.2.{id}")), ..Listed::default() };
        PlayerList { players: ids.iter().map(player).collect(), matching: ids.len() }
    }

    /// A table that shows these players.
    pub fn shown(ids: &[u32]) -> Players {
        let mut table = Players::default();
        table.open();
        assert_eq!(table.question(Instant::now(), false), Some(Ask::List(Sort::Id, None)));
        table.take(Answer::List(Ok(players(ids))));
        table
    }

    /// Presses keys. Returns what is asked then.
    fn press(table: &mut Players, keys: &[u8]) -> Option<Ask> {
        for key in keys {
            assert!(table.key(*key), "{key}");
        }
        let now = table.listed.unwrap_or_else(Instant::now);
        table.question(now, false)
    }

    #[test]
    fn an_action_needs_a_confirmation() {
        let mut table = shown(&[7, 8, 9]);
        assert_eq!(press(&mut table, b"jx"), None);
        assert_eq!(table.line().as_deref(), Some(" kick player 8 of 192.0.2.8? y/n"));
        assert_eq!(press(&mut table, b"n"), None);
        assert_eq!(table.line().as_deref(), Some(" nothing done"));
        assert_eq!(press(&mut table, b"xy"), Some(Ask::Kick(8, Some("192.0.2.8".to_owned()))));
        let network = Network::try_from("192.0.2.9".to_owned()).unwrap();
        assert_eq!(press(&mut table, &[DOWN, b'b', b'y']), Some(Ask::Ban(network)));
        table.take(Answer::Action(Ok("done".to_owned())));
        assert_eq!(table.line().as_deref(), Some(" done"));
        let list = Some(Ask::List(Sort::Id, None));
        assert_eq!(table.question(Instant::now(), true), list, "the list after an action, also when paused");
    }

    #[test]
    fn a_question_and_the_selection_stay_with_their_player() {
        let mut table = shown(&[7, 8, 9]);
        press(&mut table, b"jx");
        table.take(Answer::List(Ok(players(&[5, 6, 7, 8]))));
        assert_eq!(table.selected_row(), 3);
        assert_eq!(press(&mut table, b"y"), Some(Ask::Kick(8, Some("192.0.2.8".to_owned()))));
        table.take(Answer::List(Ok(players(&[5]))));
        assert_eq!(table.selected_row(), 0);
        table.take(Answer::List(Ok(players(&[]))));
        assert_eq!(
            (press(&mut table, b"x"), table.line()),
            (None, Some(" no player is selected".to_owned()))
        );
    }

    #[test]
    fn the_order_and_the_filter_are_those_of_the_next_list() {
        let mut table = shown(&[7]);
        let network = Network::try_from("192.0.2.0/24".to_owned()).unwrap();
        assert_eq!(press(&mut table, b"ss"), Some(Ask::List(Sort::Bytes, None)));
        assert_eq!(press(&mut table, b"/192.0.2.0/29\x7f4\r"), Some(Ask::List(Sort::Bytes, Some(network))));
        table.take(Answer::List(Ok(players(&[7]))));
        assert_eq!(table.title(), " 1 of 1 players of 192.0.2.0/24, by bytes ");
        assert_eq!(press(&mut table, b"/jq\r"), None);
        assert!(table.line().is_some_and(|line| line.starts_with(" \"jq\" is not an address")));
        assert_eq!(press(&mut table, &[b'/', ESCAPE]), None, "the prompt has taken the slash");
        assert_eq!(press(&mut table, b"/\r"), Some(Ask::List(Sort::Bytes, None)));
    }

    #[test]
    fn without_an_answer_nothing_changes_but_the_last_line() {
        let mut table = Players::default();
        table.open();
        table.take(Answer::List(Err("no server answers at /x".to_owned())));
        assert_eq!(table.line().as_deref(), Some(" no players: no server answers at /x"));
        assert!(!table.is_shown() && !table.key(b'x') && table.line().is_none());
        assert_eq!(table.question(Instant::now(), false), None);
    }
}
