//! Tests of the store, each on a real database of its own. One guarantee is one test, named as a sentence.

mod journal;
mod kv;
mod lab;

mod accept;
mod blob;
mod cancel;
mod claim;
mod deliver;
mod disk;
mod fault;
mod group;
mod guard;
mod inspect;
mod list;
mod open;
mod park;
mod room;
mod statement;
mod tally;
mod view;
mod wake;
