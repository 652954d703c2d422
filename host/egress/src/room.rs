//! Room for bodies: all that a host holds of requests and responses together has one bound.
//!
//! What is small is free. What is not waits until there is room, in order, at most until the time of its request is over. A response of which
//! more is coming takes room for all that may come, at once: nobody holds a part and waits for more, so nothing can lock up.
//! Never here: whose body it is.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::error::FetchError;

/// Bytes that every body has without asking: most answers are that small.
pub(crate) const FREE_BYTES: usize = 16 << 10;
/// Room is given out in such pieces.
const UNIT_BYTES: usize = 1 << 10;

/// The room of a host. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    free: Arc<Semaphore>,
    bytes_max: usize,
}

/// Room for a body; given back when the last clone is dropped. Says nothing about the body, so all are equal.
#[derive(Clone, Debug, Default)]
pub struct Room(Option<Arc<OwnedSemaphorePermit>>);

impl PartialEq for Room {
    fn eq(&self, _: &Room) -> bool {
        true
    }
}

impl Eq for Room {}

impl Rooms {
    pub(crate) fn new(bytes_max: usize) -> Rooms {
        Rooms { free: Arc::new(Semaphore::new(bytes_max / UNIT_BYTES)), bytes_max }
    }

    /// Waits for room. What is larger than all room there is takes all.
    pub(crate) async fn hold(&self, bytes: usize, until: Instant) -> Result<Room, FetchError> {
        if bytes <= FREE_BYTES {
            return Ok(Room::default());
        }
        let held = timeout_at(until, Arc::clone(&self.free).acquire_many_owned(self.units(bytes))).await;
        // Never closed: the time is the only end.
        let held =
            held.ok().and_then(Result::ok).ok_or(FetchError::NoRoom { bytes_max: self.bytes_max, reached: false })?;
        Ok(Room(Some(Arc::new(held))))
    }

    /// Room, if there is some now.
    pub(crate) fn try_hold(&self, bytes: usize) -> Option<Room> {
        let held = Arc::clone(&self.free).try_acquire_many_owned(self.units(bytes)).ok()?;
        Some(Room(Some(Arc::new(held))))
    }

    fn units(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.bytes_max) / UNIT_BYTES).unwrap_or(u32::MAX)
    }

    #[cfg(test)]
    fn free_bytes(&self) -> usize {
        self.free.available_permits() * UNIT_BYTES
    }
}

impl Room {
    /// Whether any is held.
    pub(crate) fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// Gives back what a body of so many bytes does not need. Nobody else has a clone yet.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if bytes <= FREE_BYTES {
            self.0 = None;
        }
        let Some(held) = self.0.as_mut().and_then(Arc::get_mut) else { return };
        let spare = held.num_permits().saturating_sub(bytes.div_ceil(UNIT_BYTES));
        drop(held.split(spare));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn what_is_small_is_free_and_what_is_not_waits() {
        let rooms = Rooms::new(100 << 10);
        assert!(!rooms.hold(FREE_BYTES, later()).await.unwrap().is_held());
        let mut first = rooms.hold(1 << 30, later()).await.unwrap();
        assert_eq!(rooms.free_bytes(), 0, "more than all is all");
        assert!(rooms.try_hold(20 << 10).is_none());
        let mut second = Box::pin(rooms.hold(60 << 10, later()));
        assert!(timeout_at(Instant::now(), second.as_mut()).await.is_err());
        first.shrink(30 << 10);
        assert!(second.await.unwrap().is_held());
        assert_eq!(rooms.free_bytes(), 70 << 10, "the second is given back");
        drop(first.clone());
        assert_eq!(rooms.free_bytes(), 70 << 10, "a clone is the same room");
        drop(first);
        assert_eq!(rooms.free_bytes(), 100 << 10);
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_time_of_its_request() {
        let rooms = Rooms::new(100 << 10);
        let _held = rooms.hold(90 << 10, later()).await.unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(rooms.hold(20 << 10, soon).await, Err(FetchError::NoRoom { bytes_max: 100 << 10, reached: false }));
        assert!(Instant::now() >= soon);
    }

    #[tokio::test]
    async fn a_body_that_turned_out_small_gives_all_back() {
        let rooms = Rooms::new(100 << 10);
        let mut room = rooms.hold(50 << 10, later()).await.unwrap();
        room.shrink(100);
        assert_eq!(rooms.free_bytes(), 100 << 10);
    }
}
