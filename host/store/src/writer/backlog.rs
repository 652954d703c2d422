//! What waits for the writer, and which of it makes the next group.

use std::collections::{HashMap, HashSet, VecDeque};

use kennel_protocol::TenantId;

use super::{Entry, Op};
use crate::wake::TaskKey;

/// Entries in a group.
const GROUP_MAX: usize = 256;
/// Bytes in a group, so that a few large writes do not hold up many small ones.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Of both, the share that commits have while accepts wait too: a flood of accepts must not stop the tasks that are at work.
const NORMAL_SHARE: usize = 4;
/// Entries that may wait here. Many, because the queue in front of this is first come, first served for all tenants together.
const ENTRIES_MAX: usize = 32_768;
/// Bytes that may wait here.
const BYTES_MAX: usize = 64 << 20;

/// Two classes of queues, one queue a tenant.
#[derive(Default)]
pub(super) struct Backlog {
    urgent: Queues,
    normal: Queues,
    /// Tasks whose accept waits here: nothing of theirs goes before it.
    unmade: HashSet<TaskKey>,
    /// Tasks whose commit had to wait for an urgent entry of the same task: now it goes first, so that no flood of messages to a task
    /// keeps it from writing.
    owed: HashSet<TaskKey>,
}

#[derive(Default)]
struct Queues {
    turns: VecDeque<Option<TenantId>>,
    waiting: HashMap<Option<TenantId>, VecDeque<Entry>>,
    len: usize,
    bytes: usize,
}

/// A group in the making.
#[derive(Default)]
struct Group {
    entries: Vec<Entry>,
    /// Tasks that are made in it: each may have one commit besides.
    created: HashSet<TaskKey>,
    /// Tasks that have another entry in it.
    tasks: HashSet<TaskKey>,
    bytes: usize,
}

/// How far a group may be filled.
#[derive(Clone, Copy)]
struct Room {
    entries: usize,
    bytes: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.urgent.len + self.normal.len == 0
    }

    /// Whether what comes now is to wait outside.
    pub(super) fn is_full(&self) -> bool {
        self.urgent.len + self.normal.len >= ENTRIES_MAX || self.urgent.bytes + self.normal.bytes >= BYTES_MAX
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if let Op::Create(new) = &entry.op {
            self.unmade.insert(new.key.clone());
        }
        let queues = if entry.op.is_urgent() { &mut self.urgent } else { &mut self.normal };
        queues.push_back(entry);
    }

    /// The next group: urgent first, tenants in turn, one entry a task, or its accept and its first commit. Empty if what waited has
    /// nothing to write any more.
    pub(super) fn take_group(&mut self) -> Vec<Entry> {
        let mut group = Group::default();
        let all = Room { entries: GROUP_MAX, bytes: GROUP_BYTES_MAX };
        let most =
            Room { entries: all.entries - all.entries / NORMAL_SHARE, bytes: all.bytes - all.bytes / NORMAL_SHARE };
        let room = if self.normal.len == 0 { all } else { most };
        self.urgent.move_into(&mut group, room, |key| self.owed.contains(key));
        for key in &group.created {
            self.unmade.remove(key);
        }
        let urgent = std::mem::take(&mut group.tasks);
        let except = |key: &TaskKey| urgent.contains(key) || self.unmade.contains(key);
        let refused = self.normal.move_into(&mut group, all, except);
        self.owed.retain(|key| !group.tasks.contains(key));
        self.owed.extend(refused);
        group.entries
    }
}

impl Queues {
    fn push_back(&mut self, entry: Entry) {
        self.queue_of(&entry).push_back(entry);
    }

    fn push_front(&mut self, entry: Entry) {
        self.queue_of(&entry).push_front(entry);
    }

    /// The queue into which an entry is about to be put.
    fn queue_of(&mut self, entry: &Entry) -> &mut VecDeque<Entry> {
        self.len += 1;
        self.bytes += entry.op.bytes();
        let tenant = entry.op.tenant().cloned();
        let queue = self.waiting.entry(tenant.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(tenant);
        }
        queue
    }

    /// The next entry of the tenant whose turn it is.
    fn pop(&mut self) -> Option<Entry> {
        let tenant = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&tenant)?;
        let entry = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        self.len -= 1;
        self.bytes -= entry.op.bytes();
        Some(entry)
    }

    /// Moves entries into the group, one of each tenant in turn, but none of the tasks `except`; returns those of them that had
    /// one. What does not fit now keeps its place.
    fn move_into(&mut self, group: &mut Group, room: Room, except: impl Fn(&TaskKey) -> bool) -> HashSet<TaskKey> {
        let mut kept: Vec<Entry> = Vec::new();
        while group.has_room(room)
            && let Some(entry) = self.pop()
        {
            if let Some(refused) = group.add(entry, &except) {
                kept.push(refused);
            }
        }
        let tasks = kept.iter().filter_map(|entry| entry.op.key()).filter(|key| except(key)).cloned().collect();
        // Back to the front, the last first, so that each task keeps its order.
        while let Some(entry) = kept.pop() {
            self.push_front(entry);
        }
        tasks
    }
}

impl Group {
    fn has_room(&self, room: Room) -> bool {
        self.entries.len() < room.entries && self.bytes < room.bytes
    }

    /// Takes the entry, or gives it back if its task is in the group already or is not to be.
    fn add(&mut self, entry: Entry, except: impl Fn(&TaskKey) -> bool) -> Option<Entry> {
        if let Some(key) = entry.op.key() {
            let fits = match &entry.op {
                Op::Create(_) => self.created.insert(key.clone()),
                // The accept is written before it, in the same transaction, so its guard finds the task.
                Op::Commit(_) | Op::Late(_) => !except(key) && self.tasks.insert(key.clone()),
                _ => !except(key) && !self.created.contains(key) && self.tasks.insert(key.clone()),
            };
            if !fits {
                return Some(entry);
            }
        }
        if let Some(entry) = entry.made() {
            self.bytes += entry.op.bytes();
            self.entries.push(entry);
        }
        None
    }
}
