//! The accounts of connected players, and the keys that verify their tokens. Empty with `AUTH=none`.
//!
//! Invariant: both maps hold the same connections once; each of them is a player.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::table::Token;
use crate::auth::{Account, AccountHash, KeySet};

/// Accounts by connection, and connections by account.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Accounts {
    /// Another process reads its own file.
    #[serde(skip)]
    pub keys: KeySet,
    by_connection: BTreeMap<Token, Account>,
    /// The connections of each account, the oldest first.
    connections: BTreeMap<Account, Vec<Token>>,
}

impl Accounts {
    /// Records the account of a new player.
    pub fn insert(&mut self, token: Token, account: Account) {
        self.connections.entry(account.clone()).or_default().push(token);
        self.by_connection.insert(token, account);
    }

    /// Removes a player. Ignores players without an account.
    pub fn remove(&mut self, token: Token) {
        let Some(account) = self.by_connection.remove(&token) else { return };
        if let Some(connections) = self.connections.get_mut(&account) {
            connections.retain(|&other| other != token);
            if connections.is_empty() {
                self.connections.remove(&account);
            }
        }
    }

    /// Returns the account of a player; `None` without authentication.
    pub fn of(&self, token: Token) -> Option<&Account> {
        self.by_connection.get(&token)
    }

    /// Returns the hash of a player's account, which its saved session keeps.
    pub fn hash_of(&self, token: Token) -> Option<AccountHash> {
        self.of(token).map(Account::hash)
    }

    /// Returns the connections that another one of this account displaces, the oldest first.
    pub fn displaced(&self, account: &Account, connections_max: usize) -> &[Token] {
        let connections = self.connections.get(account).map_or(&[][..], Vec::as_slice);
        &connections[..(connections.len() + 1).saturating_sub(connections_max)]
    }

    /// Returns the number of players with an account.
    pub fn len(&self) -> usize {
        self.by_connection.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_connections_of_an_account_are_displaced() {
        let (mut accounts, account) = (Accounts::default(), |name| Account::new(name).unwrap());
        let (anna, bert, carl) = (account("anna"), account("bert"), account("carl"));
        for (token, account) in [(1, &anna), (2, &bert), (3, &anna), (4, &anna)] {
            accounts.insert(Token(token), account.clone());
        }
        let displaced =
            |accounts: &Accounts, account: &Account, most| accounts.displaced(account, most).to_vec();
        assert_eq!(displaced(&accounts, &anna, 4), []);
        assert_eq!(displaced(&accounts, &anna, 3), [Token(1)]);
        assert_eq!(displaced(&accounts, &anna, 1), [Token(1), Token(3), Token(4)]);
        assert_eq!(displaced(&accounts, &bert, 1), [Token(2)]);
        assert_eq!(displaced(&accounts, &carl, 1), []);
        accounts.remove(Token(1));
        accounts.remove(Token(9));
        assert_eq!(displaced(&accounts, &anna, 2), [Token(3)]);
        assert_eq!(accounts.of(Token(3)).map(Account::name), Some("anna"));
        assert_eq!((accounts.of(Token(1)), accounts.len()), (None, 3));
        for token in [2, 3, 4] {
            accounts.remove(Token(token));
        }
        assert_eq!((accounts.len(), accounts.connections.len()), (0, 0));
    }
}
