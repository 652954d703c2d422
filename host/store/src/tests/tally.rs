//! The tally of tasks by state: always what a count of the rows would say.

use kennel_protocol::types::TaskState;
use proptest::prelude::*;
use rusqlite::Connection;

use super::lab::{Holder, Lab, answer, at_once, cancel_order, client_message, delivery, key, new_task, scope, status};
use crate::open::{self, MIGRATIONS};
use crate::{Committed, ListFilter, RunChange, Start};

/// The tally where it tells of tasks, and the same counted.
fn told_and_counted(connection: &Connection) -> [Vec<String>; 2] {
    let tally = "SELECT tenant, owner, agent, state, tasks FROM tally WHERE tasks <> 0 ORDER BY 1, 2, 3, 4";
    let count = "SELECT tenant, owner, agent, state, count(*) FROM task GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4";
    [tally, count].map(|sql| {
        let mut rows = connection.prepare(sql).unwrap();
        let columns = 0..rows.column_count();
        let rows = rows.query_map([], |row| {
            let values = columns.clone().map(|column| row.get::<_, rusqlite::types::Value>(column));
            Ok(format!("{:?}", values.collect::<Result<Vec<_>, _>>()?))
        });
        rows.unwrap().map(Result::unwrap).collect()
    })
}

/// One thing that happens to one of the tasks so far.
#[derive(Clone, Debug)]
enum Step {
    /// Another task comes, of one of a few owners, with a slot or without.
    Accept(u8, bool),
    /// Its holder says how it stands.
    Show(usize, TaskState),
    /// Its holder gives it up.
    Release(usize),
    /// Its client answers, well or not.
    Answer(usize, bool),
    /// Its client asks it to stop.
    Cancel(usize),
    /// The host ends it.
    Force(usize),
    /// The host looks for work.
    Claim,
    /// It is removed whole, as when it has expired.
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let state = proptest::sample::select(vec![
        TaskState::Working,
        TaskState::InputRequired,
        TaskState::AuthRequired,
        TaskState::Completed,
        TaskState::Failed,
        TaskState::Rejected,
    ]);
    prop_oneof![
        4 => (0_u8..3, any::<bool>()).prop_map(|(owner, leased)| Step::Accept(owner, leased)),
        6 => (any::<usize>(), state).prop_map(|(task, state)| Step::Show(task, state)),
        1 => any::<usize>().prop_map(Step::Release),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(task, fits)| Step::Answer(task, fits)),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::Force),
        1 => Just(Step::Claim),
        1 => any::<usize>().prop_map(Step::Remove),
    ]
}

/// What came of a step is not asked: a refused one must leave the tally alone too.
async fn play(lab: &Lab, holders: &mut Vec<Holder>, step: Step) {
    let count = holders.len().max(1);
    match step {
        Step::Accept(owner, leased) => {
            let start = if leased { Start::Leased } else { Start::Ready };
            let mut new = new_task(&key("t"), start);
            new.owner = ["alice", "bob", "carol"][usize::from(owner)].parse().unwrap();
            lab.store.accept(new.clone()).await.unwrap();
            new.start = Start::Leased;
            holders.push(Holder::of(&new));
        }
        Step::Claim => drop(lab.claimed().await),
        Step::Show(task, state) => {
            let Some(holder) = holders.get_mut(task % count) else { return };
            if holder.fold.status.state.is_terminal() {
                return;
            }
            let run = if state.is_terminal() { RunChange::Finish } else { RunChange::Keep };
            let event = status(holder.key(), state, Some("said"));
            let commit = holder.commit(std::slice::from_ref(&event), run);
            if let Committed::Applied(_) = lab.store.commit(&holder.claim, commit).await.unwrap() {
                *holder = holder.after(&[event]);
            }
        }
        Step::Release(task) => {
            let Some(holder) = holders.get_mut(task % count) else { return };
            holder.release(&lab.store, None).await.unwrap();
        }
        Step::Answer(task, fits) => {
            let Some(holder) = holders.get(task % count) else { return };
            let state = if fits { TaskState::Working } else { TaskState::InputRequired };
            let message = client_message(holder.key(), "m1", "yes");
            lab.store
                .deliver(delivery(holder.key(), &message, answer(holder.key(), holder.at.rev, state)))
                .await
                .unwrap();
        }
        Step::Cancel(task) => {
            let Some(holder) = holders.get(task % count) else { return };
            lab.store.cancel(cancel_order(holder.key())).await.unwrap();
        }
        Step::Force(task) => {
            let Some(holder) = holders.get(task % count) else { return };
            lab.store.end_by_force(&holder.claim, cancel_order(holder.key()).event).await.unwrap();
        }
        Step::Remove(task) => {
            let Some(holder) = holders.get(task % count) else { return };
            lab.change(&format!("DELETE FROM run WHERE task = '{}'", holder.key().task));
            lab.change(&format!("DELETE FROM task WHERE id = '{}'", holder.key().task));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_tally_is_what_a_count_would_say(steps in proptest::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let lab = Lab::new().await;
            let mut holders = Vec::new();
            for step in steps {
                play(&lab, &mut holders, step).await;
                let [told, counted] = told_and_counted(&lab.raw());
                prop_assert_eq!(told, counted);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn the_tally_follows_a_group_of_many_tasks() {
    let lab = Lab::new().await;
    let news: Vec<_> = (0..150).map(|_| new_task(&key("t"), Start::Leased)).collect();
    for accepted in at_once(news.iter().map(|new| lab.store.accept(new.clone()))).await {
        accepted.unwrap();
    }
    let commits = news.iter().step_by(2).map(|new| {
        let holder = Holder::of(new);
        let commit = holder.commit(&[status(holder.key(), TaskState::Completed, None)], RunChange::Finish);
        let store = &lab.store;
        async move { store.commit(&holder.claim, commit).await.unwrap() }
    });
    at_once(commits).await;
    let rows = told_and_counted(&lab.raw());
    assert_eq!(rows[0], rows[1]);
    let scope = scope(&news[0].key);
    let of = async |state| {
        lab.store.list(&scope, &ListFilter { limit: 1, state, ..ListFilter::default() }).await.unwrap().total
    };
    assert_eq!(
        (of(None).await, of(Some(TaskState::Completed)).await, of(Some(TaskState::Submitted)).await),
        (150, 75, 75)
    );
}

#[tokio::test]
async fn a_database_from_before_the_tally_gets_one_of_all_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("kennel.db");
    let before = Connection::open(&database).unwrap();
    for step in &MIGRATIONS[..4] {
        before.execute_batch(step).unwrap();
    }
    before
        .execute_batch(
            "PRAGMA user_version = 4;
             WITH n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 30)
             INSERT INTO task SELECT 't', 'id' || n, iif(n % 3, 'alice', 'bob'), 'talk', 'echo', x'00', 1 + n % 4, 0, 0, 0, \
             1, 1, 1, 0, 0, x'', 0 FROM n;",
        )
        .unwrap();
    drop(before);
    let after = open::writer(&database).unwrap();
    let [told, counted] = told_and_counted(&after);
    assert_eq!(told.len(), 8);
    assert_eq!(told, counted);
}
