//! The attribute of `kennel-sdk` that makes an A2A agent of one function. Use it as `#[kennel::agent]`, never this crate
//! directly: what it makes names the crate `kennel`.

#![warn(missing_docs)]

mod expand;

mod description;
mod keys;
mod signature;
mod value;

use proc_macro::TokenStream;

/// Makes an agent of the function `fn name(task: Task) -> Result<Outcome>`. A crate has one.
///
/// The doc comment becomes the description of the agent card. All keys are optional:
///
/// | Key | Value | Without it |
/// |---|---|---|
/// | `name` | for people | the name of the function, `_` as `-` |
/// | `version` | the agent's own version | the version of the crate |
/// | `description` | what the agent is for: people and other agents choose by it | the doc comment |
/// | `examples` | prompts that show it at work: `["3 every 100ms"]` | none |
/// | `tags` | key words: `["time"]` | none |
/// | `skills` | `[skill(id = "add", name = "Add", description = "..", tags = [..], examples = [..], input_modes = [..], output_modes = [..])]` | one skill made of the above |
/// | `asks` | `true`: it may ask for input or authorization | `false` |
/// | `streams` | `true`: it sends progress or artifacts in pieces | `false` |
/// | `typical_ms` | how long a task usually takes, waits for people left out | not said |
/// | `reply` | `task`, `message` (a bare message, nothing stored) or `auto` (a message if it is fast) | `task` |
/// | `mailbox` | `queue` keeps messages that come while it works, `refuse` refuses them | `refuse` |
/// | `input_modes`, `output_modes` | media types: `["text/plain", "application/json"]` | `["text/plain"]` |
/// | `peers` | agents it sends messages to, by name or url prefix: `["flight", ("hotel", "To book rooms.")]` | none |
/// | `http` | requests it makes: `[("GET https://api.example.com/v1", "To look up prices.")]` | none |
/// | `credentials` | credentials it uses, by name: `[("calendar", "To see free days.")]` | none |
/// | `kv` | scopes of durable values: `[agent, (caller, "To remember a language.")]`, of `agent`, `context`, `caller`, `tenant` | none |
/// | `settings` | what the operator may set: `["city", ("key", "The account to use.", required)]` | none |
/// | `extensions` | A2A extensions: `["https://..", ("https://..", "How it is used.", required)]` | none |
/// | `documentation_url`, `icon_url` | absolute URLs | none |
/// | `provider` | who stands behind it: `("Example Ltd", "https://example.com")` | the operator |
///
/// What is in round brackets is a name and a sentence for the operator. Texts are literals, constants, or macros as `env!`.
///
/// Beside the function the attribute makes a type `KennelAgent`, by which a test sees the card: `KennelAgent::card()`.
///
/// ```
/// use kennel::prelude::*;
///
/// /// Gives back what it is sent.
/// #[kennel::agent(examples = ["hello"])]
/// fn echo(task: Task) -> Result<Outcome> {
///     task.publish("echo", task.text())?;
///     done()
/// }
/// ```
#[proc_macro_attribute]
pub fn agent(keys: TokenStream, item: TokenStream) -> TokenStream {
    expand::agent(keys.into(), item.into()).into()
}
