//! Telling why a pod has no node: other schedulers by an annotation, everyone by the condition and an event.
//!
//! Both are levels, not edges: what the pod says is compared with what it should say, after every attempt and every
//! change of the pod, and at most one write about a pod is under way at a time. So it does not matter in which order
//! refusals arrive, nor which of them is written again later.

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use super::{Engine, Telling, What, Written};
use crate::queue::{Place, Told};
use crate::refusal;
use crate::view::PodView;

/// An event that says the same as the last one about this pod is written this seldom.
const SAME_EVENT: Duration = Duration::from_secs(60);

const UNSCHEDULABLE: &str = "Unschedulable";

fn says(pod: &PodView, reason: &str, message: &str) -> bool {
    let is_said =
        |said: &crate::view::Scheduled| said.status == "False" && said.reason == reason && said.message == message;
    pod.scheduled.as_deref().is_some_and(is_said)
}

impl Engine {
    /// Tells what there is to tell about a pod that this scheduler has refused; `is_attempt`: just now.
    pub(super) fn tell(&mut self, uid: &SmolStr, is_attempt: bool) {
        let Some(entry) = self.queue.get(uid).filter(|entry| !entry.is_writing) else { return };
        let Some(diagnosis) = entry.diagnosis.clone() else { return };
        let pod = entry.pod.clone();
        let Some((last, others)) = refusal::order(&pod, &self.members).split_last().map(|(last, others)| {
            (*last == self.members.own, others.iter().map(|one| refusal::of(&pod, one)).collect::<Vec<_>>())
        }) else {
            return;
        };
        if !last {
            self.tell_others(&pod, refusal::encode(&diagnosis));
            return;
        }
        // Somebody has not had its turn, or has not said so: its refusal will be a change of the pod.
        let Some(others) = others.into_iter().collect::<Option<Vec<_>>>() else { return };
        let mut sum = (*diagnosis).clone();
        for other in &others {
            sum.add(other);
        }
        self.tell_everyone(&pod, sum.message(pod.never_preempts), is_attempt);
    }

    fn tell_others(&mut self, pod: &Arc<PodView>, text: String) {
        let own = &self.members.own;
        let told = Told::Refusal(text.clone());
        let entry = self.queue.get_mut(pod.uid()).expect("the caller has looked it up");
        if refusal::text(pod, own) == Some(&text) || entry.told.as_ref() == Some(&told) {
            return;
        }
        entry.told = Some(told);
        entry.is_writing = true;
        let what = What::Refusal { key: refusal::key(own), text };
        self.tellings.push_back(Telling { pod: pod.clone(), what });
    }

    fn tell_everyone(&mut self, pod: &Arc<PodView>, message: String, is_attempt: bool) {
        let now = self.now();
        let told = Told::Condition(message.clone());
        let entry = self.queue.get_mut(pod.uid()).expect("the caller has looked it up");
        let is_told = entry.told.as_ref() == Some(&told);
        let is_patch = !is_told && !says(pod, UNSCHEDULABLE, &message);
        let is_due = entry.last_event.is_none_or(|last| now.saturating_sub(last) >= SAME_EVENT);
        let is_event = is_patch || (is_attempt && is_due);
        if !is_event {
            return;
        }
        entry.told = Some(told);
        entry.last_event = Some(now);
        entry.is_writing = true;
        let what = What::Condition { reason: UNSCHEDULABLE, message, is_patch, is_event };
        self.tellings.push_back(Telling { pod: pod.clone(), what });
    }

    /// The pod's home says that it waits for its gates, where the API server has not.
    pub(super) fn tell_gated(&mut self, pod: &Arc<PodView>) {
        let is_home = refusal::home(pod, &self.members) == Some(&self.members.own);
        if pod.gates.is_empty() || pod.scheduled.is_some() || !is_home {
            return;
        }
        let Some(entry) = self.queue.get_mut(pod.uid()) else { return };
        entry.is_writing = true;
        let message = "Scheduling is blocked due to non-empty scheduling gates".to_owned();
        let what = What::Condition { reason: "SchedulingGated", message, is_patch: true, is_event: false };
        self.tellings.push_back(Telling { pod: pod.clone(), what });
    }

    /// A telling has ended.
    pub(crate) fn told(&mut self, telling: &Telling, written: Written) {
        let now = self.now();
        let uid = telling.pod.uid();
        let Some(entry) = self.queue.get_mut(uid) else { return };
        entry.is_writing = false;
        if written != Written::Done {
            entry.told = None;
        }
        let has_changed = entry.pod.meta.resource_version != telling.pod.meta.resource_version;
        let place = entry.place;
        match written {
            Written::Done => self.tell(uid, false),
            Written::Stale if has_changed => self.tell(uid, false),
            Written::Stale => (),
            Written::Failed if matches!(place, Place::Unschedulable(_)) => self.queue.failed(uid, now),
            Written::Failed => (),
        }
    }
}
