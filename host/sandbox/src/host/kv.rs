//! `kv`: not carried yet. Every function answers `unavailable`.

use super::not_offered;
use crate::bindings::kennel::agent::kv::{Entry, Host, Scope, Swapped};
use crate::guest::{Failure, Guest};

impl Host for Guest {
    fn get(&mut self, _scope: Scope, _key: String) -> Result<Option<Entry>, Failure> {
        Err(not_offered("kv").into())
    }

    fn put(&mut self, _scope: Scope, _key: String, _value: Vec<u8>) -> Result<String, Failure> {
        Err(not_offered("kv").into())
    }

    fn swap(
        &mut self,
        _scope: Scope,
        _key: String,
        _expected: Option<String>,
        _value: Vec<u8>,
    ) -> Result<Swapped, Failure> {
        Err(not_offered("kv").into())
    }

    fn delete(&mut self, _scope: Scope, _key: String) -> Result<bool, Failure> {
        Err(not_offered("kv").into())
    }

    fn keys(
        &mut self,
        _scope: Scope,
        _prefix: String,
        _after: Option<String>,
        _limit: u32,
    ) -> Result<Vec<String>, Failure> {
        Err(not_offered("kv").into())
    }
}
