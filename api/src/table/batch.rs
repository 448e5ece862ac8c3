//! batch: Jobs and CronJobs.

use super::Printer;
use super::cell::{AGE, CONTAINERS, IMAGES, NAME, Row, SELECTOR, boolean, int, integer, is_true, text};
use crate::document::{Document, Value};
use crate::time;

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "jobs.batch",
        columns: &[
            NAME,
            text("Status", "What the job is doing, in one word."),
            text("Completions", "Pods that succeeded, of those wanted."),
            text("Duration", "Time the job took, or has taken so far."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        print: job,
    },
    Printer {
        resource: "cronjobs.batch",
        columns: &[
            NAME,
            text("Schedule", "When jobs are started."),
            text("Timezone", "Where the schedule's clock hangs."),
            boolean("Suspend", "Whether no jobs are started."),
            integer("Active", "Jobs that are running."),
            text("Last Schedule", "Time since a job was started."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        print: cron_job,
    },
];

fn job(row: &mut Row<'_>) {
    let duration = duration(row);
    row.name().of(job_status).of(completions).put(duration).age();
    row.containers(&["spec", "template", "spec"]).selector(&["spec", "selector"]);
}

fn job_status(job: &Value) -> &'static str {
    let conditions = [("Complete", "Complete"), ("Failed", "Failed"), ("", "Terminating"), ("Suspended", "Suspended")];
    let later = [("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet")];
    let holds = |name: &str| if name.is_empty() { job.is_deleting() } else { is_true(job, name) };
    let found = conditions.iter().chain(&later).find(|(name, _)| holds(name));
    found.map_or("Running", |(_, status)| status)
}

fn completions(job: &Value) -> String {
    let succeeded = int(job, &["status", "succeeded"]);
    match (job.int(&["spec", "completions"]), int(job, &["spec", "parallelism"])) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism @ 2..) => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(row: &Row<'_>) -> String {
    let at = |field: &str| time::parse(row.object.text(&["status", field]));
    match at("startTime") {
        Some(start) => time::human_duration((at("completionTime").unwrap_or(row.now()) - start) / 1_000_000),
        None => String::new(),
    }
}

fn cron_job(row: &mut Row<'_>) {
    row.name().text(&["spec", "schedule"]).text_or(&["spec", "timeZone"], "<none>");
    row.put(match row.object.at(&["spec", "suspend"]) {
        Value::Bool(true) => "True",
        Value::Bool(false) => "False",
        _ => "<unset>",
    });
    let last = match row.object.text(&["status", "lastScheduleTime"]) {
        "" => "<none>".to_owned(),
        last => row.since(last),
    };
    row.count(&["status", "active"]).put(last).age();
    row.containers(&["spec", "jobTemplate", "spec", "template", "spec"]);
    row.selector(&["spec", "jobTemplate", "spec", "selector"]);
}
