//! The connections in a slab, addressed by tokens that carry a generation: a late event for a connection that is gone
//! can't hit the one that took its place.

use mio::Token;
use slab::Slab;

use crate::prefetch::prefetch;

/// Tokens at and above this are not connections.
const RESERVED_FROM: usize = usize::MAX - 15;

/// The listener's token.
pub const LISTENER: Token = Token(RESERVED_FROM);
/// The tick timer's token.
pub const TIMER: Token = Token(RESERVED_FROM + 1);
/// The signals' token.
pub const SIGNALS: Token = Token(RESERVED_FROM + 2);
/// The token of the listener for operators.
pub const ADMIN_LISTENER: Token = Token(RESERVED_FROM + 3);

/// The token of the bus to other processes.
pub const BUS: Token = Token(RESERVED_FROM + 4);

const KEY_BITS: u32 = 32;
const KEY_MASK: usize = (1 << KEY_BITS) - 1;

/// What a connection is known by, from accept to reap.
#[derive(Debug)]
pub struct Table<T> {
    entries: Slab<Entry<T>>,
    next_generation: u32,
}

/// An occupied place. It begins a cache line, so that one small enough is no more than one.
#[derive(Debug)]
#[repr(align(64))]
pub struct Entry<T> {
    generation: u32,
    value: T,
}

impl<T> Table<T> {
    /// An empty table.
    pub fn new() -> Self {
        Self { entries: Slab::new(), next_generation: 0 }
    }

    /// Entries present.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Stores what `make` builds from its token to be.
    ///
    /// # Errors
    /// What `make` returns; nothing is stored then.
    pub fn insert_with<E>(&mut self, make: impl FnOnce(Token) -> Result<T, E>) -> Result<Token, E> {
        let generation = self.next_generation;
        let vacant = self.entries.vacant_entry();
        let token = token_of(vacant.key(), generation);
        vacant.insert(Entry { generation, value: make(token)? });
        // The last generations would reach into the reserved tokens.
        self.next_generation = if generation >= u32::MAX - 1 { 0 } else { generation + 1 };
        Ok(token)
    }

    /// The entry of this token, unless it is gone.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let entry = self.entries.get_mut(token.0 & KEY_MASK)?;
        (token.0 >> KEY_BITS == entry.generation as usize).then_some(&mut entry.value)
    }

    /// The entry of this token, unless it is gone.
    pub fn get(&self, token: Token) -> Option<&T> {
        let entry = self.entries.get(token.0 & KEY_MASK)?;
        (token.0 >> KEY_BITS == entry.generation as usize).then_some(&entry.value)
    }

    /// Calls the entry at this token's place near the processor.
    pub fn prefetch(&self, token: Token) {
        if let Some(entry) = self.entries.get(index_of(token)) {
            prefetch(entry);
        }
    }

    /// Takes the entry out.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        self.get(token)?;
        Some(self.entries.remove(token.0 & KEY_MASK).value)
    }

    /// The token at this place of the slab, if it is occupied; places go from 0 to [`Table::capacity`].
    pub fn token_at(&self, index: usize) -> Option<Token> {
        self.entries.get(index).map(|entry| token_of(index, entry.generation))
    }

    /// Places in use or vacant.
    pub fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, entry)| &entry.value)
    }

    /// All tokens.
    pub fn tokens(&self) -> Vec<Token> {
        self.entries.iter().map(|(key, entry)| token_of(key, entry.generation)).collect()
    }
}

/// The place of a token's entry in the slab; places are used again.
pub fn index_of(token: Token) -> usize {
    token.0 & KEY_MASK
}

fn token_of(key: usize, generation: u32) -> Token {
    Token((generation as usize) << KEY_BITS | key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(table: &mut Table<char>, entry: char) -> Token {
        table.insert_with(|_| Ok::<_, ()>(entry)).expect("never refused")
    }

    #[test]
    fn a_late_token_does_not_reach_the_successor() {
        let mut table = Table::new();
        let first = insert(&mut table, 'a');
        assert_eq!(table.remove(first), Some('a'));
        let second = insert(&mut table, 'b');
        assert_ne!(first, second);
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&'b'));
    }

    #[test]
    fn generations_wrap_below_the_reserved_tokens() {
        let mut table = Table::new();
        table.next_generation = u32::MAX - 1;
        let token = insert(&mut table, 'a');
        assert!(token.0 < RESERVED_FROM);
        assert_eq!(table.next_generation, 0);
    }

    #[test]
    fn a_refused_entry_leaves_no_trace() {
        let mut table: Table<char> = Table::new();
        assert_eq!(table.insert_with(|_| Err("no")), Err("no"));
        assert_eq!(table.len(), 0);
    }
}
