//! Small durable values that outlive a task. Each scope must be asked for in the card (`kv = [agent]`).
//!
//! ```
//! use kennel::kv::Scope;
//! use kennel::prelude::*;
//!
//! /// Counts how often it was called.
//! #[kennel::agent(kv = [agent])]
//! fn counter(task: Task) -> Result<Outcome> {
//!     let count = task.kv(Scope::Agent).update("count", |old: Option<u32>| old.unwrap_or(0) + 1)?;
//!     done_with(format!("This is call {count}."))
//! }
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::kennel::agent::kv::{Entry, Scope, Swapped};
use crate::error::{Error, ErrorKind, Result};
use crate::host::kv as host;

/// How many others may be faster, one after the other, before [`Kv::update`] gives up.
const TRIES_MAX: u32 = 100;

/// How many keys one call of the host lists at most.
const PAGE: u32 = 1_000;

/// The values of one scope, from [`Task::kv`](crate::Task::kv). A change commits exactly once, whatever crashes.
#[derive(Clone, Copy, Debug)]
pub struct Kv {
    scope: Scope,
}

impl Kv {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope }
    }

    /// A value read as JSON; none if there is none.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(entry) = self.entry(key)? else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&entry.value)?))
    }

    /// Writes a value as JSON without looking. Last writer wins.
    pub fn put(&self, key: &str, value: impl Serialize) -> Result<()> {
        self.put_bytes(key, &serde_json::to_vec(&value)?).map(drop)
    }

    /// Changes a value by what it was, and gives what it became. Nobody's change gets lost: if somebody else was faster, the
    /// change is made again to what they wrote. A hundred such others are an error of the kind `unavailable`.
    pub fn update<T>(&self, key: &str, change: impl Fn(Option<T>) -> T) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
    {
        let mut old = self.entry(key)?;
        for _ in 0..TRIES_MAX {
            let before = old.as_ref().map(|entry| serde_json::from_slice(&entry.value)).transpose()?;
            let after = change(before);
            let version = old.as_ref().map(|entry| entry.version.as_str());
            match self.swap(key, version, &serde_json::to_vec(&after)?)? {
                Swapped::Done(_) => return Ok(after),
                Swapped::Conflict(now) => old = now,
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "kv.busy", "Too many others change the same value.").retryable())
    }

    /// A value as bytes, with its version; none if there is none.
    pub fn entry(&self, key: &str) -> Result<Option<Entry>> {
        host::get(self.scope, key)
    }

    /// Writes bytes without looking and gives the new version.
    pub fn put_bytes(&self, key: &str, value: &[u8]) -> Result<String> {
        host::put(self.scope, key, value)
    }

    /// Writes bytes only if the entry still has the version `expected`; none: only if there is no entry.
    pub fn swap(&self, key: &str, expected: Option<&str>, value: &[u8]) -> Result<Swapped> {
        host::swap(self.scope, key, expected, value)
    }

    /// Deletes a value. True if there was one.
    pub fn delete(&self, key: &str) -> Result<bool> {
        host::delete(self.scope, key)
    }

    /// All keys that start with this text, sorted by bytes.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let page = host::keys(self.scope, prefix, keys.last().map(String::as_str), PAGE)?;
            let last = page.len() < PAGE as usize;
            keys.extend(page);
            if last {
                return Ok(keys);
            }
        }
    }
}
