//! Lines for the operator, which clients never see: `log::info("three hits")`.
//!
//! Lines are cut at 4 KiB and counted after 1,000 of an activation. They are no part of the journal: nothing is written while
//! the host answers a run from it. What is printed lands in the same place, standard output as `info` and standard error as
//! `warn`.

use std::fmt::Display;

use crate::host::log::{Field, Level, emit};

/// Every step; dropped unless the operator asks.
pub fn trace(message: impl AsRef<str>) {
    emit(Level::Trace, message.as_ref(), &[]);
}

/// For the author.
pub fn debug(message: impl AsRef<str>) {
    emit(Level::Debug, message.as_ref(), &[]);
}

/// For the operator, in normal life.
pub fn info(message: impl AsRef<str>) {
    emit(Level::Info, message.as_ref(), &[]);
}

/// Something is odd; the task goes on.
pub fn warn(message: impl AsRef<str>) {
    emit(Level::Warn, message.as_ref(), &[]);
}

/// Something went wrong.
pub fn error(message: impl AsRef<str>) {
    emit(Level::Error, message.as_ref(), &[]);
}

/// Begins a line with a named value: `log::field("hits", 3).field("city", &city).info("searched")`.
/// Names are lower case with dots or underscores, at most 64 bytes; values at most 1 KiB.
pub fn field(name: &str, value: impl Display) -> Line {
    Line { fields: Vec::new() }.field(name, value)
}

/// A line that collects its values before it is written.
#[derive(Debug)]
#[must_use = "a line is written by trace, debug, info, warn or error"]
pub struct Line {
    fields: Vec<Field>,
}

impl Line {
    /// Adds a named value.
    pub fn field(mut self, name: &str, value: impl Display) -> Self {
        self.fields.push(Field { name: name.to_owned(), value: value.to_string() });
        self
    }

    /// Writes the line: every step; dropped unless the operator asks.
    pub fn trace(self, message: impl AsRef<str>) {
        emit(Level::Trace, message.as_ref(), &self.fields);
    }

    /// Writes the line: for the author.
    pub fn debug(self, message: impl AsRef<str>) {
        emit(Level::Debug, message.as_ref(), &self.fields);
    }

    /// Writes the line: for the operator, in normal life.
    pub fn info(self, message: impl AsRef<str>) {
        emit(Level::Info, message.as_ref(), &self.fields);
    }

    /// Writes the line: something is odd; the task goes on.
    pub fn warn(self, message: impl AsRef<str>) {
        emit(Level::Warn, message.as_ref(), &self.fields);
    }

    /// Writes the line: something went wrong.
    pub fn error(self, message: impl AsRef<str>) {
        emit(Level::Error, message.as_ref(), &self.fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_type_become_fields() {
        let line = field("hits", 3).field("city", "Rome");
        let fields: Vec<_> = line.fields.iter().map(|field| (field.name.as_str(), field.value.as_str())).collect();
        assert_eq!(fields, [("hits", "3"), ("city", "Rome")]);
    }
}
