//! How fast Pods may be evicted from a zone: slower the more of it is down, and not at all when everything is, because
//! then the fault is more likely in between.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hashbrown::HashSet;
use smol_str::SmolStr;

use crate::config::NodeLifecycleConfig;

/// The state of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneState {
    /// Just seen.
    Initial,
    /// Most Nodes are ready.
    Normal,
    /// At least three Nodes and the threshold's share are not.
    Partial,
    /// No Node is ready.
    Full,
}

/// Nodes of a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Ready ones.
    pub ready: usize,
    /// Others.
    pub not_ready: usize,
}

/// What a round changed for the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing that concerns all zones.
    None,
    /// No Node of any zone is ready any more: eviction stops.
    EnteredFull,
    /// Some Node is ready again: eviction resumes, with every Node's silence forgiven.
    LeftFull,
}

impl Count {
    /// What it says about its zone.
    pub fn state(&self, threshold: f32) -> ZoneState {
        let total = self.ready + self.not_ready;
        if self.ready == 0 && self.not_ready > 0 {
            ZoneState::Full
        } else if self.not_ready > 2 && self.not_ready as f32 / total as f32 >= threshold {
            ZoneState::Partial
        } else {
            ZoneState::Normal
        }
    }
}

struct Zone {
    state: ZoneState,
    queue: Rationed,
}

/// All zones of the cluster.
pub struct Zones {
    zones: BTreeMap<SmolStr, Zone>,
    config: NodeLifecycleConfig,
}

impl Zones {
    /// No zone yet.
    pub fn new(config: NodeLifecycleConfig) -> Self {
        Self { zones: BTreeMap::new(), config }
    }

    fn zone(&mut self, name: &SmolStr, now: Duration) -> &mut Zone {
        let rate = self.config.eviction_rate;
        let new = || Zone { state: ZoneState::Initial, queue: Rationed::new(rate, now) };
        self.zones.entry(name.clone()).or_insert_with(new)
    }

    fn rate(&self, state: ZoneState, nodes: usize) -> f32 {
        match state {
            ZoneState::Initial | ZoneState::Normal | ZoneState::Full => self.config.eviction_rate,
            ZoneState::Partial if nodes > self.config.large_cluster_threshold => self.config.secondary_eviction_rate,
            ZoneState::Partial => 0.0,
        }
    }

    /// Takes over how many Nodes of each zone are ready.
    pub fn update(&mut self, counts: &BTreeMap<SmolStr, Count>, now: Duration) -> Turn {
        for name in counts.keys() {
            self.zone(name, now);
        }
        self.zones.retain(|name, _| counts.contains_key(name));
        let states: BTreeMap<&SmolStr, ZoneState> =
            counts.iter().map(|(name, count)| (name, count.state(self.config.unhealthy_zone_threshold))).collect();
        let are_full = states.values().all(|state| *state == ZoneState::Full);
        let were_full = self.zones.values().all(|zone| zone.state == ZoneState::Full);
        if are_full && were_full {
            return Turn::None;
        }
        for (name, state) in states {
            let count = counts[name];
            let rate = if are_full { 0.0 } else { self.rate(state, count.ready + count.not_ready) };
            let zone = self.zone(name, now);
            if are_full || were_full || zone.state != state {
                zone.queue.set_rate(rate, now);
            }
            if zone.state != state && zone.state != ZoneState::Initial {
                tracing::info!(zone = ?name, from = ?zone.state, to = ?state, "a zone changed its state");
            }
            zone.state = state;
        }
        match (are_full, were_full) {
            (true, false) => Turn::EnteredFull,
            (false, true) => Turn::LeftFull,
            _ => Turn::None,
        }
    }

    /// A Node of this zone waits for its NoExecute taint. Once is enough.
    pub fn add(&mut self, zone: &SmolStr, node: &SmolStr, now: Duration) {
        self.zone(zone, now).queue.add(node);
    }

    /// A Node does not wait any more.
    pub fn remove(&mut self, zone: &SmolStr, node: &SmolStr) {
        if let Some(zone) = self.zones.get_mut(zone) {
            zone.queue.remove(node);
        }
    }

    /// The Nodes whose turn it is, with their zones.
    pub fn due(&mut self, now: Duration) -> Vec<(SmolStr, SmolStr)> {
        let mut due = Vec::new();
        for (name, zone) in &mut self.zones {
            while let Some(node) = zone.queue.next(now) {
                due.push((name.clone(), node));
            }
        }
        due
    }

    /// The taint could not be set: the Node is next again, and its turn is not lost.
    pub fn give_back(&mut self, zone: &SmolStr, node: &SmolStr) {
        if let Some(zone) = self.zones.get_mut(zone) {
            zone.queue.give_back(node);
        }
    }
}

/// A queue without duplicates behind a token bucket that holds one token.
struct Rationed {
    rate: f32,
    tokens: f64,
    at: Duration,
    queue: VecDeque<SmolStr>,
    waiting: HashSet<SmolStr>,
}

impl Rationed {
    fn new(rate: f32, now: Duration) -> Self {
        Self { rate, tokens: 1.0, at: now, queue: VecDeque::new(), waiting: HashSet::new() }
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * f64::from(self.rate)).min(1.0);
        self.at = now;
    }

    fn set_rate(&mut self, rate: f32, now: Duration) {
        self.refill(now);
        self.rate = rate;
    }

    fn add(&mut self, node: &SmolStr) {
        if self.waiting.insert(node.clone()) {
            self.queue.push_back(node.clone());
        }
    }

    fn remove(&mut self, node: &SmolStr) {
        if self.waiting.remove(node) {
            self.queue.retain(|other| other != node);
        }
    }

    fn next(&mut self, now: Duration) -> Option<SmolStr> {
        self.refill(now);
        if self.tokens < 1.0 || self.rate <= 0.0 {
            return None;
        }
        let node = self.queue.pop_front()?;
        self.waiting.remove(&node);
        self.tokens -= 1.0;
        Some(node)
    }

    fn give_back(&mut self, node: &SmolStr) {
        self.tokens = 1.0;
        if self.waiting.insert(node.clone()) {
            self.queue.push_front(node.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn counts(zones: &[(&str, usize, usize)]) -> BTreeMap<SmolStr, Count> {
        zones
            .iter()
            .map(|(name, ready, not_ready)| ((*name).into(), Count { ready: *ready, not_ready: *not_ready }))
            .collect()
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn states_by_the_share_that_is_down() {
        let state = |ready, not_ready| Count { ready, not_ready }.state(0.55);
        assert_eq!(state(0, 0), ZoneState::Normal);
        assert_eq!(state(0, 1), ZoneState::Full);
        assert_eq!(state(1, 2), ZoneState::Normal, "two Nodes are too few to judge");
        assert_eq!(state(2, 3), ZoneState::Partial);
        assert_eq!(state(46, 54), ZoneState::Normal);
        assert_eq!(state(45, 55), ZoneState::Partial);
    }

    #[test]
    fn a_healthy_zone_loses_one_node_in_ten_seconds() {
        let mut zones = Zones::new(NodeLifecycleConfig::default());
        assert_eq!(zones.update(&counts(&[("a", 100, 5)]), at(0.0)), Turn::None);
        for node in 0..5 {
            zones.add(&"a".into(), &format!("n{node}").into(), at(0.0));
            zones.add(&"a".into(), &format!("n{node}").into(), at(0.0));
        }
        assert_eq!(zones.due(at(0.1)).len(), 1, "the first goes at once");
        assert_eq!(zones.due(at(9.0)).len(), 0);
        zones.remove(&"a".into(), &"n1".into());
        assert_eq!(zones.due(at(10.2)), [("a".into(), "n2".into())]);
        zones.give_back(&"a".into(), &"n2".into());
        assert_eq!(zones.due(at(10.3)), [("a".into(), "n2".into())], "a turn that failed is not lost");
    }

    #[test]
    fn an_unhealthy_zone_slows_down_and_a_small_one_stops() {
        let mut zones = Zones::new(NodeLifecycleConfig::default());
        zones.update(&counts(&[("large", 40, 60), ("small", 4, 6)]), at(0.0));
        for zone in ["large", "small"] {
            for node in 0..3 {
                zones.add(&zone.into(), &format!("{zone}-{node}").into(), at(0.0));
            }
        }
        let mut order = Vec::new();
        for second in 0..250 {
            order.extend(zones.due(at(f64::from(second))).into_iter().map(|(zone, _)| (zone, second)));
        }
        let large: Vec<i32> = order.iter().filter(|(zone, _)| zone == "large").map(|(_, second)| *second).collect();
        assert_eq!(large.len(), 3);
        assert!(large[1] >= 99 && large[2] >= 199, "one in a hundred seconds: {large:?}");
        assert!(order.iter().all(|(zone, _)| zone != "small"), "{order:?}");
    }

    #[test]
    fn when_everything_is_down_nothing_is_evicted() {
        let mut zones = Zones::new(NodeLifecycleConfig::default());
        zones.update(&counts(&[("a", 3, 0), ("b", 3, 0)]), at(0.0));
        assert_eq!(zones.update(&counts(&[("a", 0, 3), ("b", 1, 2)]), at(1.0)), Turn::None);
        assert_eq!(zones.update(&counts(&[("a", 0, 3), ("b", 0, 3)]), at(2.0)), Turn::EnteredFull);
        assert_eq!(zones.update(&counts(&[("a", 0, 3), ("b", 0, 3)]), at(3.0)), Turn::None);
        zones.add(&"a".into(), &"n".into(), at(3.0));
        assert!(zones.due(at(1000.0)).is_empty());
        assert_eq!(zones.update(&counts(&[("a", 1, 2), ("b", 0, 3)]), at(1001.0)), Turn::LeftFull);
        assert_eq!(zones.due(at(1011.0)).len(), 1);
    }

    #[test]
    fn no_zone_ever_exceeds_its_rate() {
        for seed in 0..50 {
            let mut random = StdRng::seed_from_u64(seed);
            let config = NodeLifecycleConfig::default();
            let mut zones = Zones::new(config);
            let (mut time, mut evicted) = (0.0, 0);
            for node in 0..2000 {
                zones.add(&"a".into(), &node.to_string().into(), at(0.0));
            }
            for _ in 0..500 {
                time += random.random_range(0.0..20.0);
                let ready = random.random_range(0..100);
                zones.update(&counts(&[("a", ready, 100 - ready), ("b", 1, 0)]), at(time));
                evicted += zones.due(at(time)).len();
            }
            let most = 1.0 + time * f64::from(config.eviction_rate);
            assert!((evicted as f64) <= most, "seed {seed}: {evicted} in {time} s");
        }
    }
}
