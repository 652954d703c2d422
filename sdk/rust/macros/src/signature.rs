//! Checks what stands under the attribute, as far as its text tells; the types are checked by the compiler, see `expand`.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Error, FnArg, Item, ItemFn, Result, ReturnType, Type};

/// The shape that every message names.
const SHAPE: &str = "an agent is `fn name(task: Task) -> Result<Outcome>`";

/// The function under the attribute, if an agent can be made of it.
pub(crate) fn function(item: TokenStream) -> Result<ItemFn> {
    let function = match syn::parse2(item)? {
        Item::Fn(function) => function,
        other => return Err(wrong(other, "this is no function")),
    };
    check(&function)?;
    Ok(function)
}

fn check(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        return Err(wrong(token, "it is not async: calls of the host wait by themselves"));
    }
    if let Some(token) = &signature.unsafety {
        return Err(wrong(token, "it is not unsafe"));
    }
    if !signature.generics.params.is_empty() {
        return Err(wrong(&signature.generics, "it is not generic"));
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(wrong(&signature.ident, "this one returns nothing"));
    }
    let mut inputs = signature.inputs.iter();
    match (inputs.next(), inputs.next()) {
        (Some(FnArg::Typed(input)), None) => match &*input.ty {
            Type::Reference(reference) => Err(wrong(reference, "the task is handed over, not lent")),
            _ => Ok(()),
        },
        (None, _) => Err(wrong(&signature.ident, "this one takes no task")),
        (Some(FnArg::Receiver(receiver)), _) => Err(wrong(receiver, "it is not a method")),
        (_, Some(second)) => Err(wrong(second, "it takes the task and nothing else")),
    }
}

fn wrong(place: impl ToTokens, what: &str) -> Error {
    Error::new_spanned(place, format!("{SHAPE}; {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expects an error that points to `place` and says `what`.
    fn check(item: &str, place: &str, what: &str) {
        let error = function(item.parse().unwrap()).map(drop).unwrap_err();
        assert_eq!(error.span().source_text().as_deref(), Some(place), "{item}");
        assert_eq!(error.to_string(), format!("{SHAPE}; {what}"), "{item}");
    }

    #[test]
    fn a_function_of_a_task_is_an_agent() {
        assert!(function("fn f(mut task: Task) -> Result<Outcome> { done() }".parse().unwrap()).is_ok());
        assert!(function("pub fn f(_: kennel::Task) -> Answer { done() }".parse().unwrap()).is_ok());
    }

    #[test]
    fn anything_else_is_an_error_at_its_place() {
        check("struct S;", "struct S;", "this is no function");
        check("async fn f(task: Task) -> R {}", "async", "it is not async: calls of the host wait by themselves");
        check("unsafe fn f(task: Task) -> R {}", "unsafe", "it is not unsafe");
        check("fn f<T>(task: T) -> R {}", "<T>", "it is not generic");
        check("fn f(task: Task) {}", "f", "this one returns nothing");
        check("fn f() -> R {}", "f", "this one takes no task");
        check("fn f(&self) -> R {}", "&self", "it is not a method");
        check("fn f(task: &Task) -> R {}", "&Task", "the task is handed over, not lent");
        check("fn f(task: Task, n: u8) -> R {}", "n: u8", "it takes the task and nothing else");
    }
}
