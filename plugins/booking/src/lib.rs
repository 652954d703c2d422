//! The agents that `trip` sends messages to. One component is served under several names, as `flight.wasm`, `hotel.wasm` and
//! `activity.wasm`; what it books is its name. A hotel asks before it books a room, and adds to a room that it has booked.

use kennel::prelude::*;

/// How long a booking takes: long enough to see two of them run side by side.
const WORK_MS: u32 = 200;

/// Books what it is named after: a flight, a hotel or an activity. A message that refers to a booking adds to that.
#[kennel::agent(asks = true, typical_ms = 200, examples = ["Rome in May"], tags = ["example"])]
fn booking(task: Task) -> Result<Outcome> {
    let name = task.info().agent;
    let about = task.references().iter().map(|id| task.related(id)).collect::<Result<Vec<_>>>()?;
    let mut wish = task.text();
    if let Some(own) = about.iter().find_map(|task| task.artifact(&name)) {
        wish = format!("{wish} (added to: {})", own.as_text());
    } else if name == "hotel" {
        let room = task.ask("A single or a double room?").one_of(["single", "double"]).text()?;
        wish = format!("{room} room, {wish}");
    }
    task.sleep(milliseconds(WORK_MS))?;
    task.publish(&name, format!("{name}: {wish}"))?;
    done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kennel::Artifact;
    use kennel::test::{Peer, Runner};

    #[test]
    fn it_books_what_it_is_named_after() {
        let run = Runner::new("to Rome").named("flight").run(booking);
        assert_eq!(run.artifact("flight").as_text(), "flight: to Rome");
    }

    #[test]
    fn a_hotel_asks_which_room() {
        let run = Runner::new("in Rome").named("hotel").answer("a tent").answer("double").run(booking);
        assert_eq!(run.artifact("hotel").as_text(), "hotel: double room, in Rome");
    }

    #[test]
    fn it_adds_to_its_own_booking_and_to_no_other() {
        let room = Peer::publishes(Artifact::text("hotel", "hotel: double room"));
        let flight = Peer::publishes(Artifact::text("flight", "flight: to Rome"));
        let run = Runner::new("breakfast").named("hotel").refer("f-1", flight).refer("h-1", room).run(booking);
        assert_eq!(run.artifact("hotel").as_text(), "hotel: breakfast (added to: hotel: double room)");
        assert!(run.asked().is_empty());
    }
}
