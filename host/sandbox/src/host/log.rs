//! `log`: lines for the operator.

use crate::bindings::kennel::agent::log::{Field, Host, Level};
use crate::call::LogLevel;
use crate::guest::Guest;

impl Host for Guest {
    fn emit(&mut self, level: Level, message: String, fields: Vec<Field>) -> wasmtime::Result<()> {
        let fields = fields.into_iter().map(|field| (field.name, field.value)).collect();
        self.console.emit(to_level(level), &message, fields);
        self.pass_on_lines();
        Ok(())
    }
}

fn to_level(level: Level) -> LogLevel {
    match level {
        Level::Trace => LogLevel::Trace,
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    }
}
