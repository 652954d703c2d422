//! The cards that the attribute makes, seen as the host sees them: through agents written as an author writes them.

use kennel::Agent;
use kennel::card::{Mailbox, ReplyMode, Request};
use kennel::prelude::*;

mod small {
    use super::*;

    /// Gives back
    /// what it is sent.
    #[kennel::agent(examples = ["hello"])]
    pub(crate) fn small_echo(task: Task) -> Result<Outcome> {
        task.publish("echo", task.text())?;
        done()
    }
}

mod large {
    use super::*;

    const ICON: &str = "https://example.com/icon.png";

    #[kennel::agent(
        name = "Trip planner",
        version = "2.0.0",
        description = concat!("Books ", "trips."),
        skills = [
            skill(id = "book", name = "Book", description = "Books a trip.", tags = ["travel"], examples = ["Rome"]),
            skill(id = "sum", name = "Sum", description = "Adds costs.", output_modes = ["application/json"]),
        ],
        asks = true,
        streams = true,
        typical_ms = 30_000,
        reply = auto,
        mailbox = queue,
        input_modes = ["text/plain", "application/json"],
        output_modes = ["text/calendar"],
        http = [("GET https://api.example.com/", "To find flights.")],
        credentials = ["calendar"],
        peers = ["flight", ("hotel", "To book rooms.")],
        kv = [(caller, "To remember a home town.")],
        settings = [("currency", "What prices are shown in."), ("account", "Who pays.", required)],
        extensions = [("https://example.com/ext/v1", "Seats are asked for.", required)],
        documentation_url = "https://example.com/docs",
        icon_url = ICON,
        provider = ("Example Ltd", "https://example.com"),
    )]
    pub(crate) fn trip(mut task: Task) -> Result<Outcome> {
        task = Task::new(kennel::Turn { message: task.message().clone(), checkpoint: None, generation: 1 });
        done_with(task.text())
    }
}

#[test]
fn a_function_and_a_doc_comment_are_a_whole_card() {
    let card = small::KennelAgent::card();
    assert_eq!((card.name.as_str(), card.version.as_str()), ("small-echo", env!("CARGO_PKG_VERSION")));
    assert_eq!(card.description, "Gives back what it is sent.");
    assert_eq!((card.default_input_modes, card.default_output_modes), (text(&["text/plain"]), text(&["text/plain"])));
    assert_eq!((card.reply_mode, card.mailbox), (ReplyMode::Task, Mailbox::Refuse));
    assert_eq!((card.hints.asks, card.hints.streams, card.hints.typical_ms), (false, false, None));
    assert!(card.requests.is_empty() && card.settings.is_empty() && card.extensions.is_empty());

    let [skill] = card.skills.as_slice() else { panic!("one skill, not {:?}", card.skills) };
    assert_eq!((skill.id.as_str(), skill.name.as_str()), ("small-echo", "small-echo"));
    assert_eq!((skill.description.as_str(), &skill.examples), ("Gives back what it is sent.", &text(&["hello"])));
}

#[test]
fn every_key_reaches_the_card() {
    let card = large::KennelAgent::card();
    assert_eq!((card.name.as_str(), card.version.as_str()), ("Trip planner", "2.0.0"));
    assert_eq!(card.description, "Books trips.");
    assert_eq!((card.reply_mode, card.mailbox), (ReplyMode::Auto, Mailbox::Queue));
    assert_eq!((card.hints.asks, card.hints.streams, card.hints.typical_ms), (true, true, Some(30_000)));
    assert_eq!(card.default_input_modes, text(&["text/plain", "application/json"]));
    assert_eq!(card.default_output_modes, text(&["text/calendar"]));
    assert_eq!(card.documentation_url.as_deref(), Some("https://example.com/docs"));
    assert_eq!(card.icon_url.as_deref(), Some("https://example.com/icon.png"));
    assert_eq!(card.provider.map(|provider| provider.organization).as_deref(), Some("Example Ltd"));

    let skills: Vec<_> = card.skills.iter().map(|skill| (skill.id.as_str(), skill.tags.len())).collect();
    assert_eq!(skills, [("book", 1), ("sum", 0)]);
    let settings: Vec<_> = card.settings.iter().map(|setting| (setting.name.as_str(), setting.required)).collect();
    assert_eq!(settings, [("currency", false), ("account", true)]);
    let extensions: Vec<_> = card.extensions.iter().map(|one| (one.uri.as_str(), one.required)).collect();
    assert_eq!(extensions, [("https://example.com/ext/v1", true)]);
}

#[test]
fn requests_have_kinds_names_and_reasons() {
    let request = |kind: &str, name: &str, reason: &str| Request {
        kind: kind.to_owned(),
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    assert_eq!(
        large::KennelAgent::card().requests,
        [
            request("http", "GET https://api.example.com/", "To find flights."),
            request("credential", "calendar", ""),
            request("peer", "flight", ""),
            request("peer", "hotel", "To book rooms."),
            request("kv", "caller", "To remember a home town."),
        ]
    );
}

fn text(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}
