//! The description of an agent out of the doc comment of its function.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The text of a doc comment, none without one. Lines of a paragraph are joined: where they break is a matter of the source,
/// not of the card. Lines that begin an item of a list stay lines.
pub(crate) fn of(attributes: &[Attribute]) -> Option<String> {
    let mut text = String::new();
    for line in attributes.iter().filter_map(doc_line).flat_map(|doc| lines(&doc)) {
        let line = line.trim();
        let begins = text.is_empty() || text.ends_with('\n');
        if line.is_empty() && !text.is_empty() {
            text.truncate(text.trim_end().len());
            text.push_str("\n\n");
        } else if !begins {
            text.push(if is_item(line) { '\n' } else { ' ' });
        }
        text.push_str(line);
    }
    text.truncate(text.trim_end().len());
    (!text.is_empty()).then_some(text)
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(doc) = &attribute.meta else { return None };
    match &doc.value {
        Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) if doc.path.is_ident("doc") => Some(line.value()),
        _ => None,
    }
}

/// The lines of one doc attribute: one for `///`, several for a block comment, whose lines may begin with a star.
fn lines(doc: &str) -> Vec<String> {
    if !doc.contains('\n') {
        return vec![doc.to_owned()];
    }
    doc.lines().map(|line| line.trim().strip_prefix("* ").unwrap_or(line).to_owned()).collect()
}

fn is_item(line: &str) -> bool {
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    ["- ", "* ", "+ "].iter().any(|mark| line.starts_with(mark))
        || (number.len() < line.len() && number.starts_with(". "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(item: &str, expected: Option<&str>) {
        let function: syn::ItemFn = syn::parse_str(item).unwrap();
        assert_eq!(of(&function.attrs).as_deref(), expected, "{item}");
    }

    #[test]
    fn lines_of_a_paragraph_are_joined() {
        check("/// Counts\n/// down.\nfn f() {}", Some("Counts down."));
        check("/// Counts.\n///\n///\n/// Slowly.\n///\nfn f() {}", Some("Counts.\n\nSlowly."));
        check("/** Counts\n * down.\n */ fn f() {}", Some("Counts down."));
    }

    #[test]
    fn items_of_a_list_stay_lines() {
        check("/// Does:\n/// - one\n///   thing\n/// 2. two\nfn f() {}", Some("Does:\n- one thing\n2. two"));
    }

    #[test]
    fn without_a_comment_there_is_none() {
        check("#[inline] fn f() {}", None);
        check("///\nfn f() {}", None);
    }
}
