//! The loop: renew, look at the others, decide, do.
//!
//! Renewals wait for nothing but the store. Looking and deciding is one loop; what it decides is done by jobs beside it, so
//! that a slow hand-over keeps nobody from being seen to be dead.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::slot::SlotSet;
use store::StoreError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::assign::Targets;
use super::directory::{Directory, Pulse};
use super::jobs::Jobs;
use super::member::{Ended, Member};
use super::observer::Observer;
use super::plan::{Action, View, plan};
use super::records::Standing;
use super::renew::Holding;
use super::skew::Skew;

/// First and longest pause between two tries to renew.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));
/// A store that takes longer to answer says nothing about clocks.
const PROMPT: Duration = Duration::from_millis(200);

/// What the loop remembers from one look to the next.
struct Mind {
    observer: Observer,
    skew: Skew,
    known: Option<(Directory, Targets)>,
    /// Whether the last plan had nothing to do.
    settled: bool,
}

impl Member {
    /// Does all that a member does until `shutdown`, and then until its slots are with the others; see [`Ended`] for how it
    /// goes on.
    pub async fn run(self: &Arc<Self>, shutdown: CancellationToken) -> Ended {
        let mut holding = Holding::new(&self.registration);
        let ended = tokio::select! {
            biased;
            ended = self.renew(&mut holding) => ended,
            ended = self.work(&shutdown) => ended,
        };
        match &ended {
            Ended::Drained(_) => tracing::info!(ordinal = self.ordinal(), "the shard has given its slots away"),
            Ended::Fenced => {
                self.lost();
                tracing::error!(
                    ordinal = self.ordinal(),
                    "others took this shard for dead: it serves nothing any more"
                );
            }
            Ended::Broken(reason) => {
                self.lost();
                tracing::error!(ordinal = self.ordinal(), reason, "the store is broken");
            }
        }
        ended
    }

    async fn renew(&self, holding: &mut Holding) -> Ended {
        let mut standing = self.standing.subscribe();
        let mut pause = RETRY.0;
        loop {
            let (wanted, began) = (*standing.borrow_and_update(), Instant::now());
            let wait = match holding.renew(&*self.store, &self.ambient, &self.timing, wanted).await {
                Ok(()) => {
                    self.renewed(holding);
                    pause = RETRY.0;
                    self.timing.renew.saturating_sub(began.elapsed())
                }
                Err(StoreError::Fenced { .. }) => return Ended::Fenced,
                Err(StoreError::Broken(reason)) => return Ended::Broken(reason),
                Err(error) => {
                    self.troubled(&error);
                    let wait = self.jitter(pause);
                    pause = (pause * 2).min(RETRY.1);
                    wait
                }
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep(wait) => {}
                _ = standing.changed() => {}
            }
        }
    }

    async fn work(self: &Arc<Self>, shutdown: &CancellationToken) -> Ended {
        let (observer, skew) = (Observer::new(&self.timing), Skew::default());
        let mut mind = Mind { observer, skew, known: None, settled: false };
        let mut jobs = Jobs::new(self);
        let mut deadline: Option<Instant> = None;
        let mut next = Instant::now();
        loop {
            let changed = tokio::select! {
                biased;
                () = jobs.finished() => true,
                () = self.look.notified() => true,
                () = shutdown.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + self.timing.drain);
                    self.want(Standing::Draining);
                    true
                }
                () = tokio::time::sleep_until(next) => false,
            };
            if let Some(reason) = jobs.broken() {
                return Ended::Broken(reason);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                tracing::warn!(
                    ordinal = self.ordinal(),
                    "slots that could not be moved in time are left to be taken over"
                );
                return Ended::Drained(self.departure());
            }
            self.forget();
            next = Instant::now() + self.jitter(self.timing.poll);
            match self.look(&mut mind, changed).await {
                Ok(()) => {}
                Err(StoreError::Broken(reason)) => return Ended::Broken(reason),
                Err(error) => {
                    self.troubled(&error);
                    continue;
                }
            }
            if deadline.is_none() {
                self.want(if mind.skew.is_off() { Standing::ClockOff } else { Standing::Serving });
            }
            match self.act(&mut mind, &mut jobs, deadline.is_some()) {
                Some(Action::Stop) => return Ended::Fenced,
                Some(Action::Leave) => return Ended::Drained(self.departure()),
                _ => {}
            }
        }
    }

    /// Reads who lives and, if anything has changed, all of it.
    async fn look(&self, mind: &mut Mind, changed: bool) -> Result<(), StoreError> {
        let began = Instant::now();
        let pulse = match tokio::time::timeout(self.timing.ttl / 2, Pulse::read(&*self.store)).await {
            Ok(pulse) => pulse?,
            Err(_) => return Err(StoreError::Unavailable("it did not answer in time".to_owned())),
        };
        mind.observer.observe(self.ambient.clock.boot(), &pulse);
        let prompt = began.elapsed() < PROMPT;
        mind.skew.observe(self.ordinal(), self.ambient.clock.wall_micros(), &pulse, prompt);
        let known = mind.known.as_ref().map(|(directory, _)| directory.pulse.generation);
        if changed || known != Some(pulse.generation) {
            mind.settled = false;
            // Nothing is decided by what was known before, even if this fails.
            mind.known = None;
            let directory = self.refresh().await?;
            let targets = Targets::of(&directory);
            mind.known = Some((directory, targets));
        }
        Ok(())
    }

    /// Decides, and starts what is to be done. Answers what ends the loop.
    fn act(self: &Arc<Self>, mind: &mut Mind, jobs: &mut Jobs, leaving: bool) -> Option<Action> {
        let (directory, targets) = mind.known.as_ref()?;
        let now = self.ambient.clock.boot();
        let silent: BTreeSet<u16> = mind.observer.dead(now).map(|(ordinal, _)| ordinal).collect();
        if mind.settled && silent.is_empty() && !leaving {
            return None;
        }
        let busy: SlotSet = jobs.slots().union(&self.coming.lock());
        let view = View {
            me: self.ordinal(),
            incarnation: self.registration.lease().incarnation,
            directory,
            targets,
            silent: &silent,
            serving: &self.holder.serving(),
            busy: &busy,
            not_now: &jobs.not_now(),
            batch: jobs.batch(),
            valid: self.is_valid(),
            leaving,
        };
        let actions = plan(&view);
        mind.settled = actions.is_empty() && busy.is_empty() && view.valid && view.not_now.is_empty();
        for action in actions {
            match action {
                Action::Stop | Action::Leave => return Some(action),
                Action::Fence(ordinal) => {
                    // As it was seen to be silent, not as it is now.
                    let seen = mind.observer.seen(ordinal);
                    let unleased = !directory.pulse.leases.contains_key(&ordinal);
                    if seen.is_some() || unleased {
                        jobs.fence(ordinal, seen.filter(|_| !unleased).cloned());
                    }
                }
                Action::Adopt(slots) => jobs.adopt(slots),
                Action::Move { heir, slots } => jobs.give(heir, slots, directory),
            }
        }
        None
    }

    fn want(&self, wanted: Standing) {
        let changed = self.standing.send_if_modified(|standing| std::mem::replace(standing, wanted) != wanted);
        if changed && wanted == Standing::ClockOff {
            tracing::error!(ordinal = self.ordinal(), "this clock is off the others': the shard gives its slots away");
        }
    }

    /// A quarter more or less, so that members of one store do not ask it together.
    fn jitter(&self, pause: Duration) -> Duration {
        let random = self.ambient.entropy.next_u64() % 512;
        pause * 3 / 4 + pause * random as u32 / 1024
    }
}
