//! How a pod that fits on none of one scheduler's nodes is offered to the next one: through the pod itself.
//!
//! All schedulers of a group order themselves for each pod by rendezvous hashing of its uid. The first, the pod's home,
//! tries at once. One that finds no node writes why into an annotation of its own,
//! `refused-by.scheduling.shardplane.dev/<identity>`, and the next in the order that sees refusals of all before it has
//! its turn. The last one that finds no node either adds all refusals up into the PodScheduled condition and the
//! FailedScheduling event.
//!
//! Nothing depends on turns but who tries first: a scheduler binds to its own nodes only, so no node is overcommitted,
//! and the API server binds a pod only once. So everyone that has refused a pod may bind it later, as soon as one of its
//! own nodes would do, without asking anyone, and a turn that does not come within seconds is taken. An annotation of an
//! identity that is no member any more says nothing.

use api::slot::rendezvous;
use client::Members;
use smol_str::{SmolStr, format_smolstr};

use crate::diagnosis::Diagnosis;
use crate::hash;
use crate::view::PodView;

const PREFIX: &str = "refused-by.scheduling.shardplane.dev/";
/// The longest name part of an annotation's key.
const LONGEST_NAME: usize = 63;

/// Whether an annotation is a refusal.
pub(crate) fn is_refusal(key: &str) -> bool {
    key.starts_with(PREFIX)
}

/// The annotation of an identity. One that cannot stand in a key is replaced by its hash.
pub(crate) fn key(identity: &str) -> SmolStr {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric();
    let bytes = identity.as_bytes();
    let fits = bytes.len() <= LONGEST_NAME
        && bytes.iter().all(|byte| is_plain(*byte) || b"-_.".contains(byte))
        && bytes.first().is_some_and(|byte| is_plain(*byte))
        && bytes.last().is_some_and(|byte| is_plain(*byte));
    if fits { format_smolstr!("{PREFIX}{identity}") } else { format_smolstr!("{PREFIX}{:016x}", hash(identity)) }
}

/// The text of an identity's refusal.
pub(crate) fn text<'a>(pod: &'a PodView, identity: &str) -> Option<&'a str> {
    pod.meta.annotations.get(&key(identity)).map(String::as_str)
}

/// The refusal of an identity; one that cannot be read says nothing about nodes, but it is one.
pub(crate) fn of(pod: &PodView, identity: &str) -> Option<Diagnosis> {
    text(pod, identity).map(|text| serde_json::from_str(text).unwrap_or_default())
}

/// What a refusal's annotation says.
pub(crate) fn encode(diagnosis: &Diagnosis) -> String {
    serde_json::to_string(diagnosis).expect("a diagnosis is plain data")
}

/// The scheduler that tries first.
pub(crate) fn home<'a>(pod: &PodView, members: &'a Members) -> Option<&'a String> {
    rendezvous(hash(pod.uid()), &members.identities)
}

/// All schedulers, in the order in which they try.
pub(crate) fn order<'a>(pod: &PodView, members: &'a Members) -> Vec<&'a str> {
    let key = hash(pod.uid());
    let mut left: Vec<&str> = members.identities.iter().map(String::as_str).collect();
    let mut order = Vec::with_capacity(left.len());
    while let Some(next) = rendezvous(key, &left).copied() {
        left.retain(|member| *member != next);
        order.push(next);
    }
    order
}

/// How many schedulers before this one have not yet refused the pod; 0 when it is this one's turn.
pub(crate) fn ahead(pod: &PodView, members: &Members) -> usize {
    if home(pod, members) == Some(&members.own) || text(pod, &members.own).is_some() {
        return 0;
    }
    let order = order(pod, members);
    order.iter().take_while(|member| **member != members.own).filter(|member| text(pod, member).is_none()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(own: &str) -> Members {
        let identities = ["a", "b", "c"].map(str::to_owned);
        Members { identities: identities.as_slice().into(), own: own.to_owned() }
    }

    #[test]
    fn a_turn_comes_when_all_before_have_refused() {
        for number in 0..100 {
            let mut pod = PodView::default();
            pod.meta.uid = format_smolstr!("uid-{number}");
            let order: Vec<_> = order(&pod, &members("a")).into_iter().map(str::to_owned).collect();
            assert_eq!(order.len(), 3);
            let turns = |pod: &PodView| order.iter().map(|own| ahead(pod, &members(own))).collect::<Vec<_>>();
            assert_eq!(turns(&pod), [0, 1, 2]);
            pod.meta.annotations.insert(key(&order[0]), String::new());
            assert_eq!(turns(&pod), [0, 0, 1]);
            pod.meta.annotations.insert(key("gone"), String::new());
            pod.meta.annotations.insert(key(&order[2]), String::new());
            assert_eq!(turns(&pod), [0, 0, 0], "who has refused may try again whenever it likes");
        }
    }

    #[test]
    fn keys_are_qualified_names() {
        assert_eq!(key("scheduler-0"), "refused-by.scheduling.shardplane.dev/scheduler-0");
        for odd in ["", "a/b", "-a", &"x".repeat(64)] {
            let key = key(odd);
            assert_eq!(key.len(), PREFIX.len() + 16, "{key}");
            assert!(is_refusal(&key));
        }
    }
}
