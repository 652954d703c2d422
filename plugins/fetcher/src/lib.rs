//! An agent that uses a service: with a credential it never sees, tries that sleep in between, a time limit for what is only nice
//! to have, and a slow body that its client reads while it comes.

use kennel::prelude::*;

/// Where the service is, unless the operator says otherwise.
const SERVICE: &str = "http://127.0.0.1:8099";

/// Fetches a report, line by line as it comes. The message is its path: /reports/today.
#[kennel::agent(
    examples = ["/reports/today"],
    tags = ["example"],
    streams = true,
    http = [("GET http://127.0.0.1:*", "To fetch reports from a service on this machine.")],
    credentials = [("reports", "To be let in by the service.")],
    settings = [("service", "Where the service is, without a path; otherwise http://127.0.0.1:8099.")],
)]
fn fetcher(task: Task) -> Result<Outcome> {
    let service = task.setting("service").unwrap_or_else(|| SERVICE.to_owned());
    let url = format!("{service}{}", task.text().trim());
    let get = |url: &str| task.get(url).credential("reports");

    let mut body = task.retry(5, || {
        let mut body = get(&url).timeout(minutes(2)).open()?;
        body.ok()?;
        Ok(body)
    })?;
    // The title may be missing or slow: then it goes without.
    let title = within(seconds(2), get(&format!("{url}/title")).start()?)?.and_then(|title| title.ok().ok());
    let title = title.map_or_else(|| "report".to_owned(), |title| title.text());

    let mut report = task.open(title)?;
    for line in body.lines() {
        report.append(line? + "\n")?;
    }
    report.close()?;
    done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kennel::Agent;
    use kennel::test::{Http, Runner};

    const TITLE: &str = "http://127.0.0.1:8099/reports/today/title";
    const REPORT: &str = "http://127.0.0.1:8099/reports/today";

    fn script() -> Runner {
        Runner::new("/reports/today\n").card(KennelAgent::card()).credential("reports")
    }

    #[test]
    fn a_report_is_fetched_by_lines_with_its_title() {
        let body = Http::pieces(["first\nsec", "ond\nlast"]).every(seconds(10));
        let run = script().http("GET", TITLE, "Today").http("GET", REPORT, body).run(fetcher);
        assert_eq!(run.artifact("Today").as_text(), "first\nsecond\nlast\n");
        assert!(run.requests().iter().all(|request| request.credential.as_deref() == Some("reports")));
        assert_eq!(run.elapsed(), seconds(20));
    }

    #[test]
    fn a_slow_title_is_left_out_and_a_busy_service_is_asked_again() {
        let script = script().http("GET", TITLE, Http::from("Today").after(seconds(30)));
        let run = script.http("GET", REPORT, 503).http("GET", REPORT, 429).http("GET", REPORT, "x").run(fetcher);
        assert_eq!(run.artifact("report").as_text(), "x\n");
        assert!(run.elapsed() > seconds(2) + milliseconds(1_500), "it slept twice: {run}");
    }

    #[test]
    fn a_report_that_is_not_there_is_not_asked_for_again() {
        let run = script().http("GET", REPORT, 404).run(fetcher);
        assert_eq!((run.error().code.as_str(), run.requests().len()), ("http.status", 1));
    }

    #[test]
    fn another_place_must_be_on_the_card() {
        let run = script().setting("service", "https://elsewhere.example").run(fetcher);
        assert_eq!(run.error().code, "http");
    }
}
