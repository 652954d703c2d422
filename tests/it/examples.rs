//! Agents that work with others: what of them needs nobody else. With others they are tested where those are.

use crate::harness::{Kennel, id_of, state_of, status_text, text_of};
use crate::http::Request;

#[test]
fn one_component_books_what_each_of_its_names_says() {
    let kennel = Kennel::with(&[]).agent_as("flight", "booking").agent_as("hotel", "booking").start();
    let flight = kennel.ask("flight", "to Rome");
    assert_eq!(text_of(&flight["artifacts"][0]), "flight: to Rome");
    let asked = kennel.ask("hotel", "in Rome");
    assert_eq!(status_text(&asked), "A single or a double room?");
    let hotel = kennel.answer("hotel", &id_of(&asked), "double");
    assert_eq!(text_of(&hotel["artifacts"][0]), "hotel: double room, in Rome");
}

#[test]
fn a_booking_under_no_special_name_is_one_too() {
    let kennel = Kennel::start(&["booking"]);
    assert_eq!(text_of(&kennel.ask("booking", "a table")["artifacts"][0]), "booking: a table");
}

#[test]
fn a_trip_without_its_agents_fails() {
    let kennel = Kennel::start(&["trip"]);
    assert_eq!(state_of(&kennel.ask("trip", "Rome")), "TASK_STATE_FAILED");
}

#[test]
fn a_fetcher_is_served_before_it_is_granted_anything() {
    let kennel = Kennel::start(&["fetcher"]);
    let card = kennel.send(&Request::new("GET", "/agents/fetcher/.well-known/agent-card.json")).json();
    assert_eq!(card["skills"][0]["examples"][0], "/reports/today");
}
