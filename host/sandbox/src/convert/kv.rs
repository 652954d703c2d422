//! Values of `kv` in both directions. Never here: what a scope means. Called by `host/kv.rs`.

use bytes::Bytes;

use super::give::check_size;
use super::take::{invalid, limit};
use crate::bindings::kennel::agent::kv as wit;
use crate::call::{GuestError, KvEntry, KvScope, KvSwapped};
use crate::limits::{Limits, bytes_text};

/// Bytes of a key, as the contract says.
const KEY_BYTES_MAX: usize = 256;

type Result<T> = std::result::Result<T, GuestError>;

/// Who shares the values.
pub(crate) fn scope(scope: wit::Scope) -> KvScope {
    match scope {
        wit::Scope::Agent => KvScope::Agent,
        wit::Scope::Context => KvScope::Context,
        wit::Scope::Caller => KvScope::Caller,
        wit::Scope::Tenant => KvScope::Tenant,
    }
}

/// The key of one value.
pub(crate) fn key(key: String) -> Result<String> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(key),
        _ => Err(invalid("key", format!("A key has 1 to {KEY_BYTES_MAX} bytes."))),
    }
}

/// A value to write.
pub(crate) fn value(value: Vec<u8>, limits: &Limits) -> Result<Bytes> {
    if value.len() > limits.kv_value_bytes_max {
        let message = format!("A value has at most {}.", bytes_text(limits.kv_value_bytes_max));
        return Err(limit("kv-value-bytes", message));
    }
    Ok(Bytes::from(value))
}

/// A stored value, if one call can carry it.
pub(crate) fn entry(entry: KvEntry, limits: &Limits) -> Result<wit::Entry> {
    check_size(entry.value.len(), limits)?;
    Ok(wit::Entry { value: Vec::from(entry.value), version: entry.version })
}

/// What came of a compare-and-set.
pub(crate) fn swapped(swapped: KvSwapped, limits: &Limits) -> Result<wit::Swapped> {
    match swapped {
        KvSwapped::Done(version) => Ok(wit::Swapped::Done(version)),
        KvSwapped::Conflict(found) => found.map(|found| entry(found, limits)).transpose().map(wit::Swapped::Conflict),
    }
}
