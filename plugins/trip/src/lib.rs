//! An agent that works by sending messages to others: one after the other where a result is needed, side by side where none is.
//!
//! Each message becomes a task of its own, in the context of this one, and names the tasks that it builds on. The agents are
//! `booking` under three names.

use kennel::prelude::*;

/// Books a flight, then a hotel and an activity at the same time, then breakfast at the hotel.
#[kennel::agent(
    examples = ["three days in Rome in May", "alone to Oslo"],
    tags = ["example"],
    streams = true,
    peers = [("flight", "To book a flight."), ("hotel", "To book a room."), ("activity", "To book something to do.")],
)]
fn trip(task: Task) -> Result<Outcome> {
    let room = if task.text().contains("alone") { "single" } else { "double" };

    task.progress(10, "flight")?;
    let flight = task.peer("flight").ask(task.text())?;

    task.progress(40, "hotel and activity")?;
    let near = format!("near the end of {}", flight.text());
    // The hotel asks which room; the answer is known here, so nobody has to wait for it.
    let stay = task.peer("hotel").refer(&flight).send(near)?.answering(|_| Ok(room));
    let fun = task.peer("activity").refer(&flight).send("something outdoors")?;
    let (stay, fun) = join((stay, fun))?;

    task.progress(80, "breakfast")?;
    let extra = task.peer("hotel").refer(&stay).ask("breakfast")?;
    task.publish("itinerary", [flight, stay, fun, extra].map(|booked| booked.text()).join("\n"))?;
    done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kennel::Agent;
    use kennel::info::TaskState;
    use kennel::test::{Peer, Runner};

    fn script(wish: &str) -> Runner {
        Runner::new(wish).card(KennelAgent::card()).peer("flight", "FL 12")
    }

    #[test]
    fn a_trip_is_four_tasks_that_build_on_each_other() {
        let run = script("Rome")
            .peer("hotel", Peer::asks("A single or a double room?").after(seconds(2)))
            .peer("hotel", Peer::from("double room").after(seconds(2)))
            .peer("activity", Peer::from("a walk").after(seconds(3)))
            .peer("hotel", "breakfast")
            .run(trip);
        assert_eq!(run.artifact("itinerary").as_text(), "FL 12\ndouble room\na walk\nbreakfast");
        let links: Vec<_> =
            run.sent().iter().map(|sent| (sent.to.as_str(), sent.message.reference_task_ids.join(" "))).collect();
        let expected =
            [("flight", ""), ("hotel", "flight-1"), ("activity", "flight-1"), ("hotel", ""), ("hotel", "hotel-1")];
        assert_eq!(links, expected.map(|(to, about)| (to, about.to_owned())));
        assert_eq!((run.sent()[3].task_id.as_deref(), run.sent()[3].text().as_str()), (Some("hotel-1"), "double"));
        assert_eq!(run.elapsed(), seconds(5), "hotel and activity at the same time:\n{run}");
    }

    #[test]
    fn whoever_travels_alone_gets_a_single_room() {
        let run = script("alone to Oslo")
            .peer("hotel", Peer::asks("Which room?"))
            .peer("hotel", "single room")
            .peer("activity", "a walk")
            .peer("hotel", "breakfast")
            .run(trip);
        assert_eq!(run.sent()[3].text(), "single");
    }

    #[test]
    fn a_trip_without_a_room_is_none() {
        let run = script("Rome").peer("hotel", Peer::refuses("full")).peer("activity", "a walk").run(trip);
        assert_eq!((run.state(), run.error().code.as_str()), (TaskState::Failed, "peer.rejected"));
    }
}
