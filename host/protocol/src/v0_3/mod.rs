//! A2A 0.3 as two dialects of the objects of 1.0 (protocol.md section 16): requests are translated before they are read, answers are
//! written in the old shapes. Nothing else of the server knows that there is an older version.
//!
//! Over JSON-RPC objects carry a `kind` and names are in lower case; over HTTP+JSON they are the ProtoJSON of the 0.3 proto, which is
//! what the SDKs of 0.3 speak there.

mod card;
mod read;
mod write;

pub use card::dual_card;
pub use read::request;
pub use write::{Answer, Old};

#[cfg(test)]
mod tests;
