//! The sandbox as a whole, with small guests written in the text format: each does one thing, good or bad.

mod budget;
mod calls;
mod fixture;
mod isolation;
mod limits;
mod loading;
mod repeating;
mod stopping;
mod timers;
