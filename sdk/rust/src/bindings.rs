//! The raw bindings to the world `plugin`, made from the WIT files. Everything else in this crate is a typed layer over them.
//!
//! The path is relative to the manifest, so it holds in Kennel's own checkout and in every copy that keeps `wit/` beside `sdk/`.
//! The one remapped type is the error: Kennel's own can be made from every other error by `?`, the generated one could not.

#![allow(missing_docs, reason = "the generator documents what the WIT documents; the glue between has no text")]

wit_bindgen::generate!({
    world: "plugin",
    path: "../../wit",
    with: { "kennel:agent/types@0.1.0/error": crate::error::Error },
    additional_derives: [PartialEq],
    pub_export_macro: true,
    default_bindings_module: "kennel::bindings",
});
