//! Tests of the wire form as a whole. What belongs to one module is tested at its end.

mod peer;
mod reading;
mod requests;
mod round_trip;
mod strategies;
mod writing;
