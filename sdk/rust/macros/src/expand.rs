//! The expansion: the function as it is, the type `KennelAgent` beside it, and the exports of the component.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Error, ItemFn, Result};

use crate::keys::{Keys, Skill};
use crate::value::{Named, Text};
use crate::{description, signature};

/// Everything that stands in the place of the function. With mistakes it is the function and what is wrong, so that the compiler
/// does not complain about missing things on top.
pub(crate) fn agent(keys: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = expand(keys, item.clone());
    expanded.unwrap_or_else(|error| [error.to_compile_error(), item].into_iter().collect())
}

fn expand(keys: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let (function, keys) = both(signature::function(item), syn::parse2::<Keys>(keys))?;
    let name = &function.sig.ident;
    let card = card(&keys, &function)?;
    let run = run(name);
    let doc = format!("The agent that is made of the function `{name}`.");
    Ok(quote! {
        #[allow(clippy::needless_pass_by_value, reason = "the task of an agent is its own, whether it consumes it or not")]
        #function

        #[doc = #doc]
        #[derive(Clone, Copy, Debug)]
        pub struct KennelAgent;

        impl ::kennel::Agent for KennelAgent {
            fn card() -> ::kennel::card::Card { #card }
            #run
        }

        #[cfg(target_family = "wasm")]
        const _: () = {
            type Component = ::kennel::Exported<KennelAgent>;
            ::kennel::bindings::export!(Component with_types_in ::kennel::bindings);
        };
    })
}

/// Two good values, or what is wrong with either.
fn both<A, B>(one: Result<A>, other: Result<B>) -> Result<(A, B)> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(mut error), Err(more)) => {
            error.combine(more);
            Err(error)
        }
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

/// The types of the function are checked here: a wrong one is an error at the function's name, with both types in it.
fn run(name: &Ident) -> TokenStream {
    let check = quote_spanned! {name.span()=>
        let agent: fn(::kennel::Task) -> ::kennel::Result<::kennel::Outcome> = #name;
    };
    quote! {
        fn run(task: ::kennel::Task) -> ::kennel::Result<::kennel::Outcome> {
            #check
            agent(task)
        }
    }
}

fn card(keys: &Keys, function: &ItemFn) -> Result<TokenStream> {
    let name = or(keys.name.as_ref(), || string(&function.sig.ident.to_string().replace('_', "-")));
    let version = or(keys.version.as_ref(), || quote!(::std::string::String::from(::core::env!("CARGO_PKG_VERSION"))));
    let description = description(keys, function)?;
    let (documentation_url, icon_url) = (option(keys.documentation_url.as_ref()), option(keys.icon_url.as_ref()));
    let provider = option(
        keys.provider
            .as_ref()
            .map(|(organization, url)| quote!(::kennel::card::Provider { organization: #organization, url: #url })),
    );
    let (input_modes, output_modes) = (modes(&keys.input_modes), modes(&keys.output_modes));
    let skills = skills(keys, &name, &description);
    let extensions = keys.extensions.iter().map(extension);
    let settings = keys.settings.iter().map(setting);
    let reply_mode = variant("ReplyMode", keys.reply.unwrap_or("task"));
    let mailbox = variant("Mailbox", keys.mailbox.unwrap_or("refuse"));
    let (streams, asks, typical_ms) = (keys.streams, keys.asks, option(keys.typical_ms.as_ref()));
    let requests = &keys.requests;
    Ok(quote! {
        ::kennel::card::Card {
            name: #name,
            description: #description,
            version: #version,
            provider: #provider,
            documentation_url: #documentation_url,
            icon_url: #icon_url,
            default_input_modes: #input_modes,
            default_output_modes: #output_modes,
            skills: #skills,
            extensions: ::std::vec![#(#extensions),*],
            reply_mode: #reply_mode,
            mailbox: #mailbox,
            hints: ::kennel::card::Hints { streams: #streams, asks: #asks, typical_ms: #typical_ms },
            settings: ::std::vec![#(#settings),*],
            requests: ::std::vec![#(#requests),*],
            extra: ::core::option::Option::None,
        }
    })
}

fn description(keys: &Keys, function: &ItemFn) -> Result<TokenStream> {
    if let Some(text) = &keys.description {
        return Ok(text.to_token_stream());
    }
    let text = description::of(&function.attrs);
    text.map(|text| string(&text)).ok_or_else(|| {
        let what =
            "an agent is chosen by its description: write a doc comment over the function, or `description = \"..\"`";
        Error::new_spanned(&function.sig.ident, what)
    })
}

fn skills(keys: &Keys, name: &TokenStream, description: &TokenStream) -> TokenStream {
    if keys.skills.is_empty() {
        let (tags, examples) = (&keys.tags, &keys.examples);
        return quote!(::std::vec![::kennel::card::Skill {
            id: #name,
            name: #name,
            description: #description,
            tags: ::std::vec![#(#tags),*],
            examples: ::std::vec![#(#examples),*],
            input_modes: ::std::vec![],
            output_modes: ::std::vec![],
        }]);
    }
    let skills = keys.skills.iter().map(skill);
    quote!(::std::vec![#(#skills),*])
}

fn skill(skill: &Skill) -> TokenStream {
    let Skill { id, name, description, tags, examples, input_modes, output_modes } = skill;
    quote!(::kennel::card::Skill {
        id: #id,
        name: #name,
        description: #description,
        tags: ::std::vec![#(#tags),*],
        examples: ::std::vec![#(#examples),*],
        input_modes: ::std::vec![#(#input_modes),*],
        output_modes: ::std::vec![#(#output_modes),*],
    })
}

fn extension(extension: &Named<Text>) -> TokenStream {
    let Named { name, text, required } = extension;
    quote!(::kennel::card::Extension {
        uri: #name,
        description: #text,
        required: #required,
        params: ::core::option::Option::None,
    })
}

fn setting(setting: &Named<Text>) -> TokenStream {
    let Named { name, text, required } = setting;
    quote!(::kennel::card::Setting { name: #name, description: #text, required: #required })
}

fn modes(modes: &[Text]) -> TokenStream {
    if modes.is_empty() {
        quote!(::std::vec![::std::string::String::from("text/plain")])
    } else {
        quote!(::std::vec![#(#modes),*])
    }
}

/// A case of an enum of the card, by its word in the WIT.
fn variant(name: &str, word: &str) -> TokenStream {
    let mut case = word.to_owned();
    if let Some(first) = case.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let (name, case) = (Ident::new(name, Span::call_site()), Ident::new(&case, Span::call_site()));
    quote!(::kennel::card::#name::#case)
}

fn string(text: &str) -> TokenStream {
    quote!(::std::string::String::from(#text))
}

fn or(given: Option<&Text>, otherwise: impl Fn() -> TokenStream) -> TokenStream {
    given.map_or_else(otherwise, ToTokens::to_token_stream)
}

fn option(value: Option<impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: &str = "fn echo(task: Task) -> Result<Outcome> { done() }";

    #[test]
    fn an_agent_without_a_description_is_an_error_at_its_name() {
        let error = expand(TokenStream::new(), ECHO.parse().unwrap()).unwrap_err();
        assert_eq!(error.span().source_text().as_deref(), Some("echo"));
        assert!(error.to_string().starts_with("an agent is chosen by its description"), "{error}");
    }

    #[test]
    fn mistakes_keep_the_function() {
        let tokens = agent("naem = 1".parse().unwrap(), ECHO.parse().unwrap()).to_string();
        assert!(tokens.contains("compile_error") && tokens.contains("fn echo"), "{tokens}");
    }

    #[test]
    fn the_expansion_is_valid_items() {
        let tokens = agent("description = \"d\", reply = auto".parse().unwrap(), ECHO.parse().unwrap());
        let file: syn::File = syn::parse2(tokens.clone()).unwrap();
        assert_eq!(file.items.len(), 4, "{tokens}");
        assert!(tokens.to_string().contains("ReplyMode :: Auto"), "{tokens}");
    }
}
