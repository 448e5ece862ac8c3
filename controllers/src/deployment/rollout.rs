//! How large each ReplicaSet of a Deployment should be: decisions only, no I/O.
//!
//! Invariants, which the model test below holds over random readiness: a step never raises the total above
//! `desired + surge`, and never takes away what availability needs, `desired - unavailable`.

use client::Kept;
use smol_str::SmolStr;

use crate::views::{Deployment, IntOrPercent, ReplicaSet};

/// Annotation of a ReplicaSet: how many replicas its Deployment wanted when it was scaled last.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// Annotation of a ReplicaSet: how many its Deployment could have had at most then.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// What a Deployment allows, in Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// spec.replicas
    pub desired: i32,
    /// Pods above the desired number.
    pub surge: i32,
    /// Pods that may be missing.
    pub unavailable: i32,
    /// Whether the strategy is RollingUpdate.
    pub rolling: bool,
}

/// One ReplicaSet, as far as its size matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its name.
    pub name: SmolStr,
    /// spec.replicas
    pub replicas: i32,
    /// status.availableReplicas
    pub available: i32,
    /// Whether its status speaks of its newest spec.
    pub observed: bool,
    /// Annotation [`DESIRED_REPLICAS`].
    pub desired: Option<i32>,
    /// Annotation [`MAX_REPLICAS`].
    pub max: Option<i32>,
    /// creationTimestamp
    pub created: SmolStr,
}

/// A ReplicaSet, by its place in the list, and the size that it should have.
pub type Resize = (usize, i32);

impl Limits {
    /// Reads them off a Deployment: a surge of 25% rounds up, an unavailability of 25% down, and they are never both 0.
    pub fn of(deployment: &Deployment) -> Self {
        let desired = deployment.replicas();
        if deployment.spec.strategy.kind != "RollingUpdate" {
            return Self { desired, surge: 0, unavailable: 0, rolling: false };
        }
        let update = &deployment.spec.strategy.rolling_update;
        let surge = resolve(update.max_surge.as_ref(), desired, true);
        let mut unavailable = resolve(update.max_unavailable.as_ref(), desired, false);
        if surge == 0 && unavailable == 0 {
            // Rounding down may have made it 0; without either the rollout would stand still.
            unavailable = 1;
        }
        Self { desired, surge, unavailable: unavailable.min(desired), rolling: true }
    }

    /// The most Pods that there may be.
    pub fn most(&self) -> i32 {
        self.desired.saturating_add(self.surge)
    }

    fn least_available(&self) -> i32 {
        self.desired - self.unavailable
    }
}

fn resolve(value: Option<&IntOrPercent>, desired: i32, up: bool) -> i32 {
    match value {
        None => 0,
        Some(IntOrPercent::Number(number)) => (*number).max(0),
        Some(IntOrPercent::Percent(text)) => {
            let percent: i64 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(0);
            let hundredths = percent.saturating_mul(i64::from(desired));
            let pods = if up { hundredths.saturating_add(99) / 100 } else { hundredths / 100 };
            i32::try_from(pods).unwrap_or(i32::MAX)
        }
    }
}

impl Size {
    /// Reads it off a ReplicaSet.
    pub fn of(set: &ReplicaSet) -> Self {
        Self {
            name: set.metadata.name.clone(),
            replicas: set.replicas(),
            available: set.status.available_replicas,
            observed: set.status.observed_generation >= set.meta().generation,
            desired: set.number(DESIRED_REPLICAS),
            max: set.number(MAX_REPLICAS),
            created: set.metadata.creation_timestamp.clone(),
        }
    }

    fn is_saturated(&self, limits: &Limits) -> bool {
        [self.replicas, self.available].iter().all(|number| *number == limits.desired)
            && self.desired == Some(limits.desired)
    }
}

fn total(sets: &[Size]) -> i32 {
    sets.iter().map(|set| set.replicas).fold(0, i32::saturating_add)
}

/// How large the new ReplicaSet should become, all ReplicaSets together having `total` replicas now.
pub fn grow_new(limits: &Limits, total: i32, new: i32) -> i32 {
    if !limits.rolling {
        return limits.desired;
    }
    if total >= limits.most() {
        return new;
    }
    new + (limits.most() - total).min(limits.desired - new)
}

/// One step of a rolling update over `sets`, of which `sets[new]` has the wanted template. Empty when nothing can be
/// done until Pods become available.
pub fn roll(limits: &Limits, sets: &[Size], new: usize) -> Vec<Resize> {
    let size = sets[new].replicas;
    if size > limits.desired {
        return vec![(new, limits.desired)];
    }
    if size < limits.desired {
        let grown = grow_new(limits, total(sets), size);
        if grown != size {
            return vec![(new, grown)];
        }
    }
    shrink_old(limits, sets, new)
}

/// Takes away from old ReplicaSets, the oldest first: first what is not available anyway, so that broken Pods do not hold
/// the rollout up, then what availability can spare.
fn shrink_old(limits: &Limits, sets: &[Size], new: usize) -> Vec<Resize> {
    let old = by_age(sets, |at| at != new && sets[at].replicas > 0);
    let stale = |at: usize| !sets[at].observed || sets[at].available > sets[at].replicas;
    if old.is_empty() || stale(new) || old.iter().any(|at| stale(*at)) {
        // Counts of an earlier spec would let us take too many; the next status wakes us.
        return Vec::new();
    }
    let missing = sets[new].replicas - sets[new].available;
    let mut spare = total(sets) - limits.least_available() - missing;
    let mut sizes: Vec<i32> = sets.iter().map(|set| set.replicas).collect();
    for at in &old {
        let unhealthy = (sizes[*at] - sets[*at].available).min(spare);
        if unhealthy > 0 {
            sizes[*at] -= unhealthy;
            spare -= unhealthy;
        }
    }
    if spare > 0 {
        let available: i32 = sets.iter().map(|set| set.available).sum();
        let mut enough = (available - limits.least_available()).min(spare);
        for at in &old {
            let fewer = sizes[*at].min(enough);
            if fewer > 0 {
                sizes[*at] -= fewer;
                enough -= fewer;
            }
        }
    }
    old.into_iter().filter(|at| sizes[*at] != sets[*at].replicas).map(|at| (at, sizes[at])).collect()
}

fn by_age(sets: &[Size], keep: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sets.len()).filter(|at| keep(*at)).collect();
    order.sort_by(|a, b| (&sets[*a].created, &sets[*a].name).cmp(&(&sets[*b].created, &sets[*b].name)));
    order
}

/// Whether the Deployment was scaled since its ReplicaSets were.
pub fn is_scaling(limits: &Limits, sets: &[Size]) -> bool {
    sets.iter().any(|set| set.replicas > 0 && set.desired.is_some_and(|desired| desired != limits.desired))
}

/// Resizes after the Deployment itself was scaled, or while it is paused. In the middle of a rollout every ReplicaSet gets
/// its proportion, so that the risk stays spread as it was. `status_replicas` is the Deployment's own count.
pub fn scale(limits: &Limits, sets: &[Size], new: Option<usize>, status_replicas: i32) -> Vec<Resize> {
    let active: Vec<usize> = (0..sets.len()).filter(|at| sets[*at].replicas > 0).collect();
    let newest = || by_age(sets, |_| true).last().copied();
    let only = match active.as_slice() {
        [] => new.or_else(newest),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(at) = only {
        return if sets[at].replicas == limits.desired { Vec::new() } else { vec![(at, limits.desired)] };
    }
    if new.is_some_and(|at| sets[at].is_saturated(limits)) {
        return active.into_iter().filter(|at| Some(*at) != new).map(|at| (at, 0)).collect();
    }
    if limits.rolling && !active.is_empty() { proportional(limits, sets, active, status_replicas) } else { Vec::new() }
}

fn proportional(limits: &Limits, sets: &[Size], mut active: Vec<usize>, status_replicas: i32) -> Vec<Resize> {
    let allowed = if limits.desired > 0 { limits.most() } else { 0 };
    let change = allowed - active.iter().map(|at| sets[*at].replicas).sum::<i32>();
    // From the largest to the smallest; of equals, the newer grow first and the older shrink first.
    active.sort_by(|a, b| {
        let age = (&sets[*a].created, &sets[*a].name).cmp(&(&sets[*b].created, &sets[*b].name));
        let age = if change > 0 { age.reverse() } else { age };
        sets[*b].replicas.cmp(&sets[*a].replicas).then(age)
    });
    let mut given = 0;
    let mut sizes: Vec<Resize> = Vec::with_capacity(active.len());
    for at in active {
        let left = change - given;
        let fair = fraction(limits, &sets[at], status_replicas);
        let part = if change > 0 { fair.min(left) } else { fair.max(left) };
        let part = if change == 0 { 0 } else { part };
        given += part;
        sizes.push((at, sets[at].replicas + part));
    }
    if let Some(largest) = sizes.first_mut() {
        largest.1 = (largest.1 + change - given).max(0);
    }
    sizes
}

fn fraction(limits: &Limits, set: &Size, status_replicas: i32) -> i32 {
    if limits.desired == 0 {
        return -set.replicas;
    }
    let before = set.max.filter(|max| *max > 0).unwrap_or(status_replicas);
    if before == 0 {
        return 0;
    }
    let size = f64::from(set.replicas) * f64::from(limits.most()) / f64::from(before);
    size.round() as i32 - set.replicas
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use serde_json::json;

    use super::*;

    fn limits(desired: i32, surge: &str, unavailable: &str) -> Limits {
        let value = |text: &str| text.parse::<i32>().map_or_else(|_| json!(text), |number| json!(number));
        let update = json!({ "maxSurge": value(surge), "maxUnavailable": value(unavailable) });
        let deployment = json!({
            "spec": { "replicas": desired, "strategy": { "type": "RollingUpdate", "rollingUpdate": update } }
        });
        Limits::of(&serde_json::from_value(deployment).unwrap())
    }

    fn size(name: &str, replicas: i32, available: i32) -> Size {
        let (name, created) = (SmolStr::from(name), SmolStr::from(name));
        Size { name, replicas, available, observed: true, desired: None, max: None, created }
    }

    #[test]
    fn percents_round_surge_up_and_unavailability_down_and_are_never_both_zero() {
        let pair = |limits: Limits| (limits.surge, limits.unavailable);
        assert_eq!(pair(limits(10, "25%", "25%")), (3, 2));
        assert_eq!(pair(limits(3, "25%", "25%")), (1, 0));
        assert_eq!(pair(limits(2, "0", "1%")), (0, 1));
        assert_eq!(pair(limits(1, "1%", "0%")), (1, 0));
        assert_eq!(pair(limits(4, "100%", "50%")), (4, 2));
        assert_eq!(pair(limits(2, "0", "5")), (0, 2));
        assert_eq!(pair(limits(0, "25%", "25%")), (0, 0));
    }

    #[test]
    fn the_steps_of_the_documentation() {
        // Ten replicas, three more and two fewer allowed.
        let limits = limits(10, "3", "2");
        assert_eq!(roll(&limits, &[size("a", 10, 10), size("b", 0, 0)], 1), [(1, 3)]);
        assert_eq!(roll(&limits, &[size("a", 10, 10), size("b", 3, 0)], 1), [(0, 8)]);
        assert_eq!(roll(&limits, &[size("a", 8, 8), size("b", 3, 0)], 1), [(1, 5)]);
        assert_eq!(roll(&limits, &[size("a", 8, 8), size("b", 5, 0)], 1), []);
        // One old Pod becomes unavailable while the new ones crash: nothing may be taken.
        assert_eq!(roll(&limits, &[size("a", 8, 7), size("b", 5, 0)], 1), []);
        // Back to the good template: four of the crashing ones go.
        assert_eq!(roll(&limits, &[size("a", 8, 7), size("b", 5, 0)], 0), [(1, 1)]);
        // Counts of an older spec are not acted upon.
        assert_eq!(roll(&limits, &[size("a", 8, 10), size("b", 5, 5)], 1), []);
    }

    #[test]
    fn scaling_a_rollout_keeps_its_proportions() {
        let with_max =
            |name, replicas, max| Size { max: Some(max), desired: Some(10), ..size(name, replicas, replicas) };
        // 10 + 3 surge, scaled to 15 in the middle of a rollout: 18 allowed.
        let sets = [with_max("a", 8, 13), with_max("b", 5, 13)];
        let grown = scale(&limits(15, "3", "2"), &sets, Some(1), 13);
        assert_eq!(grown, [(0, 11), (1, 7)]);
        let shrunk = scale(&limits(5, "3", "2"), &sets, Some(1), 13);
        assert_eq!(shrunk, [(0, 5), (1, 3)]);
        assert_eq!(scale(&limits(0, "3", "2"), &sets, Some(1), 13), [(0, 0), (1, 0)]);
        assert_eq!(scale(&limits(7, "3", "2"), &[size("a", 5, 5), size("b", 0, 0)], None, 5), [(0, 7)]);
        assert_eq!(scale(&limits(7, "3", "2"), &[size("a", 0, 0), size("b", 0, 0)], None, 0), [(1, 7)]);
    }

    /// A ReplicaSet of the model: Pods are either available or not.
    struct Pods {
        wanted: i32,
        ready: i32,
        unready: i32,
        /// What its status says: lags behind.
        status: (i32, bool),
    }

    impl Pods {
        /// What the ReplicaSet controller does: unavailable Pods go first.
        fn sync(&mut self) {
            while self.ready + self.unready > self.wanted {
                if self.unready > 0 { self.unready -= 1 } else { self.ready -= 1 }
            }
            self.unready += self.wanted - self.ready - self.unready;
            self.status = (self.ready, true);
        }
    }

    #[test]
    fn a_rollout_never_leaves_its_limits_and_ends() {
        for seed in 0..400 {
            let mut random = StdRng::seed_from_u64(seed);
            let desired = random.random_range(1..40);
            let surge = random.random_range(0..=desired);
            let unavailable = random.random_range(i32::from(surge == 0)..=desired);
            let limits = limits(desired, &surge.to_string(), &unavailable.to_string());
            let mut sets = vec![Pods { wanted: desired, ready: desired, unready: 0, status: (desired, true) }];
            for _ in 0..random.random_range(1..4) {
                sets.push(Pods { wanted: 0, ready: 0, unready: 0, status: (0, true) });
                let (new, patience) = (sets.len() - 1, random.random_range(0..400));
                let last = sets.len() >= 3;
                let mut steps = 0;
                while sets[new].ready < desired || sets[..new].iter().any(|set| set.wanted > 0) {
                    steps += 1;
                    assert!(steps < 20_000, "seed {seed}: the rollout stands still");
                    if !last && steps > patience {
                        break;
                    }
                    step(&mut random, &limits, &mut sets, new);
                    let wanted: i32 = sets.iter().map(|set| set.wanted).sum();
                    assert!(wanted <= limits.most(), "seed {seed}: {wanted} Pods, {} allowed", limits.most());
                    let ready: i32 = sets.iter().map(|set| set.ready).sum();
                    let least = limits.least_available();
                    assert!(ready >= least, "seed {seed}: {ready} available, {least} promised");
                }
            }
        }
    }

    fn step(random: &mut StdRng, limits: &Limits, sets: &mut [Pods], new: usize) {
        match random.random_range(0..3) {
            0 => {
                let view = sets.iter().enumerate().map(|(at, set)| Size {
                    observed: set.status.1,
                    ..size(&format!("{at:03}"), set.wanted, set.status.0)
                });
                for (at, replicas) in roll(limits, &view.collect::<Vec<_>>(), new) {
                    sets[at].wanted = replicas;
                    sets[at].status.1 = false;
                }
            }
            1 => {
                let at = random.random_range(0..sets.len());
                sets[at].sync();
            }
            _ => {
                let at = random.random_range(0..sets.len());
                if sets[at].unready > 0 {
                    sets[at].unready -= 1;
                    sets[at].ready += 1;
                }
            }
        }
    }
}
