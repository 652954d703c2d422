//! End-to-end tests: each starts the real binary on a free port with folders of its own and speaks HTTP to it.
//!
//! `harness` starts and stops it, `http`, `events` and `wire` are how it is spoken to, `plugins` builds the agents. The tests are in files by noun.
//! Without wake-ups, only slower: `KENNEL_TEST_POKES=off cargo test --test it`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests: the allowances of clippy.toml hold for functions with #[test] only"
)]

mod checker;
mod client;
mod crashes;
mod events;
mod harness;
mod http;
mod plugins;
mod service;
mod shapes;
mod wire;

mod architecture;
mod authorize;
mod cancel;
mod cards;
mod coverage;
mod dialects;
mod durability;
mod elsewhere;
mod equivalence;
mod errors;
mod family;
mod folder;
mod golden;
mod kv;
mod limits;
mod lists;
mod methods;
mod mischief;
mod official;
mod outside;
mod rest;
mod restart;
mod retries;
mod rows;
mod streams;
mod tasks;
mod timeouts;
mod turns;
mod wasi;
