//! Connection table: a slab addressed by tokens with a generation, so late events can't reach a successor.

use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use slab::Slab;

use crate::prefetch::prefetch;

/// First of the tokens that the driver uses for event sources other than connections.
pub const RESERVED_FROM: usize = usize::MAX - 15;

/// Names a connection: a slab index and a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub usize);

const KEY_BITS: u32 = 32;
const KEY_MASK: usize = (1 << KEY_BITS) - 1;

/// Entries by token. A token is valid from insertion to removal and is not reused before the generations wrap around.
#[derive(Debug)]
pub(super) struct Table<T> {
    entries: Slab<Entry<T>>,
    next_generation: u32,
}

/// An occupied slab index. The alignment makes an entry of up to 64 bytes occupy exactly one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Entry<T> {
    generation: u32,
    value: T,
}

impl<T> Table<T> {
    /// Returns an empty table.
    pub fn new() -> Self {
        Self { entries: Slab::new(), next_generation: 0 }
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Inserts the entry that `make` builds from its future token.
    ///
    /// # Errors
    /// Returns the error of `make`; nothing is inserted then.
    pub fn insert_with<E>(&mut self, make: impl FnOnce(Token) -> Result<T, E>) -> Result<Token, E> {
        let generation = self.next_generation;
        let vacant = self.entries.vacant_entry();
        let token = token_of(vacant.key(), generation);
        vacant.insert(Entry { generation, value: make(token)? });
        // The last generation would reach into the reserved tokens.
        self.next_generation = if generation >= u32::MAX - 1 { 0 } else { generation + 1 };
        Ok(token)
    }

    /// Returns the entry of this token, unless it was removed.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let entry = self.entries.get_mut(token.0 & KEY_MASK)?;
        (token.0 >> KEY_BITS == entry.generation as usize).then_some(&mut entry.value)
    }

    /// Returns the entry of this token, unless it was removed.
    pub fn get(&self, token: Token) -> Option<&T> {
        let entry = self.entries.get(token.0 & KEY_MASK)?;
        (token.0 >> KEY_BITS == entry.generation as usize).then_some(&entry.value)
    }

    /// Prefetches the cache line of this token's entry.
    pub fn prefetch(&self, token: Token) {
        if let Some(entry) = self.entries.get(index_of(token)) {
            prefetch(entry);
        }
    }

    /// Removes the entry and returns it.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        self.get(token)?;
        Some(self.entries.remove(token.0 & KEY_MASK).value)
    }

    /// Returns the token at this slab index if it is occupied; indices range from 0 to [`Table::capacity`].
    pub fn token_at(&self, index: usize) -> Option<Token> {
        self.entries.get(index).map(|entry| token_of(index, entry.generation))
    }

    /// Returns the number of slab indices, occupied or vacant.
    pub fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Iterates over all entries, with their tokens.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &T)> {
        self.entries.iter().map(|(key, entry)| (token_of(key, entry.generation), &entry.value))
    }

    /// Converts every entry; the tokens stay.
    pub fn map<U>(self, mut convert: impl FnMut(T) -> U) -> Table<U> {
        let capacity = self.entries.capacity();
        let convert =
            |(index, Entry { generation, value })| (index, Entry { generation, value: convert(value) });
        let entries = with_capacity(self.entries.into_iter().map(convert).collect(), capacity);
        Table { entries, next_generation: self.next_generation }
    }

    /// Returns all tokens.
    pub fn tokens(&self) -> Vec<Token> {
        self.iter().map(|(token, _)| token).collect()
    }
}

impl<T: Serialize> Serialize for Table<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = Entries(&self.entries);
        (self.next_generation, self.entries.capacity(), entries).serialize(serializer)
    }
}

/// The occupied indices.
struct Entries<'a, T>(&'a Slab<Entry<T>>);

impl<T: Serialize> Serialize for Entries<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for (index, entry) in self.0 {
            list.serialize_element(&(index, entry.generation, &entry.value))?;
        }
        list.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (next_generation, capacity, entries) =
            <(u32, usize, Vec<(usize, u32, T)>)>::deserialize(deserializer)?;
        let entries =
            entries.into_iter().map(|(index, generation, value)| (index, Entry { generation, value }));
        Ok(Self { entries: with_capacity(entries.collect(), capacity), next_generation })
    }
}

/// Extends a slab, since a sweep visits as many indices as it has room for.
fn with_capacity<T>(mut slab: Slab<T>, capacity: usize) -> Slab<T> {
    slab.reserve_exact(capacity.saturating_sub(slab.len()));
    slab
}

/// Returns the slab index of a token's entry; indices are reused.
pub(super) fn index_of(token: Token) -> usize {
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
    fn a_late_token_does_not_reach_the_entry_that_reuses_its_index() {
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
    fn a_failed_insert_leaves_the_table_empty() {
        let mut table: Table<char> = Table::new();
        assert_eq!(table.insert_with(|_| Err("no")), Err("no"));
        assert_eq!(table.len(), 0);
    }
}
