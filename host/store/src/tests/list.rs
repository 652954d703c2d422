//! Lists of tasks: filters, one total order, pages without repeats or holes.

use kennel_protocol::types::TaskState::{self, Completed, Submitted, Working};
use kennel_protocol::{TaskId, Timestamp};

use super::lab::{Holder, Lab, at, at_once, key, new_task, new_task_at, scope, status};
use crate::{ListFilter, RunChange, Scope, Start};

/// A task as the list should show it.
#[derive(Clone, Debug)]
struct Listed {
    at: Timestamp,
    id: TaskId,
    state: TaskState,
    context: &'static str,
}

fn mine() -> Scope {
    scope(&key("t"))
}

/// 230 tasks of one owner and agent, five at a time at the same millisecond; every third has completed, every seventh is of another
/// context. Around them tasks that the owner may not see. Returned newest first.
async fn filled() -> (Lab, Vec<Listed>) {
    let lab = Lab::new().await;
    let mut listed = Vec::new();
    let mut accepts = Vec::new();
    for index in 0..230_i64 {
        let mut new = new_task_at(&key("t"), Start::Leased, at(index / 5));
        let context = if index % 7 == 0 { "other" } else { "talk" };
        new.context = context.parse().unwrap();
        listed.push(Listed { at: new.created, id: new.key.task.clone(), state: Submitted, context });
        accepts.push(new);
    }
    let mut foreign =
        [new_task(&key("t"), Start::Ready), new_task(&key("t"), Start::Ready), new_task(&key("u"), Start::Ready)];
    foreign[0].owner = "mallory".parse().unwrap();
    foreign[1].agent = "other".parse().unwrap();
    for accepted in at_once(accepts.iter().chain(&foreign).map(|new| lab.store.accept(new.clone()))).await {
        accepted.unwrap();
    }
    let completed: Vec<usize> = (0..230).step_by(3).collect();
    let commits = completed.iter().map(|index| {
        let holder = Holder::of(&accepts[*index]);
        let mut commit = holder.commit(&[status(holder.key(), Completed, None)], RunChange::Finish);
        commit.status_at = at(40 + i64::try_from(*index).unwrap() % 10);
        let store = &lab.store;
        async move { store.commit(&holder.claim, commit).await.unwrap() }
    });
    at_once(commits).await;
    for index in completed {
        listed[index].state = Completed;
        listed[index].at = at(40 + i64::try_from(index).unwrap() % 10);
    }
    listed.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    (lab, listed)
}

fn ids<'a>(listed: impl IntoIterator<Item = &'a Listed>) -> Vec<TaskId> {
    listed.into_iter().map(|listed| listed.id.clone()).collect()
}

/// All pages of a filter, each with the total.
async fn pages(lab: &Lab, filter: ListFilter) -> (Vec<TaskId>, Vec<u64>) {
    let mut filter = filter;
    let (mut found, mut totals) = (Vec::new(), Vec::new());
    loop {
        let page = lab.store.list(&mine(), &filter).await.unwrap();
        totals.push(page.total);
        assert!(page.tasks.len() <= filter.limit as usize);
        assert_eq!(page.more, ((found.len() + page.tasks.len()) as u64) < totals[0]);
        let Some(last) = page.tasks.last() else { break };
        filter.after = Some((last.row.status_at, last.row.key.task.clone()));
        found.extend(page.tasks.iter().map(|view| view.row.key.task.clone()));
        if !page.more {
            break;
        }
    }
    (found, totals)
}

#[tokio::test]
async fn pages_of_any_size_give_every_task_once_newest_first() {
    let (lab, listed) = filled().await;
    for limit in [1_u32, 7, 50, 229, 230, 1_000] {
        let (found, totals) = pages(&lab, ListFilter { limit, ..ListFilter::default() }).await;
        assert_eq!(found, ids(&listed), "pages of {limit}");
        assert_eq!(totals.len(), 230_usize.div_ceil(limit as usize), "pages of {limit}");
        assert!(totals.iter().all(|total| *total == 230), "{totals:?}");
    }
}

#[tokio::test]
async fn filters_select_and_count_exactly_what_they_say() {
    let (lab, listed) = filled().await;
    let check = async |filter: ListFilter, keeps: &dyn Fn(&Listed) -> bool| {
        let expected = ids(listed.iter().filter(|listed| keeps(listed)));
        assert!(!expected.is_empty() && expected.len() < 230, "the filter {filter:?} tells nothing");
        for limit in [20, 1_000] {
            let (found, totals) = pages(&lab, ListFilter { limit, ..filter.clone() }).await;
            assert_eq!(found, expected, "{filter:?}");
            assert!(totals.iter().all(|total| *total == expected.len() as u64), "{filter:?} {totals:?}");
        }
    };
    let all = ListFilter::default();
    let (talk, since) = (Some("talk".to_owned()), at(30));
    check(ListFilter { state: Some(Completed), ..all.clone() }, &|task| task.state == Completed).await;
    check(ListFilter { state: Some(Submitted), ..all.clone() }, &|task| task.state == Submitted).await;
    check(ListFilter { context: talk.clone(), ..all.clone() }, &|task| task.context == "talk").await;
    check(ListFilter { since: Some(since), ..all.clone() }, &|task| task.at >= since).await;
    let both = ListFilter { context: talk.clone(), state: Some(Completed), ..all.clone() };
    check(both, &|task| task.context == "talk" && task.state == Completed).await;
    let three = ListFilter { context: talk, state: Some(Completed), since: Some(at(45)), ..all };
    check(three, &|task| task.context == "talk" && task.state == Completed && task.at >= at(45)).await;
}

#[tokio::test]
async fn a_filter_that_matches_nothing_is_an_empty_page_with_total_zero() {
    let (lab, _) = filled().await;
    for filter in [
        ListFilter { limit: 50, state: Some(Working), ..ListFilter::default() },
        ListFilter { limit: 50, context: Some("nobody's".to_owned()), ..ListFilter::default() },
        ListFilter { limit: 50, since: Some(at(1_000)), ..ListFilter::default() },
    ] {
        let page = lab.store.list(&mine(), &filter).await.unwrap();
        assert_eq!((page.tasks.len(), page.more, page.total), (0, false, 0), "{filter:?}");
    }
}

#[tokio::test]
async fn a_list_shows_one_owners_tasks_of_one_tenant_and_of_any_agent_if_none_is_named() {
    let (lab, _) = filled().await;
    let totals = async |scope: Scope| {
        lab.store.list(&scope, &ListFilter { limit: 1, ..ListFilter::default() }).await.unwrap().total
    };
    assert_eq!(totals(Scope { owner: "mallory".parse().unwrap(), ..mine() }).await, 1);
    assert_eq!(totals(Scope { agent: Some("other".parse().unwrap()), ..mine() }).await, 1);
    assert_eq!(totals(Scope { tenant: "u".parse().unwrap(), ..mine() }).await, 1);
    assert_eq!(totals(Scope { tenant: "nobody".parse().unwrap(), ..mine() }).await, 0);
    assert_eq!(totals(Scope { agent: None, ..mine() }).await, 231);
}

#[tokio::test]
async fn a_listed_task_is_the_whole_task() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, Some("a1")).await;
    holder.show(&lab.store, Working, Some("a2")).await;
    lab.held("t").await;
    let page = lab.store.list(&mine(), &ListFilter { limit: 50, ..ListFilter::default() }).await.unwrap();
    let listed = page.tasks.iter().find(|view| view.row.key == *holder.key()).unwrap();
    let alone = lab.view(holder.key()).await;
    assert_eq!((&listed.fold, listed.rev, listed.row.at), (&alone.fold, alone.rev, alone.row.at));
    assert_eq!(listed.history(None), alone.history(None));
}

#[tokio::test]
async fn related_tasks_are_the_owners_others_in_the_context_newest_first() {
    let (lab, listed) = filled().await;
    let talk: Vec<Listed> = listed.into_iter().filter(|listed| listed.context == "talk").collect();
    let except = talk[1].id.clone();
    let found = lab.store.related_ids(&mine(), "talk", &except, 10).await.unwrap();
    assert!(!found.contains(&except));
    // A conversation spans agents, so the other agent's task is among them; it is the oldest.
    assert_eq!(found, ids(talk.iter().filter(|listed| listed.id != except).take(10)));
    let all = lab.store.related_ids(&mine(), "talk", &except, 1_000).await.unwrap();
    assert_eq!(all.len(), talk.len());
}
