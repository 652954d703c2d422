//! Set-statements: one statement over many rows, and the conversions between our numbers and SQLite's.

use kennel_protocol::types::TaskState;
use rusqlite::Connection;

use crate::db::{Query, query};
use crate::error::StoreError;

/// A statement with a row list in its middle.
pub(crate) struct SetStatement {
    /// Text before the rows.
    pub(crate) head: &'static str,
    /// Values in a row.
    pub(crate) columns: usize,
    /// Text after the rows.
    pub(crate) tail: &'static str,
}

/// Rows in one statement at most: 256 rows of 16 values stay far below SQLite's 32,766 variables.
const ROWS_MAX: usize = 256;

impl SetStatement {
    /// Runs the statement over all rows and returns the numbers it gives back, if any. Rows go in runs of a power of two, so that
    /// nine texts a statement serve every number of rows and each is prepared once.
    pub(crate) fn run<T>(
        &self,
        connection: &Connection,
        rows: &[T],
        bind: impl for<'c> Fn(Query<'c>, &T) -> Query<'c>,
    ) -> rusqlite::Result<Vec<i64>> {
        let mut returned = Vec::new();
        let mut rest = rows;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(power_of_two(rest.len()));
            let mut statement = query(connection, &self.text(now.len()))?;
            for row in now {
                statement = bind(statement, row);
            }
            returned.extend(statement.all(|row| row.get::<_, i64>(0))?);
            rest = later;
        }
        Ok(returned)
    }

    pub(crate) fn text(&self, rows: usize) -> String {
        let mut text = String::with_capacity(self.head.len() + self.tail.len() + rows * (2 * self.columns + 2));
        text.push_str(self.head);
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..self.columns {
                text.push_str(if column == 0 { "?" } else { ",?" });
            }
            text.push(')');
        }
        text.push_str(self.tail);
        text
    }
}

/// The largest power of two that is not above `n` and not above the row bound.
fn power_of_two(n: usize) -> usize {
    let n = n.clamp(1, ROWS_MAX);
    1 << (usize::BITS - 1 - n.leading_zeros())
}

/// Our counters stay far below 2^63.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A counter read back.
pub(crate) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A small number read back.
pub(crate) fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// The number of a state in the database: that of the protocol's enum.
pub(crate) fn state_number(state: TaskState) -> i64 {
    i64::from(state.number())
}

/// The state of a number in the database.
pub(crate) fn state_of(number: i64) -> Result<TaskState, StoreError> {
    u64::try_from(number)
        .ok()
        .and_then(TaskState::from_number)
        .ok_or_else(|| StoreError::Corrupt(format!("no task state has the number {number}")))
}

/// Numbers of `run.state`.
pub(crate) mod run_state {
    pub(crate) const READY: i64 = 0;
    pub(crate) const LEASED: i64 = 1;
    pub(crate) const PARKED: i64 = 2;
}

/// Numbers of `run.priority`. A statement that looks for due runs names all of them: then it seeks in the index, where it would
/// else walk over every timer to come.
pub(crate) mod priority {
    /// A run that was asked to stop never queues behind the work.
    pub(crate) const CANCEL: i64 = -1;
    pub(crate) const WORK: i64 = 0;
}

/// Numbers of `inbox.kind`.
pub(crate) mod inbox_kind {
    pub(crate) const MESSAGE: i64 = 0;
    pub(crate) const CANCEL: i64 = 1;
    pub(crate) const CHILD: i64 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_powers_of_two() {
        let sizes: Vec<usize> = [1, 2, 3, 7, 64, 100, 256, 300].into_iter().map(power_of_two).collect();
        assert_eq!(sizes, [1, 2, 2, 4, 64, 64, 256, 256]);
    }

    #[test]
    fn a_set_statement_lists_its_rows() {
        let insert = SetStatement { head: "INSERT INTO t VALUES ", columns: 2, tail: " RETURNING a" };
        assert_eq!(insert.text(2), "INSERT INTO t VALUES (?,?),(?,?) RETURNING a");
    }
}
