//! Which part of the work is this member's (DESIGN D7).
//!
//! Namespaced work is split by the slot of its namespace, so that a Deployment, its ReplicaSets and its Pods are worked
//! on beside the one writer that holds them. What looks across namespaces runs in one elected member: whoever wins the
//! rendezvous of a fixed key. Two members may both believe for a moment that a part is theirs; every action is safe to
//! do twice.

use std::future::Future;

use api::slot;
use client::Members;
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The logical cluster whose namespaces are split (DESIGN D11). Every member must use the same.
const CLUSTER: &str = "default";

/// A part of the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// What lives in this namespace, the Namespace itself included.
    Namespace(SmolStr),
    /// Work of a term of office: whoever runs it was elected for it (see [`while_elected`]).
    Term,
}

/// This member's share, as it changes.
#[derive(Clone)]
pub struct Share {
    members: watch::Receiver<Members>,
}

/// This member's share at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(Members);

impl Snapshot {
    /// Whether a part is ours.
    pub fn owns(&self, part: &Part) -> bool {
        owns(&self.0, part)
    }
}

fn owns(members: &Members, part: &Part) -> bool {
    match part {
        Part::Namespace(namespace) => members.owns(u64::from(slot::of_namespace(CLUSTER, namespace).0)),
        Part::Term => true,
    }
}

/// Slots end at 12 bits, so no namespace has this key.
fn office(name: &str) -> u64 {
    (u64::from(slot::of_namespace("office", name).0) << 32) | 1 << 20
}

impl Share {
    /// A share that follows the members.
    pub fn new(members: watch::Receiver<Members>) -> Self {
        Self { members }
    }

    /// Whether a part is ours now.
    pub fn owns(&self, part: &Part) -> bool {
        owns(&self.members.borrow(), part)
    }

    /// The share as it is now; later changes are reported by [`Share::changed`].
    pub fn snapshot(&mut self) -> Snapshot {
        Snapshot(self.members.borrow_and_update().clone())
    }

    /// Waits for the members to change; false at shutdown.
    pub async fn changed(&mut self, shutdown: &CancellationToken) -> bool {
        tokio::select! {
            () = shutdown.cancelled() => false,
            changed = self.members.changed() => {
                if changed.is_err() {
                    // Nobody can change them any more: what we have stays ours until the end.
                    shutdown.cancelled().await;
                }
                changed.is_ok()
            }
        }
    }

    fn holds(&mut self, key: u64) -> bool {
        self.members.borrow_and_update().owns(key)
    }
}

/// Runs `term` whenever this member is the one elected for `name`, with a token that ends the term. A term starts from
/// nothing: what the one before remembered may be stale.
pub async fn while_elected<F, T>(mut share: Share, name: &'static str, shutdown: CancellationToken, term: F)
where
    F: Fn(CancellationToken) -> T,
    T: Future<Output = ()>,
{
    let key = office(name);
    loop {
        while !share.holds(key) {
            if !share.changed(&shutdown).await {
                return;
            }
        }
        let end = shutdown.child_token();
        let running = term(end.clone());
        tokio::pin!(running);
        loop {
            tokio::select! {
                () = &mut running => return,
                more = share.changed(&shutdown) => {
                    if !more || !share.holds(key) {
                        break;
                    }
                }
            }
        }
        end.cancel();
        running.await;
        if shutdown.is_cancelled() {
            return;
        }
        tracing::info!(controller = name, "another member was elected");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn members(own: &str, all: &[&str]) -> Members {
        Members { identities: all.iter().map(|name| (*name).to_owned()).collect(), own: own.to_owned() }
    }

    #[test]
    fn every_namespace_has_exactly_one_owner() {
        let all = ["a", "b", "c"];
        let shares: Vec<Snapshot> = all.iter().map(|own| Snapshot(members(own, &all))).collect();
        let mut each = [0; 3];
        for number in 0..600 {
            let part = Part::Namespace(format!("ns-{number}").into());
            let owners: Vec<usize> = (0..3).filter(|at| shares[*at].owns(&part)).collect();
            assert_eq!(owners.len(), 1, "{part:?}");
            each[owners[0]] += 1;
        }
        assert!(each.iter().all(|count| *count > 120), "{each:?}");
        assert!(!Snapshot(members("", &all)).owns(&Part::Namespace("ns-1".into())), "a lost Lease owns nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn exactly_one_member_holds_an_office_and_hands_it_over() {
        let all = ["a", "b"];
        let shutdown = CancellationToken::new();
        let running = Arc::new(AtomicUsize::new(0));
        let mut senders = Vec::new();
        for own in all {
            let (sender, receiver) = watch::channel(members(own, &all));
            senders.push(sender);
            let (running, shutdown) = (running.clone(), shutdown.clone());
            tokio::spawn(while_elected(Share::new(receiver), "test", shutdown, move |end| {
                let running = running.clone();
                async move {
                    running.fetch_add(1, Ordering::SeqCst);
                    end.cancelled().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                }
            }));
        }
        // Time stands still while anybody has something to do: this returns when nobody has.
        let settle = || tokio::time::sleep(std::time::Duration::from_millis(30));
        settle().await;
        assert_eq!(running.load(Ordering::SeqCst), 1);
        for (at, own) in all.iter().enumerate() {
            senders[at].send(members(own, &all[1..])).unwrap();
        }
        settle().await;
        assert_eq!(running.load(Ordering::SeqCst), 1);
        shutdown.cancel();
        settle().await;
        assert_eq!(running.load(Ordering::SeqCst), 0);
    }
}
