//! The keys of the attribute: one table that says how each is read, and what they come to.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, Result, Token};

use crate::value::{self, Named, Text};

/// A key and its value as they stand in the source.
struct Entry {
    key: Ident,
    value: Expr,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key: Ident = input.parse()?;
        if !input.peek(Token![=]) {
            return Err(Error::new_spanned(&key, format!("`{key}` wants a value: `{key} = ..`")));
        }
        input.parse::<Token![=]>()?;
        Ok(Self { key, value: input.parse()? })
    }
}

/// How the value of a key is read into what the keys come to.
type Read<T> = fn(&mut T, &Expr) -> Result<()>;

/// Everything that the attribute says. What is absent has its default where it is used.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) name: Option<Text>,
    pub(crate) version: Option<Text>,
    pub(crate) description: Option<Text>,
    pub(crate) documentation_url: Option<Text>,
    pub(crate) icon_url: Option<Text>,
    pub(crate) provider: Option<(Text, Text)>,
    pub(crate) examples: Vec<Text>,
    pub(crate) tags: Vec<Text>,
    pub(crate) skills: Vec<Skill>,
    pub(crate) input_modes: Vec<Text>,
    pub(crate) output_modes: Vec<Text>,
    pub(crate) asks: bool,
    pub(crate) streams: bool,
    pub(crate) typical_ms: Option<u32>,
    pub(crate) reply: Option<&'static str>,
    pub(crate) mailbox: Option<&'static str>,
    pub(crate) extensions: Vec<Named<Text>>,
    pub(crate) settings: Vec<Named<Text>>,
    /// What the agent asks for, as records of the card, kind by kind.
    pub(crate) requests: Vec<TokenStream>,
}

/// Every key, in the order in which a mistake lists them.
const KEYS: &[(&str, Read<Keys>)] = &[
    ("name", |keys, value| set(&mut keys.name, value::text(value))),
    ("version", |keys, value| set(&mut keys.version, value::text(value))),
    ("description", |keys, value| set(&mut keys.description, value::text(value))),
    ("examples", |keys, value| fill(&mut keys.examples, value::list(value, value::text))),
    ("tags", |keys, value| fill(&mut keys.tags, value::list(value, value::text))),
    ("skills", |keys, value| fill(&mut keys.skills, skills(value))),
    ("asks", |keys, value| fill(&mut keys.asks, value::flag(value))),
    ("streams", |keys, value| fill(&mut keys.streams, value::flag(value))),
    ("typical_ms", |keys, value| set(&mut keys.typical_ms, value::number(value))),
    ("reply", |keys, value| set(&mut keys.reply, value::word(value, &["task", "message", "auto"]))),
    ("mailbox", |keys, value| set(&mut keys.mailbox, value::word(value, &["queue", "refuse"]))),
    ("input_modes", |keys, value| fill(&mut keys.input_modes, value::list(value, value::media_type))),
    ("output_modes", |keys, value| fill(&mut keys.output_modes, value::list(value, value::media_type))),
    ("peers", |keys, value| request(keys, "peer", value, value::text)),
    ("http", |keys, value| request(keys, "http", value, value::http_request)),
    ("credentials", |keys, value| request(keys, "credential", value, value::text)),
    ("kv", |keys, value| request(keys, "kv", value, |scope| value::word(scope, SCOPES))),
    ("settings", |keys, value| fill(&mut keys.settings, value::list(value, |one| required(one, value::text)))),
    ("extensions", |keys, value| fill(&mut keys.extensions, value::list(value, |one| required(one, value::uri)))),
    ("documentation_url", |keys, value| set(&mut keys.documentation_url, value::url(value))),
    ("icon_url", |keys, value| set(&mut keys.icon_url, value::url(value))),
    ("provider", |keys, value| set(&mut keys.provider, value::pair(value))),
];

/// Scopes of durable values, as in `kv.wit`.
const SCOPES: &[&str] = &["agent", "context", "caller", "tenant"];

/// One skill of several; a card without `skills` has one, made of the card's own texts.
#[derive(Default)]
pub(crate) struct Skill {
    pub(crate) id: Option<Text>,
    pub(crate) name: Option<Text>,
    pub(crate) description: Option<Text>,
    pub(crate) tags: Vec<Text>,
    pub(crate) examples: Vec<Text>,
    pub(crate) input_modes: Vec<Text>,
    pub(crate) output_modes: Vec<Text>,
}

const SKILL_KEYS: &[(&str, Read<Skill>)] = &[
    ("id", |skill, value| set(&mut skill.id, value::text(value))),
    ("name", |skill, value| set(&mut skill.name, value::text(value))),
    ("description", |skill, value| set(&mut skill.description, value::text(value))),
    ("tags", |skill, value| fill(&mut skill.tags, value::list(value, value::text))),
    ("examples", |skill, value| fill(&mut skill.examples, value::list(value, value::text))),
    ("input_modes", |skill, value| fill(&mut skill.input_modes, value::list(value, value::media_type))),
    ("output_modes", |skill, value| fill(&mut skill.output_modes, value::list(value, value::media_type))),
];

impl Parse for Keys {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let entries = Punctuated::<Entry, Token![,]>::parse_terminated(input)?;
        let keys: Self = read(KEYS, entries.iter().map(|entry| (&entry.key, &entry.value)))?;
        let own = entries.iter().find(|entry| entry.key == "examples" || entry.key == "tags");
        match own {
            Some(Entry { key, .. }) if !keys.skills.is_empty() => {
                Err(Error::new_spanned(key, format!("with `skills`, each skill has its own `{key}`: move them there")))
            }
            _ => Ok(keys),
        }
    }
}

/// Reads entries by a table. All that is wrong is told at once.
fn read<'a, T: Default>(table: &[(&str, Read<T>)], entries: impl Iterator<Item = (&'a Ident, &'a Expr)>) -> Result<T> {
    let mut target = T::default();
    let mut seen: Vec<&Ident> = Vec::new();
    let results = entries.map(|(key, value)| {
        let Some((_, read)) = table.iter().find(|(name, _)| key == name) else {
            let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
            return Err(Error::new_spanned(key, format!("unknown key `{key}`, expected one of: {}", names.join(", "))));
        };
        if seen.contains(&key) {
            return Err(Error::new_spanned(key, format!("`{key}` is given twice")));
        }
        seen.push(key);
        read(&mut target, value)
    });
    value::all(results)?;
    Ok(target)
}

fn set<T>(target: &mut Option<T>, value: Result<T>) -> Result<()> {
    *target = Some(value?);
    Ok(())
}

fn fill<T>(target: &mut T, value: Result<T>) -> Result<()> {
    *target = value?;
    Ok(())
}

fn required(value: &Expr, read: fn(&Expr) -> Result<Text>) -> Result<Named<Text>> {
    value::named_or_required(value, read)
}

/// Adds what is asked for of one kind, each with its reason.
fn request<T: quote::ToTokens>(
    keys: &mut Keys,
    kind: &str,
    value: &Expr,
    read: impl Fn(&Expr) -> Result<T>,
) -> Result<()> {
    let asked = value::list(value, |one| value::named(one, &read))?;
    keys.requests.extend(asked.into_iter().map(|Named { name, text, .. }| {
        quote!(::kennel::card::Request {
            kind: ::std::string::String::from(#kind),
            name: ::std::string::String::from(#name),
            reason: #text,
        })
    }));
    Ok(())
}

fn skills(value: &Expr) -> Result<Vec<Skill>> {
    let skills = value::list(value, skill)?;
    if skills.is_empty() {
        return Err(Error::new_spanned(value, "a card has at least one skill; leave the key out to have it made"));
    }
    let id_of = |skill: &Skill| skill.id.as_ref().and_then(Text::known).map(str::to_owned);
    let mut ids = HashSet::new();
    match skills.iter().find(|skill| id_of(skill).is_some_and(|id| !ids.insert(id))) {
        Some(Skill { id, .. }) => {
            Err(Error::new_spanned(id.as_ref().map(Text::source), "another skill has the same id"))
        }
        None => Ok(skills),
    }
}

/// `skill(id = "..", name = "..", description = "..")`.
fn skill(value: &Expr) -> Result<Skill> {
    const SHAPE: &str = "expected `skill(id = \"..\", name = \"..\", description = \"..\")`";
    let wrong = |place: &Expr| Error::new_spanned(place, SHAPE);
    let Expr::Call(call) = value else { return Err(wrong(value)) };
    if !matches!(&*call.func, Expr::Path(path) if path.path.is_ident("skill")) {
        return Err(wrong(&call.func));
    }
    let entries = value::all(call.args.iter().map(|argument| match argument {
        Expr::Assign(assign) => match &*assign.left {
            Expr::Path(path) => Ok((path.path.require_ident()?, &*assign.right)),
            other => Err(wrong(other)),
        },
        other => Err(wrong(other)),
    }))?;
    let skill: Skill = read(SKILL_KEYS, entries.into_iter())?;
    let missing = [("id", &skill.id), ("name", &skill.name), ("description", &skill.description)];
    match missing.iter().find(|(_, text)| text.is_none()) {
        Some((key, _)) => Err(Error::new_spanned(call, format!("the skill has no `{key}`"))),
        None => Ok(skill),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expects errors that point to these places and begin with these words.
    fn check(keys: &str, expected: &[(&str, &str)]) {
        let errors = syn::parse_str::<Keys>(keys).map(|_| ()).unwrap_err();
        let errors: Vec<_> = errors.into_iter().collect();
        assert_eq!(errors.len(), expected.len(), "{keys}: {errors:?}");
        for (error, (place, start)) in errors.iter().zip(expected) {
            assert_eq!(error.span().source_text().as_deref(), Some(*place), "{keys}: {error}");
            assert!(error.to_string().starts_with(start), "{keys}: {error}");
        }
    }

    fn good(keys: &str) -> Keys {
        syn::parse_str(keys).unwrap_or_else(|error| panic!("{keys}: {error}"))
    }

    #[test]
    fn every_key_is_read() {
        let keys = good(
            r#"name = "a", version = "1.2.3", description = "d", examples = ["e"], tags = ["t"], asks = true,
            streams = true, typical_ms = 1_500, reply = auto, mailbox = queue, input_modes = ["text/plain"],
            output_modes = ["image/png"], peers = ["flight", ("hotel", "To sleep.")], http = ["GET https://x.example"],
            credentials = ["c"], kv = [agent, (caller, "To know.")], settings = ["s", ("r", "Why.", required)],
            extensions = [("urn:x:1", "How.")], documentation_url = "https://x", icon_url = ICON,
            provider = ("X", "https://x"),"#,
        );
        assert_eq!(keys.name.unwrap().known(), Some("a"));
        assert_eq!((keys.asks, keys.streams, keys.typical_ms), (true, true, Some(1_500)));
        assert_eq!((keys.reply, keys.mailbox), (Some("auto"), Some("queue")));
        assert_eq!(keys.requests.len(), 6);
        assert_eq!(keys.settings.iter().map(|setting| setting.required).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_wrong_key_lists_the_right_ones() {
        check(
            "exmaples = []",
            &[("exmaples", "unknown key `exmaples`, expected one of: name, version, description, examples")],
        );
        check("asks", &[("asks", "`asks` wants a value")]);
        check("asks = true, asks = true", &[("asks", "`asks` is given twice")]);
    }

    #[test]
    fn a_wrong_value_is_told_at_its_place() {
        check("name = 5", &[("5", "expected a text in quotes")]);
        check("name = echo", &[("echo", "expected a text in quotes")]);
        check("name = \" \"", &[("\" \"", "the text is empty")]);
        check("asks = yes", &[("yes", "expected true or false")]);
        check("typical_ms = -1", &[("-1", "expected a whole number")]);
        check("typical_ms = 5000000000", &[("5000000000", "expected a whole number")]);
        check("reply = stream", &[("stream", "expected one of: task, message, auto")]);
        check("mailbox = \"queue\"", &[("\"queue\"", "expected one of: queue, refuse")]);
        check("examples = \"e\"", &[("\"e\"", "expected a list")]);
        check("input_modes = [\"text\"]", &[("\"text\"", "expected a media type")]);
        check("icon_url = \"/icon.png\"", &[("\"/icon.png\"", "expected an absolute URL")]);
        check("http = [\"https://x\"]", &[("\"https://x\"", "expected a method or `*`, a blank and a URL")]);
        check("http = [\"get https://x\"]", &[("\"get https://x\"", "expected a method or `*`, a blank and a URL")]);
        check("kv = [global]", &[("global", "expected one of: agent, context, caller, tenant")]);
        check("settings = [(\"a\", \"b\", needed)]", &[("needed", "expected the word required")]);
        check(
            "peers = [(\"a\", \"b\", required)]",
            &[("(\"a\", \"b\", required)", "expected a name, or a name and a text")],
        );
        check("provider = \"X\"", &[("\"X\"", "expected a name and a URL")]);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        check(
            "name = 1, tags = [2, \"t\", 3]",
            &[("1", "expected a text"), ("2", "expected a text"), ("3", "expected a text")],
        );
    }

    #[test]
    fn skills_are_read_by_a_table_of_their_own() {
        let keys = good(r#"skills = [skill(id = "a", name = "A", description = "Does a.", examples = ["x"])]"#);
        assert_eq!(keys.skills[0].id.as_ref().and_then(Text::known), Some("a"));
        check("skills = []", &[("[]", "a card has at least one skill")]);
        let twin = r#"skill(id = "a", name = "A", description = "d")"#;
        check(&format!("skills = [{twin}, {twin}]"), &[("\"a\"", "another skill has the same id")]);
        check("skills = [\"a\"]", &[("\"a\"", "expected `skill(")]);
        check(
            "skills = [skill(id = \"a\", name = \"A\")]",
            &[("skill(id = \"a\", name = \"A\")", "the skill has no `description`")],
        );
        check("skills = [skill(ids = \"a\")]", &[("ids", "unknown key `ids`, expected one of: id, name")]);
        check(
            "examples = [\"e\"], skills = [skill(id = \"a\", name = \"A\", description = \"d\")]",
            &[("examples", "with `skills`, each skill has its own `examples`")],
        );
    }
}
