//! Waiting for work that goes on outside: messages to other agents and HTTP exchanges.
//!
//! What is under way is a value, [`Child`](crate::peer::Child) or [`Exchange`](crate::http::Exchange), and goes on whether
//! somebody waits or not. So parallel work is: start all, then wait.
//!
//! | For | Use |
//! |---|---|
//! | all of a few, of one type or of several | [`join`] |
//! | the first of several | [`race`] |
//! | each as soon as it is ready | [`select`] |
//! | one, but not for ever | [`within`] |
//! | many, only some of them at once | [`parallel`] |
//!
//! ```
//! use kennel::prelude::*;
//!
//! /// Asks two agents for a price at the same time, and takes the answer that comes first.
//! #[kennel::agent(peers = ["north", "south"])]
//! fn price(task: Task) -> Result<Outcome> {
//!     let first = race([task.peer("north").send(task.text())?, task.peer("south").send(task.text())?])?;
//!     done_with(first.text())
//! }
//! # use kennel::test::{Peer, Runner};
//! # let run = Runner::new("?").peer("north", Peer::from("5").after(seconds(9))).peer("south", "6").run(price);
//! # assert_eq!(run.text(), "6");
//! ```

use std::time::Duration;

use crate::error::{Result, fail};
use crate::host::wait;
use crate::time::to_ms_option;

/// Something the host is working on for this task.
///
/// Its number stays good across parking and checkpoints until its answer has been taken, so it may be kept in a checkpoint.
pub trait Pending {
    /// The number by which the host knows it; unique within the task.
    fn pending(&self) -> u32;
}

/// Something under way that comes to an end of its own.
pub trait Finish: Pending + Sized {
    /// What comes of it.
    type Output;

    /// Waits for the end and gives what came of it. **Parks.**
    fn finish(self) -> Result<Self::Output>;

    /// Ends it early, because nobody needs it any more.
    fn give_up(self) -> Result<()>;
}

/// Several things under way: an array, a `Vec`, or up to four of different types in a tuple.
pub trait Join {
    /// What comes of them, in the same order and shape.
    type Output;

    /// Their numbers.
    fn pendings(&self) -> Vec<u32>;

    /// Waits for one after the other.
    fn finish(self) -> Result<Self::Output>;
}

/// Waits until all are finished and gives what came of them, in the same order. If one goes wrong its error is the answer; a
/// message to another agent goes wrong unless it is [`done`](crate::peer::Child::done). **Parks.**
///
/// ```
/// # use kennel::prelude::*;
/// # fn both(task: &Task) -> Result<()> {
/// let room = task.peer("hotel").send("a room in Rome")?;
/// let weather = task.get("https://weather.example.com/rome").start()?;
/// let (room, weather) = join((room, weather))?;
/// # drop((room.text(), weather.text())); Ok(())
/// # }
/// ```
pub fn join<J: Join>(things: J) -> Result<J::Output> {
    // One wait instead of one for each: the task wakes once.
    if let pendings @ [_, _, ..] = things.pendings().as_slice() {
        wait::all(pendings, None)?;
    }
    things.finish()
}

/// Waits until the first is finished, gives what came of it, and gives the others up. **Parks.**
pub fn race<T: Finish>(things: impl IntoIterator<Item = T>) -> Result<T::Output> {
    let mut things: Vec<T> = things.into_iter().collect();
    let first = index(wait::any(&numbers(&things), None)?.unwrap_or_default());
    let first = things.swap_remove(first);
    things.into_iter().try_for_each(T::give_up)?;
    first.finish()
}

/// Takes out of `things` the one that is ready first. None if there is none, or if the time is up: what is in `things` goes on.
/// **Parks.**
///
/// ```
/// # use kennel::prelude::*;
/// # use kennel::wait::select;
/// # fn every(task: &Task) -> Result<()> {
/// let mut offers = vec![task.peer("north").send("a bed")?, task.peer("south").send("a bed")?];
/// while let Some(offer) = select(&mut offers, None)? {
///     task.publish("offer", offer.done()?.text())?;
/// }
/// # Ok(())
/// # }
/// ```
pub fn select<T: Pending>(things: &mut Vec<T>, timeout: impl Into<Option<Duration>>) -> Result<Option<T>> {
    if things.is_empty() {
        return Ok(None);
    }
    let first = wait::any(&numbers(things), to_ms_option(timeout))?;
    Ok(first.map(|first| things.remove(index(first))))
}

/// Waits until it is finished, at most this long. None if the time is up: then it is given up. **Parks.**
///
/// ```
/// # use kennel::prelude::*;
/// # fn quote(task: &Task) -> Result<String> {
/// let quote = task.get("https://quotes.example.com/today").start()?;
/// Ok(within(seconds(3), quote)?.map_or("No quote today.".into(), |quote| quote.text()))
/// # }
/// ```
pub fn within<T: Finish>(time: Duration, thing: T) -> Result<Option<T::Output>> {
    if wait::any(&[thing.pending()], to_ms_option(time))?.is_some() {
        return thing.finish().map(Some);
    }
    thing.give_up()?;
    Ok(None)
}

/// Starts work for each item, at most `most` of them at once, and gives what came of them in the order of the items. If one goes
/// wrong its error is the answer. A task may have 64 things under way. **Parks.**
///
/// ```
/// # use kennel::prelude::*;
/// # use kennel::wait::parallel;
/// # fn translate(task: &Task, pages: Vec<String>) -> Result<String> {
/// let pages = parallel(8, pages, |page| task.peer("translator").send(page))?;
/// Ok(pages.iter().map(|page| page.text()).collect())
/// # }
/// ```
pub fn parallel<I, T: Finish>(
    most: usize,
    items: impl IntoIterator<Item = I>,
    mut start: impl FnMut(I) -> Result<T>,
) -> Result<Vec<T::Output>> {
    let mut items = items.into_iter();
    let (mut running, mut places, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        for item in items.by_ref().take(most.max(1) - running.len()) {
            places.push(outputs.len());
            outputs.push(None);
            running.push(start(item)?);
        }
        if running.is_empty() {
            return Ok(outputs.into_iter().flatten().collect());
        }
        let first = index(wait::any(&numbers(&running), None)?.unwrap_or_default());
        let (place, output) = (places.remove(first), running.remove(first).finish()?);
        if let Some(slot) = outputs.get_mut(place) {
            *slot = Some(output);
        }
    }
}

pub(crate) fn any(things: &[&dyn Pending], timeout: Option<Duration>) -> Result<Option<usize>> {
    let numbers: Vec<u32> = things.iter().map(|thing| thing.pending()).collect();
    Ok(wait::any(&numbers, to_ms_option(timeout))?.map(index))
}

pub(crate) fn all(things: &[&dyn Pending], timeout: Option<Duration>) -> Result<bool> {
    let numbers: Vec<u32> = things.iter().map(|thing| thing.pending()).collect();
    wait::all(&numbers, to_ms_option(timeout))
}

fn numbers<T: Pending>(things: &[T]) -> Vec<u32> {
    things.iter().map(Pending::pending).collect()
}

/// A position in a list that the host gives; lists are short.
fn index(first: u32) -> usize {
    first as usize
}

impl<T: Finish> Join for Vec<T> {
    type Output = Vec<T::Output>;

    fn pendings(&self) -> Vec<u32> {
        numbers(self)
    }

    fn finish(self) -> Result<Self::Output> {
        self.into_iter().map(T::finish).collect()
    }
}

impl<T: Finish, const N: usize> Join for [T; N] {
    type Output = [T::Output; N];

    fn pendings(&self) -> Vec<u32> {
        numbers(self)
    }

    fn finish(self) -> Result<Self::Output> {
        let outputs = self.into_iter().map(T::finish).collect::<Result<Vec<_>>>()?;
        outputs.try_into().map_err(|_| fail("join", "An answer is missing."))
    }
}

macro_rules! join_tuples {
    ($(($($name:ident),+))*) => {$(
        impl<$($name: Finish),+> Join for ($($name,)+) {
            type Output = ($($name::Output,)+);

            fn pendings(&self) -> Vec<u32> {
                #[expect(non_snake_case, reason = "a variable for each type, by its name")]
                let ($($name,)+) = self;
                vec![$($name.pending()),+]
            }

            fn finish(self) -> Result<Self::Output> {
                #[expect(non_snake_case, reason = "a variable for each type, by its name")]
                let ($($name,)+) = self;
                Ok(($($name.finish()?,)+))
            }
        }
    )*};
}

join_tuples! { (A, B) (A, B, C) (A, B, C, D) }
