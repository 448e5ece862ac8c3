//! What happens to a Pod, and when. Pure: it is told the time, and says what is to be written to the API.
//!
//! ```text
//! New ──reject──> Done
//! New ──admit (wire)──> Starting ──start──> Running ──exit──> Done ─┐
//!                           │                │   ^                   │
//!                           │              crash restart             │ deletion
//!                           │                v   │                   v
//!                           │              BackOff            Stopping ──terminate──> Terminated ──delete──> Gone
//!                           └────────── deletion ────────────────────┴───────────────────^
//! ```
//!
//! An act is asked for with [`Machine::act`] until it is reported done ([`Machine::done`]); one that failed is asked for
//! again after a back-off ([`Machine::failed`]).

use std::time::Duration;

use super::view::{Phase, RestartPolicy};

/// What is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Pending, with the containers being created.
    Admit,
    /// Running.
    Start,
    /// The containers exited and wait to be started again.
    BackOff,
    /// The containers were started again.
    Restart,
    /// Ready as it really is: somebody else has written it, or a readiness gate has turned.
    Refresh,
    /// Failed: the node has no room for it.
    Reject,
    /// Succeeded or Failed.
    Finish(Ending),
    /// The containers were told to stop and have stopped.
    Terminate,
    /// Out of the API.
    Delete,
}

/// How containers come to their end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// They exited.
    Exited,
    /// activeDeadlineSeconds.
    Deadline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Rejected,
    Starting(Duration),
    /// Since when; when the containers exit by themselves.
    Running(Duration, Option<Duration>),
    /// Until when.
    BackOff(Duration),
    Done,
    /// When it has stopped; whether there is anything to report before the deletion.
    Stopping(Duration, bool),
    Terminated,
    Gone,
}

/// How long each step takes, drawn once per Pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) start: Duration,
    pub(crate) stop: Duration,
    /// Whether the acceptance is posted.
    pub(crate) admits: bool,
}

/// What the Pod's spec says about its course.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) restart_policy: RestartPolicy,
    pub(crate) run: Option<Duration>,
    pub(crate) exit_code: i32,
    pub(crate) deadline: Option<Duration>,
}

/// How an earlier kubelet left a Pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) phase: Phase,
    pub(crate) restarts: u32,
    /// When it came to the node and when its containers started, on the machine's clock.
    pub(crate) accepted: Duration,
    pub(crate) started: Duration,
    /// Whether its containers waited to be started again.
    pub(crate) waiting: bool,
}

/// A Pod's state. All times are on one clock that never steps back.
#[derive(Debug)]
pub(crate) struct Machine {
    course: Course,
    pace: Pace,
    stage: Stage,
    /// Since when the node has the Pod.
    accepted: Duration,
    pub(crate) restarts: u32,
    /// Exits in a row without ten good minutes.
    crashes: u32,
    /// Whether Ready must be written anew.
    stale: bool,
    /// Failed attempts at the current act, and when to try again.
    pub(crate) attempts: u32,
    retry: Duration,
}

const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// Containers that ran for so long start with a clean slate.
const GOOD_RUN: Duration = Duration::from_secs(600);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

impl Machine {
    /// A Pod that has just been bound.
    pub(crate) fn new(course: Course, pace: Pace, now: Duration) -> Self {
        let stage = if pace.admits { Stage::New } else { Stage::Starting(now + pace.start) };
        let retry = Duration::ZERO;
        Self { course, pace, stage, accepted: now, restarts: 0, crashes: 0, stale: false, attempts: 0, retry }
    }

    /// A Pod that an earlier kubelet of this node left behind.
    pub(crate) fn adopt(course: Course, pace: Pace, found: Found, now: Duration) -> Self {
        let Found { phase, restarts, accepted, started, waiting } = found;
        let mut machine = Self::new(course, pace, now);
        machine.restarts = restarts;
        machine.crashes = restarts.min(8);
        machine.accepted = accepted;
        match phase {
            Phase::Pending => {}
            Phase::Running if waiting => machine.stage = Stage::BackOff(now),
            Phase::Running => machine.stage = Stage::Running(started, course.run.map(|run| started + run)),
            Phase::Succeeded | Phase::Failed => machine.stage = Stage::Done,
        }
        machine
    }

    /// The node has no room for a Pod that has just come.
    pub(crate) fn reject(&mut self) {
        self.enter(Stage::Rejected);
    }

    /// The Pod is to be deleted within `grace`. Whether containers are told to stop by this.
    pub(crate) fn terminate(&mut self, grace: Duration, now: Duration) -> bool {
        let latest = now + grace;
        match &mut self.stage {
            Stage::New | Stage::Rejected | Stage::Starting(_) | Stage::Done => self.enter(Stage::Stopping(now, false)),
            Stage::Running(..) | Stage::BackOff(_) => {
                let stage = Stage::Stopping(now + self.pace.stop.min(grace), true);
                self.enter(stage);
                return true;
            }
            // A second deletion may shorten the grace period.
            Stage::Stopping(at, _) => *at = (*at).min(latest),
            Stage::Terminated | Stage::Gone => {}
        }
        false
    }

    /// What is due now.
    pub(crate) fn act(&self, now: Duration) -> Option<Act> {
        let (act, due) = self.next()?;
        (due.max(self.retry) <= now).then_some(act)
    }

    /// When something will be due; `None`: never by itself.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.next().map(|(_, due)| due.max(self.retry))
    }

    fn next(&self) -> Option<(Act, Duration)> {
        let own = match self.stage {
            Stage::New => Some((Act::Admit, self.accepted)),
            Stage::Rejected => Some((Act::Reject, self.accepted)),
            Stage::Starting(at) => Some((Act::Start, at)),
            Stage::Running(..) if self.stale => Some((Act::Refresh, Duration::ZERO)),
            Stage::Running(_, None) | Stage::Done | Stage::Gone => None,
            Stage::Running(_, Some(at)) => Some((self.exit_act(), at)),
            Stage::BackOff(at) => Some((Act::Restart, at)),
            Stage::Stopping(at, true) => Some((Act::Terminate, at)),
            Stage::Stopping(at, false) => Some((Act::Delete, at)),
            Stage::Terminated => Some((Act::Delete, Duration::ZERO)),
        };
        let limited = matches!(self.stage, Stage::New | Stage::Starting(_) | Stage::Running(..) | Stage::BackOff(_));
        match self.course.deadline.filter(|_| limited).map(|deadline| self.accepted + deadline) {
            Some(deadline) if own.is_none_or(|(_, at)| deadline <= at) => {
                Some((Act::Finish(Ending::Deadline), deadline))
            }
            _ => own,
        }
    }

    fn exit_act(&self) -> Act {
        let again = match self.course.restart_policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => self.course.exit_code != 0,
            RestartPolicy::Never => false,
        };
        match again {
            false => Act::Finish(Ending::Exited),
            // The first restart is immediate.
            true if self.crashes == 0 => Act::Restart,
            true => Act::BackOff,
        }
    }

    /// The act that was asked for has been written.
    pub(crate) fn done(&mut self, act: Act, now: Duration) {
        let stage = match act {
            Act::Admit => Stage::Starting(self.accepted + self.pace.start),
            Act::Start => self.running(now),
            Act::BackOff => {
                self.count_crash(now);
                let doubled = FIRST_BACK_OFF.saturating_mul(1 << self.crashes.saturating_sub(2).min(10));
                Stage::BackOff(now + doubled.min(LONGEST_BACK_OFF))
            }
            Act::Restart => {
                if matches!(self.stage, Stage::Running(..)) {
                    self.count_crash(now);
                }
                self.restarts += 1;
                self.running(now)
            }
            Act::Refresh => {
                self.stale = false;
                self.stage
            }
            Act::Finish(_) | Act::Reject => Stage::Done,
            Act::Terminate => Stage::Terminated,
            Act::Delete => Stage::Gone,
        };
        self.enter(stage);
    }

    fn running(&self, now: Duration) -> Stage {
        Stage::Running(now, self.course.run.map(|run| now + run))
    }

    fn count_crash(&mut self, now: Duration) {
        let Stage::Running(since, _) = self.stage else { return };
        self.crashes = if now.saturating_sub(since) >= GOOD_RUN { 1 } else { self.crashes + 1 };
    }

    /// The act that was asked for could not be written.
    pub(crate) fn failed(&mut self, now: Duration) {
        let pause = Duration::from_millis(100).saturating_mul(1 << self.attempts.min(12)).min(LONGEST_RETRY);
        self.attempts += 1;
        self.retry = now + pause;
    }

    /// Ready in the API is not what it should be. Only a Pod that runs has a say in it.
    pub(crate) fn refresh(&mut self) {
        self.stale = matches!(self.stage, Stage::Running(..));
    }

    /// Nothing more is asked for before `at`.
    pub(crate) fn postpone(&mut self, at: Duration) {
        self.retry = at;
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.attempts = 0;
        self.retry = Duration::ZERO;
    }

    /// Whether the containers run.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(..) | Stage::Stopping(_, true))
    }

    /// Whether it has come to an end by itself.
    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const COURSE: Course = Course { restart_policy: RestartPolicy::Always, run: None, exit_code: 0, deadline: None };
    const FOUND: Found = Found { phase: Phase::Running, restarts: 0, accepted: s(1), started: s(3), waiting: false };
    const PACE: Pace = Pace { start: s(2), stop: s(3), admits: false };

    /// Carries acts out as they fall due and writes down when.
    fn play(machine: &mut Machine, until: u64) -> Vec<(u64, Act)> {
        let mut played = Vec::new();
        while let Some(due) = machine.due().filter(|due| *due <= s(until)) {
            let act = machine.act(due).expect("it is due");
            machine.done(act, due);
            played.push((due.as_secs(), act));
        }
        played
    }

    #[test]
    fn a_pod_starts_runs_and_stops_within_its_grace() {
        let mut machine = Machine::new(COURSE, PACE, s(10));
        assert_eq!(machine.act(s(11)), None);
        assert_eq!(play(&mut machine, 1000), [(12, Act::Start)]);
        assert!(machine.is_running());
        assert!(machine.terminate(s(30), s(100)));
        assert!(!machine.terminate(s(30), s(101)), "they have been told");
        assert!(machine.is_running());
        assert_eq!(machine.act(s(102)), None);
        assert_eq!(play(&mut machine, 103), [(103, Act::Terminate), (0, Act::Delete)]);
        assert_eq!(machine.due(), None);

        let mut machine = Machine::new(COURSE, PACE, s(0));
        play(&mut machine, 5);
        machine.terminate(s(30), s(10));
        machine.terminate(s(1), s(10));
        assert_eq!(machine.due(), Some(s(11)), "the second deletion was in a hurry");
    }

    #[test]
    fn on_the_wire_the_acceptance_comes_first() {
        let mut machine = Machine::new(COURSE, Pace { admits: true, ..PACE }, s(10));
        assert_eq!(play(&mut machine, 1000), [(10, Act::Admit), (12, Act::Start)]);
    }

    #[test]
    fn what_never_ran_is_deleted_without_a_word() {
        let mut machine = Machine::new(COURSE, PACE, s(10));
        machine.terminate(s(30), s(11));
        assert_eq!(play(&mut machine, 1000), [(11, Act::Delete)]);
    }

    #[test]
    fn jobs_come_to_an_end() {
        let course = Course { restart_policy: RestartPolicy::Never, run: Some(s(5)), exit_code: 1, ..COURSE };
        let mut machine = Machine::new(course, PACE, s(0));
        assert_eq!(play(&mut machine, 1000), [(2, Act::Start), (7, Act::Finish(Ending::Exited))]);
        assert!(machine.is_done() && !machine.is_running());
        machine.terminate(s(30), s(50));
        assert_eq!(play(&mut machine, 1000), [(50, Act::Delete)]);

        let course = Course { restart_policy: RestartPolicy::OnFailure, run: Some(s(5)), ..COURSE };
        let mut machine = Machine::new(course, PACE, s(0));
        assert_eq!(play(&mut machine, 1000).last(), Some(&(7, Act::Finish(Ending::Exited))));
    }

    #[test]
    fn crashes_back_off_as_a_kubelet_does() {
        let course = Course { run: Some(s(1)), exit_code: 1, ..COURSE };
        let mut machine = Machine::new(course, PACE, s(0));
        let played = play(&mut machine, 80);
        let times =
            |wanted: Act| -> Vec<u64> { played.iter().filter(|(_, act)| *act == wanted).map(|(at, _)| *at).collect() };
        assert_eq!(times(Act::BackOff), [4, 15, 36, 77], "{played:?}");
        assert_eq!(times(Act::Restart), [3, 14, 35, 76], "{played:?}");
        let last = play(&mut machine, 4000);
        let (first, second) = (last[last.len() - 3].0, last[last.len() - 1].0);
        assert_eq!(second - first, 301, "five minutes at most: {last:?}");
    }

    #[test]
    fn a_good_run_clears_the_slate() {
        let course = Course { run: Some(s(700)), ..COURSE };
        let mut machine = Machine::new(course, PACE, s(0));
        let played = play(&mut machine, 3000);
        assert_eq!(played[1..4], [(702, Act::Restart), (1402, Act::BackOff), (1412, Act::Restart)]);
        assert_eq!(played[4..6], [(2112, Act::BackOff), (2122, Act::Restart)], "it does not grow");
    }

    #[test]
    fn a_deadline_ends_everything() {
        let mut machine = Machine::new(Course { deadline: Some(s(20)), ..COURSE }, PACE, s(10));
        assert_eq!(play(&mut machine, 1000), [(12, Act::Start), (30, Act::Finish(Ending::Deadline))]);
        let mut machine = Machine::new(Course { deadline: Some(s(1)), ..COURSE }, PACE, s(10));
        assert_eq!(play(&mut machine, 1000), [(11, Act::Finish(Ending::Deadline))]);
    }

    #[test]
    fn failures_back_off_and_are_forgotten_with_the_act() {
        let mut machine = Machine::new(COURSE, PACE, s(0));
        machine.failed(s(2));
        assert_eq!((machine.act(s(2)), machine.due()), (None, Some(s(2) + Duration::from_millis(100))));
        for _ in 0..20 {
            machine.failed(s(3));
        }
        assert_eq!(machine.due(), Some(s(33)));
        machine.done(Act::Start, s(33));
        machine.terminate(s(30), s(34));
        assert_eq!(machine.due(), Some(s(37)));
    }

    #[test]
    fn what_was_turned_away_is_done() {
        let mut machine = Machine::new(COURSE, PACE, s(10));
        machine.reject();
        assert_eq!(play(&mut machine, 1000), [(10, Act::Reject)]);
        assert!(machine.is_done());
    }

    #[test]
    fn a_wrong_ready_is_put_right() {
        let mut machine = Machine::new(COURSE, PACE, s(0));
        machine.refresh();
        assert_eq!(play(&mut machine, 10), [(2, Act::Start)], "it does not run yet");
        machine.refresh();
        assert_eq!(play(&mut machine, 10), [(0, Act::Refresh)]);
    }

    #[test]
    fn an_adopted_pod_goes_on() {
        let course = Course { run: Some(s(50)), restart_policy: RestartPolicy::Never, ..COURSE };
        let mut machine = Machine::adopt(course, PACE, FOUND, s(40));
        assert!(machine.is_running());
        assert_eq!(play(&mut machine, 1000), [(53, Act::Finish(Ending::Exited))]);
        let mut machine = Machine::adopt(COURSE, PACE, Found { restarts: 3, waiting: true, ..FOUND }, s(40));
        assert_eq!(play(&mut machine, 1000), [(40, Act::Restart)]);
        assert_eq!(machine.restarts, 4);
        let machine = Machine::adopt(COURSE, PACE, Found { phase: Phase::Failed, ..FOUND }, s(40));
        assert!(machine.is_done());
    }
}
