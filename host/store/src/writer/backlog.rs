//! What waits for the writer, and which of it makes the next group.

use std::collections::{HashMap, HashSet, VecDeque};

use kennel_protocol::TenantId;

use super::Entry;
use crate::wake::TaskKey;

/// Entries in a group.
pub(super) const GROUP_MAX: usize = 256;
/// Bytes in a group, so that a few large writes do not hold up many small ones.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Two classes of queues, one queue a tenant.
#[derive(Default)]
pub(super) struct Backlog {
    urgent: Queues,
    normal: Queues,
    len: usize,
}

#[derive(Default)]
struct Queues {
    turns: VecDeque<Option<TenantId>>,
    waiting: HashMap<Option<TenantId>, VecDeque<Entry>>,
}

/// A group in the making.
struct Group {
    entries: Vec<Entry>,
    tasks: HashSet<TaskKey>,
    bytes: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.len += 1;
        let queues = if entry.op.is_urgent() { &mut self.urgent } else { &mut self.normal };
        queues.push(entry);
    }

    /// The next group: urgent first, tenants in turn, one entry a task. Never empty while something waits.
    pub(super) fn take_group(&mut self) -> Vec<Entry> {
        let mut group = Group { entries: Vec::new(), tasks: HashSet::new(), bytes: 0 };
        self.urgent.move_into(&mut group);
        self.normal.move_into(&mut group);
        self.len -= group.entries.len();
        group.entries
    }
}

impl Queues {
    fn push(&mut self, entry: Entry) {
        let tenant = entry.op.tenant().cloned();
        let queue = self.waiting.entry(tenant.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(tenant);
        }
        queue.push_back(entry);
    }

    /// Moves entries into the group, one of each tenant in turn. What does not fit now keeps its place.
    fn move_into(&mut self, group: &mut Group) {
        let mut kept: VecDeque<Entry> = VecDeque::new();
        while let Some(tenant) = self.turns.pop_front() {
            if group.is_full() {
                self.turns.push_front(tenant);
                break;
            }
            let Some(queue) = self.waiting.get_mut(&tenant) else { continue };
            let Some(entry) = queue.pop_front() else { continue };
            if queue.is_empty() {
                self.waiting.remove(&tenant);
            } else {
                self.turns.push_back(tenant);
            }
            if let Some(refused) = group.add(entry) {
                kept.push_back(refused);
            }
        }
        // Back to the front, the last first, so that each task keeps its order.
        while let Some(entry) = kept.pop_back() {
            self.push_front(entry);
        }
    }

    fn push_front(&mut self, entry: Entry) {
        let tenant = entry.op.tenant().cloned();
        let queue = self.waiting.entry(tenant.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(tenant);
        }
        queue.push_front(entry);
    }
}

impl Group {
    fn is_full(&self) -> bool {
        self.entries.len() >= GROUP_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    /// Takes the entry, or gives it back if its task is in the group already.
    fn add(&mut self, entry: Entry) -> Option<Entry> {
        if let Some(key) = entry.op.key()
            && !self.tasks.insert(key.clone())
        {
            return Some(entry);
        }
        self.bytes += entry.op.bytes();
        self.entries.push(entry);
        None
    }
}
