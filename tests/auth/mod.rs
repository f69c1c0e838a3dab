//! Admission by signed tokens: valid and hostile ones, the keys, and the sessions of an account.

mod accounts;
mod keys;
pub mod login;
mod tokens;
