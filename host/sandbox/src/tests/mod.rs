//! The sandbox as a whole, with small guests written in the text format: each does one thing, good or bad. Host functions that only
//! pass on what they are given are called by hand.

mod budget;
mod calls;
mod fixture;
mod http;
mod isolation;
mod kv;
mod limits;
mod loading;
mod peers;
mod repeating;
mod stopping;
mod timers;
mod waits;
mod wasi_http;
