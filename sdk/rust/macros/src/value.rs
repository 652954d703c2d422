//! Values of keys: each reader takes an expression and gives what it means, or an error at the place that is wrong.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{Error, Expr, ExprLit, Lit, Result};

/// A text: a literal, whose value is known here, or a constant or macro, which only the compiler knows.
#[derive(Clone)]
pub(crate) struct Text {
    source: Expr,
    known: Option<String>,
}

impl Text {
    /// What it says, if it is a literal.
    pub(crate) fn known(&self) -> Option<&str> {
        self.known.as_deref()
    }

    /// As it was written: where a mistake points to.
    pub(crate) fn source(&self) -> &Expr {
        &self.source
    }

    /// Checks what is known: a constant passes.
    fn must(self, hold: impl Fn(&str) -> bool, otherwise: &str) -> Result<Self> {
        match self.known() {
            Some(text) if !hold(text) => Err(Error::new_spanned(&self.source, otherwise)),
            _ => Ok(self),
        }
    }
}

impl ToTokens for Text {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let source = &self.source;
        tokens.extend(quote!(::std::string::String::from(#source)));
    }
}

/// A text that says something.
pub(crate) fn text(value: &Expr) -> Result<Text> {
    let known = match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        Expr::Macro(_) => None,
        Expr::Path(path) if is_constant(path) => None,
        _ => return Err(Error::new_spanned(value, "expected a text in quotes")),
    };
    Text { source: value.clone(), known }.must(|text| !text.trim().is_empty(), "the text is empty")
}

/// Constants are in capitals; anything else is a text whose quotes were forgotten.
fn is_constant(path: &syn::ExprPath) -> bool {
    let last = path.path.segments.last().map(|segment| segment.ident.to_string());
    last.is_some_and(|name| !name.chars().any(char::is_lowercase))
}

/// An absolute URL.
pub(crate) fn url(value: &Expr) -> Result<Text> {
    text(value)?.must(is_url, "expected an absolute URL as \"https://example.com\"")
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

/// A media type.
pub(crate) fn media_type(value: &Expr) -> Result<Text> {
    let is_media_type = |text: &str| {
        let halves = text.split_once('/');
        halves.is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty() && !text.contains(char::is_whitespace))
    };
    text(value)?.must(is_media_type, "expected a media type as \"text/plain\"")
}

/// An HTTP request as a card names it: a method or a star, a blank, and where it goes.
pub(crate) fn http_request(value: &Expr) -> Result<Text> {
    let is_request = |text: &str| {
        let is_method =
            |word: &str| word == "*" || (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()));
        text.split_once(' ').is_some_and(|(method, place)| is_method(method) && is_url(place))
    };
    text(value)?.must(is_request, "expected a method or `*`, a blank and a URL: \"GET https://api.example.com/v1\"")
}

/// An absolute URI: of an A2A extension.
pub(crate) fn uri(value: &Expr) -> Result<Text> {
    let is_uri = |text: &str| text.contains(':') && !text.contains(char::is_whitespace);
    text(value)?.must(is_uri, "expected a URI as \"https://example.com/extension/v1\"")
}

/// True or false.
pub(crate) fn flag(value: &Expr) -> Result<bool> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Bool(flag), .. }) => Ok(flag.value),
        _ => Err(Error::new_spanned(value, "expected true or false")),
    }
}

/// A whole number.
pub(crate) fn number(value: &Expr) -> Result<u32> {
    let wrong = || Error::new_spanned(value, "expected a whole number from 0 to 4294967295");
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// One of some words, without quotes: the word as it stands in the WIT.
pub(crate) fn word(value: &Expr, words: &[&'static str]) -> Result<&'static str> {
    let given = as_word(value).map(Ident::to_string);
    let known = words.iter().find(|word| given.as_deref() == Some(**word));
    known.copied().ok_or_else(|| Error::new_spanned(value, format!("expected one of: {}", words.join(", "))))
}

/// A list, each element read by the same reader. All that is wrong is told at once.
pub(crate) fn list<T>(value: &Expr, read: impl Fn(&Expr) -> Result<T>) -> Result<Vec<T>> {
    let Expr::Array(array) = value else {
        return Err(Error::new_spanned(value, "expected a list in square brackets"));
    };
    all(array.elems.iter().map(read))
}

/// All values, or all errors.
pub(crate) fn all<T>(values: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut good = Vec::new();
    let mut bad: Option<Error> = None;
    for value in values {
        match (value, &mut bad) {
            (Ok(value), _) => good.push(value),
            (Err(error), Some(errors)) => errors.combine(error),
            (Err(error), none) => *none = Some(error),
        }
    }
    bad.map_or(Ok(good), Err)
}

/// Something with a name that may say more about itself: `"a"`, `("a", "what for")` or `("a", "what for", required)`.
pub(crate) struct Named<T> {
    pub(crate) name: T,
    pub(crate) text: TokenStream,
    pub(crate) required: bool,
}

/// A name with a text.
pub(crate) fn named<T>(value: &Expr, read: impl Fn(&Expr) -> Result<T>) -> Result<Named<T>> {
    match parts(value).as_slice() {
        [name] => Ok(Named { name: read(name)?, text: quote!(::std::string::String::new()), required: false }),
        [name, about] => Ok(Named { name: read(name)?, text: text(about)?.to_token_stream(), required: false }),
        _ => Err(Error::new_spanned(value, "expected a name, or a name and a text in round brackets")),
    }
}

/// A name with a text that may be required.
pub(crate) fn named_or_required<T>(value: &Expr, read: impl Fn(&Expr) -> Result<T>) -> Result<Named<T>> {
    match parts(value).as_slice() {
        [name, about, last] if as_word(last).is_some_and(|word| word == "required") => {
            Ok(Named { name: read(name)?, text: text(about)?.to_token_stream(), required: true })
        }
        [_, _, last] => Err(Error::new_spanned(last, "expected the word required, or nothing")),
        _ => named(value, read),
    }
}

/// Two texts in round brackets.
pub(crate) fn pair(value: &Expr) -> Result<(Text, Text)> {
    match (value, parts(value).as_slice()) {
        (Expr::Tuple(_), [name, address]) => Ok((text(name)?, url(address)?)),
        _ => Err(Error::new_spanned(value, "expected a name and a URL: (\"Example Ltd\", \"https://example.com\")")),
    }
}

fn parts(value: &Expr) -> Vec<&Expr> {
    match value {
        Expr::Tuple(tuple) => tuple.elems.iter().collect(),
        Expr::Paren(inner) => vec![&*inner.expr],
        one => vec![one],
    }
}

fn as_word(value: &Expr) -> Option<&Ident> {
    match value {
        Expr::Path(path) => path.path.get_ident(),
        _ => None,
    }
}
