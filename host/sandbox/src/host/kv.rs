//! `kv`: small values that outlive a task.

use crate::bindings::kennel::agent::kv::{Entry, Host, Scope, Swapped};
use crate::call::{Answer, Call};
use crate::convert::kv;
use crate::guest::{Failure, Guest};

/// Keys that one call gives at most, as the contract says.
const KEYS_MAX: u32 = 1000;

impl Host for Guest {
    async fn get(&mut self, scope: Scope, key: String) -> Result<Option<Entry>, Failure> {
        match self.call(Call::KvGet { scope: kv::scope(scope), key: kv::key(key)? }).await? {
            Answer::Entry(entry) => Ok(entry.map(|entry| kv::entry(entry, &self.facts.limits)).transpose()?),
            other => Err(self.misfit(&other)),
        }
    }

    async fn put(&mut self, scope: Scope, key: String, value: Vec<u8>) -> Result<String, Failure> {
        let (key, value) = (kv::key(key)?, kv::value(value, &self.facts.limits)?);
        match self.call(Call::KvPut { scope: kv::scope(scope), key, value }).await? {
            Answer::Version(version) => Ok(version),
            other => Err(self.misfit(&other)),
        }
    }

    async fn swap(
        &mut self,
        scope: Scope,
        key: String,
        expected: Option<String>,
        value: Vec<u8>,
    ) -> Result<Swapped, Failure> {
        let (key, value) = (kv::key(key)?, kv::value(value, &self.facts.limits)?);
        match self.call(Call::KvSwap { scope: kv::scope(scope), key, expected, value }).await? {
            Answer::Swapped(swapped) => Ok(kv::swapped(swapped, &self.facts.limits)?),
            other => Err(self.misfit(&other)),
        }
    }

    async fn delete(&mut self, scope: Scope, key: String) -> Result<bool, Failure> {
        self.call_flag(Call::KvDelete { scope: kv::scope(scope), key: kv::key(key)? }).await
    }

    async fn keys(
        &mut self,
        scope: Scope,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<String>, Failure> {
        let limit = limit.min(KEYS_MAX);
        self.call_names(Call::KvKeys { scope: kv::scope(scope), prefix, after, limit }).await
    }
}
