//! Durable values for agents: what each call of `kv` does.
//!
//! Never here: repetitions, which get recorded answers and change nothing.

mod owner;
mod writing;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use kennel_protocol::{TaskId, TenantId};
use kennel_sandbox::AgentDescription;
use kennel_sandbox::call::{Answer, Call, ErrorKind, GuestError, KvEntry, KvScope, KvSwapped, Refusal};
use kennel_store::{KvExpect, KvKey, KvRange, KvWrite, Store};

use super::activation::{not_offered, unavailable};
use crate::work::TaskFacts;
use owner::{Owner, name};
use writing::Writing;
pub(super) use writing::{Direct, Journaled};

/// Keys that one call lists.
const KEYS_MAX: u32 = 1_000;
/// How many others may be faster, one after the other, before a change is given up.
const TRIES_MAX: u32 = 100;
/// Bytes that a run writes into a scope before it looks again how full that is…
const TRUSTED_BYTES: u64 = 1 << 20;
/// …if there is more room than this; else it looks each time, with nothing of its own on the way.
const ROOM_BYTES: u64 = 8 << 20;

/// Whether this module carries the call out.
pub(super) fn is_kv(call: &Call) -> bool {
    matches!(
        call,
        Call::KvGet { .. } | Call::KvPut { .. } | Call::KvSwap { .. } | Call::KvDelete { .. } | Call::KvKeys { .. }
    )
}

/// The durable values of one run.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    store: Arc<Store>,
    owner: Owner,
    /// Bytes of one scope.
    bytes_max: u64,
    /// Whether a change of this run may be on its way to the store.
    unwritten: bool,
    /// Bytes that may be written into a scope before the next look at how full it is.
    trusted: HashMap<KvScope, u64>,
}

/// A value that an agent wants written. The sandbox has checked that it is not too large, nor its key.
#[derive(Clone)]
struct NewValue {
    scope: KvScope,
    at: KvKey,
    value: Bytes,
}

impl NewValue {
    fn put(self, version: String) -> KvWrite {
        KvWrite { at: self.at, entry: Some(kennel_store::KvEntry { value: self.value, version }) }
    }
}

/// What came of a call.
pub(super) enum Given {
    /// This; nothing was changed, so nothing is recorded yet.
    Value(Answer),
    /// This; it was recorded with the change.
    Changed(Answer),
}

impl Values {
    /// The values of a run that has changed none yet.
    pub(crate) fn new(
        store: Arc<Store>,
        names: (TenantId, TaskId),
        facts: &TaskFacts,
        card: &AgentDescription,
        bytes_max: u64,
    ) -> Values {
        let owner = Owner::new(names, facts, card);
        Values { store, owner, bytes_max, unwritten: false, trusted: HashMap::new() }
    }

    /// How a run without a task writes what its `number`th call changes.
    pub(super) fn direct(&self, number: u32) -> Direct {
        Direct { store: Arc::clone(&self.store), tenant: self.owner.tenant.clone(), number }
    }

    /// Carries a call of `kv` out.
    pub(super) async fn carry_out(&mut self, call: Call, writing: &mut impl Writing) -> Result<Given, Refusal> {
        match call {
            Call::KvGet { scope, key } => {
                let at = self.owner.place(scope, key)?;
                self.settle(writing).await?;
                Ok(Given::Value(Answer::Entry(self.entry(&at).await?)))
            }
            Call::KvKeys { scope, prefix, after, limit } => {
                let range = KvRange { scope: self.owner.scope(scope)?, prefix, after, limit: limit.min(KEYS_MAX) };
                self.settle(writing).await?;
                let keys = self.store.kv_keys(&self.owner.tenant, range).await;
                Ok(Given::Value(Answer::Names(keys.map_err(|error| unavailable(&error))?)))
            }
            Call::KvPut { scope, key, value } => {
                let new = NewValue { scope, at: self.owner.place(scope, key)?, value };
                self.room(&new, writing).await?;
                let version = self.owner.version(writing.number());
                let answer = Answer::Version(version.clone());
                self.unwritten = true;
                writing.write(&answer, new.put(version)).await?;
                Ok(Given::Changed(answer))
            }
            Call::KvSwap { scope, key, expected, value } => {
                let new = NewValue { scope, at: self.owner.place(scope, key)?, value };
                self.swap(new, expected, writing).await
            }
            Call::KvDelete { scope, key } => {
                let at = self.owner.place(scope, key)?;
                self.delete(at, writing).await
            }
            other => Err(not_offered(&other).into()),
        }
    }

    async fn swap(
        &mut self,
        new: NewValue,
        expected: Option<String>,
        writing: &mut impl Writing,
    ) -> Result<Given, Refusal> {
        self.flush(writing).await?;
        let version = self.owner.version(writing.number());
        for _ in 0..TRIES_MAX {
            let entry = self.entry(&new.at).await?;
            if entry.as_ref().map(|entry| &entry.version) != expected.as_ref() {
                return Ok(Given::Value(Answer::Swapped(KvSwapped::Conflict(entry))));
            }
            self.room(&new, writing).await?;
            let answer = Answer::Swapped(KvSwapped::Done(version.clone()));
            let expect = KvExpect { at: new.at.clone(), version: expected.clone() };
            if writing.write_if(&answer, new.clone().put(version.clone()), expect).await? {
                return Ok(Given::Changed(answer));
            }
        }
        Err(busy(&new.at).into())
    }

    /// What it answers must be true of the very entry that goes.
    async fn delete(&mut self, at: KvKey, writing: &mut impl Writing) -> Result<Given, Refusal> {
        self.flush(writing).await?;
        for _ in 0..TRIES_MAX {
            let Some(entry) = self.entry(&at).await? else { return Ok(Given::Value(Answer::Flag(false))) };
            let expect = KvExpect { at: at.clone(), version: Some(entry.version) };
            if writing.write_if(&Answer::Flag(true), KvWrite { at: at.clone(), entry: None }, expect).await? {
                return Ok(Given::Changed(Answer::Flag(true)));
            }
        }
        Err(busy(&at).into())
    }

    /// A run sees its own changes.
    async fn settle(&mut self, writing: &mut impl Writing) -> Result<(), Refusal> {
        if self.unwritten { self.flush(writing).await } else { Ok(()) }
    }

    async fn flush(&mut self, writing: &mut impl Writing) -> Result<(), Refusal> {
        writing.flush().await?;
        self.unwritten = false;
        Ok(())
    }

    async fn entry(&self, at: &KvKey) -> Result<Option<KvEntry>, Refusal> {
        let entry = self.store.kv_entry(&self.owner.tenant, at).await.map_err(|error| unavailable(&error))?;
        Ok(entry.map(|entry| KvEntry { value: entry.value, version: entry.version }))
    }

    /// Whether the scope has room for a value. Runs that write at the same moment do not see each other here:
    /// together they may go over the bound by what is on its way.
    async fn room(&mut self, new: &NewValue, writing: &mut impl Writing) -> Result<(), Refusal> {
        let NewValue { scope, at, value } = new;
        let bytes = (at.key.len() + value.len()) as u64;
        let trusted = self.trusted.get(scope).copied().unwrap_or(0);
        if bytes <= trusted {
            self.trusted.insert(*scope, trusted - bytes);
            return Ok(());
        }
        let most = self.bytes_max;
        let mut after = self.total_with(at, bytes).await?;
        if after.saturating_add(ROOM_BYTES) > most {
            self.settle(writing).await?;
            after = self.total_with(at, bytes).await?;
        }
        if after > most {
            let text = format!("the scope `{}` has at most {most} bytes: delete what is not needed", name(*scope));
            return Err(GuestError::new(ErrorKind::Limit, "kv-bytes", text).into());
        }
        self.trusted.insert(*scope, if most - after >= ROOM_BYTES { TRUSTED_BYTES } else { 0 });
        Ok(())
    }

    /// Bytes of a scope once an entry has so many.
    async fn total_with(&self, at: &KvKey, bytes: u64) -> Result<u64, Refusal> {
        let used = self.store.kv_used(&self.owner.tenant, at).await.map_err(|error| unavailable(&error))?;
        Ok(used.total.saturating_sub(used.entry).saturating_add(bytes))
    }
}

fn busy(at: &KvKey) -> GuestError {
    let text = format!("too many others change `{}` at the same time", at.key);
    GuestError { retryable: true, ..GuestError::new(ErrorKind::Unavailable, "kv.busy", text) }
}
