//! The statements themselves: each prepares against the real schema and finds its rows by an index.

use std::path::Path;

use kennel_protocol::types::TaskState;
use rusqlite::Connection;

use super::lab::{Lab, at, key, scope};
use crate::sql::SetStatement;
use crate::{ListFilter, accept, blob, child, claims, commit, journal, kv, read};

/// Set-statements of the crate.
const SETS: usize = 15;

/// All texts of the crate: literals as they stand in the sources, set-statements with one and four rows, lists with every filter.
fn statements() -> Vec<String> {
    let mut all = literals();
    let sets: Vec<&SetStatement> =
        [accept::SETS, commit::SETS, blob::SETS, journal::SETS, kv::SETS, child::SETS].concat();
    assert_eq!(sets.len(), SETS);
    all.extend(sets.iter().flat_map(|set| [set.text(1), set.text(4)]));
    all.extend([read::task_sql(), journal::after_sql(), journal::checkpoint_sql(), journal::next_checkpoint_sql()]);
    all.extend(claims::DUE.iter().map(|text| (*text).to_owned()));
    all.extend(lists());
    all
}

fn lists() -> Vec<String> {
    let mut filters = vec![ListFilter { limit: 50, ..ListFilter::default() }];
    let mut add = |change: fn(&mut ListFilter)| {
        let mut more = filters.clone();
        more.iter_mut().for_each(change);
        filters.extend(more);
    };
    add(|filter| filter.context = Some("talk".to_owned()));
    add(|filter| filter.state = Some(TaskState::Working));
    add(|filter| filter.since = Some(at(0)));
    add(|filter| filter.after = Some((at(0), key("t").task)));
    let scope = scope(&key("t"));
    let any_agent = crate::Scope { agent: None, ..scope.clone() };
    filters
        .iter()
        .flat_map(|filter| [read::list_sql(&scope, filter), read::list_sql(&any_agent, filter)])
        .flatten()
        .collect()
}

/// The literals handed to `query` anywhere in the sources, so that a new statement cannot be forgotten here.
fn literals() -> Vec<String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = Vec::new();
    for folder in [sources.clone(), sources.join("writer")] {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let found: Vec<String> = texts.iter().flat_map(|text| text.split("query(").skip(1)).filter_map(literal).collect();
    assert!(found.len() >= 30, "{found:#?}");
    found
}

/// The string literal that a text begins with, its line breaks joined.
fn literal(text: &str) -> Option<String> {
    let (connection, text) = text.split_once(',')?;
    if connection.trim() != "connection" {
        return None;
    }
    let (literal, _) = text.trim_start().strip_prefix('"')?.split_once('"')?;
    Some(literal.split("\\\n").map(str::trim_start).collect())
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let rows = explained.raw_query();
    rows.mapped(|row| row.get("detail")).map(Result::unwrap).collect()
}

#[tokio::test]
async fn every_statement_prepares() {
    let lab = Lab::new().await;
    let raw = lab.raw();
    for sql in statements() {
        let prepared = raw.prepare(&sql);
        assert!(prepared.is_ok(), "{sql}\n{:?}", prepared.err());
    }
}

#[tokio::test]
async fn no_statement_walks_over_a_whole_table() {
    let lab = Lab::new().await;
    let raw = lab.raw();
    for sql in statements().iter().filter(|sql| !sql.starts_with("BEGIN") && !sql.contains("PRAGMA")) {
        let plan = plan(&raw, sql);
        for line in plan.iter().filter(|line| line.starts_with("SCAN")) {
            let given = ["VALUES CLAUSE", "CONSTANT ROW", "CONSTANT ROWS"].iter().any(|end| line.ends_with(end));
            // At the start, all of a partial index: what the host that ended had leased.
            let small = ["SCAN v", "SCAN want", "SCAN json_each", "SCAN run USING INDEX run_leased"];
            assert!(given || small.contains(&line.split(" VIRTUAL").next().unwrap()), "{sql}\n{plan:#?}");
        }
    }
}

#[tokio::test]
async fn a_page_reads_of_each_state_its_own_range_in_the_order_of_the_answer() {
    let lab = Lab::new().await;
    let raw = lab.raw();
    let scope = scope(&key("t"));
    let all = ListFilter { limit: 50, ..ListFilter::default() };
    let states = TaskState::ALL.len();
    let filters = [
        (all.clone(), states),
        (ListFilter { after: Some((at(0), key("t").task)), ..all.clone() }, states),
        (ListFilter { state: Some(TaskState::Working), ..all.clone() }, 1),
        // And one that counts.
        (ListFilter { since: Some(at(0)), ..all }, states + 1),
    ];
    for (filter, ranges) in filters {
        let plan = plan(&raw, &read::list_sql(&scope, &filter)[0]);
        let covering = "SEARCH task USING COVERING INDEX task_list (tenant=? AND owner=? AND agent=? AND state=?";
        assert_eq!(plan.iter().filter(|line| line.starts_with(covering)).count(), ranges, "{plan:#?}");
        assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{plan:#?}");
        if filter.after.is_some() {
            assert!(plan.iter().any(|line| line.contains("(status_ms,id)<(?,?)")), "{plan:#?}");
        }
        if filter.since.is_none() {
            let tally = "SEARCH tally USING PRIMARY KEY (tenant=? AND owner=? AND agent=?";
            assert!(plan.iter().any(|line| line.starts_with(tally)), "{plan:#?}");
        }
    }
}

#[tokio::test]
async fn a_task_is_read_from_its_body_on() {
    let lab = Lab::new().await;
    let raw = lab.raw();
    for sql in [read::task_sql(), lists().remove(0)] {
        let plan = plan(&raw, &sql);
        let tail = "SEARCH event USING INDEX sqlite_autoindex_event_1 (tenant=? AND task=? AND seq>? AND seq<?)";
        assert!(plan.iter().any(|line| line == tail), "{plan:#?}");
    }
}

#[tokio::test]
async fn keys_are_listed_from_the_index_alone_in_its_order() {
    let lab = Lab::new().await;
    let raw = lab.raw();
    let lists: Vec<String> = literals().into_iter().filter(|sql| sql.starts_with("SELECT key FROM kv")).collect();
    assert_eq!(lists.len(), 1);
    let seek = "SEARCH kv USING COVERING INDEX sqlite_autoindex_kv_1 (tenant=? AND scope=? AND key>? AND key<?)";
    assert_eq!(plan(&raw, &lists[0]), [seek]);
}

#[tokio::test]
async fn a_checkpoint_is_found_without_a_walk_over_its_journal() {
    let lab = Lab::new().await;
    let raw = lab.raw();
    for (sql, rows) in [(journal::checkpoint_sql(), ""), (journal::next_checkpoint_sql(), " AND idx>?")] {
        let seek = format!("SEARCH journal USING INDEX journal_checkpoint (tenant=? AND task=?{rows})");
        assert_eq!(plan(&raw, &sql), [seek]);
    }
}

#[tokio::test]
async fn due_runs_are_sought_by_priority_and_time_and_not_sorted() {
    let lab = Lab::new().await;
    let raw = lab.raw();
    let indexes = ["run_due (priority=? AND due_ms>? AND due_ms<?)", "run_suspect (attempts>?)"];
    for (sql, index) in claims::DUE.iter().zip(indexes) {
        assert_eq!(plan(&raw, sql), [format!("SEARCH run USING INDEX {index}")], "{sql}");
    }
}

#[tokio::test]
async fn the_statements_fit_into_what_a_connection_keeps_prepared() {
    // Nine sizes of each set-statement, and all else once; on a reader, the lists.
    let literals = literals().len();
    assert!(SETS * 9 + literals <= crate::open::STATEMENTS, "{literals}");
    assert!(lists().len() + literals <= crate::open::STATEMENTS);
}
