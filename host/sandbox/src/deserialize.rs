//! The one unsafe step of the workspace: a compiled component is loaded as machine code.
//!
//! Never here: reading or checking files. Called by `cache.rs`, which alone can make an [`Authentic`].

#![allow(unsafe_code, reason = "loading machine code cannot be checked by the compiler; see SAFETY below")]

use wasmtime::component::Component;

use crate::cache::Authentic;

/// Loads what [`Component::serialize`] made earlier.
pub(crate) fn component(engine: &wasmtime::Engine, image: &Authentic<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must come from `serialize` of a compatible wasmtime. An `Authentic` is made in one place: after
    // its HMAC was checked under a key that only this host's user can read and that only `cache.rs` uses, on the very
    // bytes that came from `serialize`, bound to digest, profile and compatibility hash. They are in our memory, so
    // nobody changes them between the check and the load. Wasmtime checks version and settings once more.
    unsafe { Component::deserialize(engine, image.bytes()) }
}
