//! What the objects of one namespace take of its quotas, added up.
//!
//! Invariant: what is used of a line is the sum of what the objects that are charged take of it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use api::Value;
use api::quantity::Quantity;
use api::quota::{self, Quota};
use hashbrown::HashMap;
use smol_str::SmolStr;

use crate::sequencer::TableId;
use crate::table::Key;

/// An object that is charged.
pub(crate) type Of = (TableId, Key);

/// One limit of one quota.
#[derive(Debug)]
struct Line {
    /// Index of the quota.
    quota: usize,
    /// `pods`, `requests.cpu`, `count/deployments.apps`
    name: SmolStr,
    hard: Quantity,
}

/// The quotas of a namespace, by name, and their limits one after another.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) quotas: Vec<Quota>,
    lines: Vec<Line>,
}

/// What an object takes: some of each line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    amounts: Vec<(u16, Quantity)>,
    /// See [`quota::Usage::until`].
    until: Option<i64>,
}

impl Rules {
    pub(crate) fn new(mut quotas: Vec<Quota>) -> Self {
        quotas.sort_by(|a, b| a.name.cmp(&b.name));
        let mut lines = Vec::new();
        for (at, quota) in quotas.iter().enumerate() {
            let measured = quota.hard.iter().filter(|(name, _)| quota::is_measured(name));
            lines.extend(measured.map(|(name, hard)| Line { quota: at, name: name.clone(), hard: *hard }));
        }
        // More than anybody has.
        lines.truncate(usize::from(u16::MAX));
        Self { quotas, lines }
    }

    /// Whether objects of a kind are measured by any of them.
    pub(crate) fn measure(&self, id_name: &str) -> bool {
        self.lines.iter().any(|line| quota::measures(id_name, &line.name))
    }

    /// What an object of a kind takes: its document in the stored version.
    pub(crate) fn charge(&self, id_name: &str, document: &Value) -> Charge {
        if !self.measure(id_name) {
            return Charge::default();
        }
        let usage = quota::usage(id_name, document);
        let about: Vec<bool> = self.quotas.iter().map(|quota| quota.is_about(id_name, document)).collect();
        let lines = self.lines.iter().enumerate();
        let lines = lines.filter(|(_, line)| about[line.quota] && quota::measures(id_name, &line.name));
        let amount = |(at, line): (usize, &Line)| Some((at as u16, *usage.amounts.get(&line.name)?));
        let amounts = lines.filter_map(amount).filter(|(_, amount)| !amount.is_zero()).collect();
        Charge { amounts, until: usage.until }
    }

    /// What an object has to say because a quota limits it, in the words of a refusal.
    pub(crate) fn unsaid(&self, id_name: &str, document: &Value) -> Option<String> {
        let quotas = self.quotas.iter().filter(|quota| quota.is_about(id_name, document));
        quotas.into_iter().find_map(|quota| {
            let why = quota::unsaid(id_name, document, quota.hard.keys().map(SmolStr::as_str))?;
            Some(format!("failed quota: {}: {why}", quota.name))
        })
    }
}

/// Why an object does not fit: what of a quota it would pass.
#[derive(Debug)]
pub(crate) struct Exceeded {
    quota: SmolStr,
    /// Name, what is wanted, what is used, and the limit.
    lines: Vec<(SmolStr, Quantity, Quantity, Quantity)>,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |amount: fn(&(SmolStr, Quantity, Quantity, Quantity)) -> &Quantity| {
            let parts: Vec<String> = self.lines.iter().map(|line| format!("{}={}", line.0, amount(line))).collect();
            parts.join(",")
        };
        let (wanted, used, hard) = (list(|line| &line.1), list(|line| &line.2), list(|line| &line.3));
        write!(f, "exceeded quota: {}, requested: {wanted}, used: {used}, limited: {hard}", self.quota)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) rules: Arc<Rules>,
    /// By line.
    used: Vec<Quantity>,
    charges: HashMap<Of, Charge>,
    /// Those that stop to take anything, by when.
    ending: BTreeSet<(i64, Of)>,
}

impl Ledger {
    /// One that nothing is charged to yet.
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        let used = vec![Quantity::default(); rules.lines.len()];
        Self { rules, used, charges: HashMap::new(), ending: BTreeSet::new() }
    }

    /// Charges an object with what it takes from now on. Answers whether that changes anything.
    pub(crate) fn set(&mut self, of: Of, charge: Charge) -> bool {
        if self.charges.get(&of).unwrap_or(&Charge::default()) == &charge {
            return false;
        }
        self.remove(&of);
        for (line, amount) in &charge.amounts {
            let used = &mut self.used[usize::from(*line)];
            *used = used.add(amount);
        }
        if let Some(until) = charge.until {
            self.ending.insert((until, of.clone()));
        }
        if charge != Charge::default() {
            self.charges.insert(of, charge);
        }
        true
    }

    /// Gives back what an object took. Answers whether it took anything.
    pub(crate) fn remove(&mut self, of: &Of) -> bool {
        let Some(charge) = self.charges.remove(of) else { return false };
        for (line, amount) in &charge.amounts {
            let used = &mut self.used[usize::from(*line)];
            *used = used.sub(amount);
        }
        if let Some(until) = charge.until {
            self.ending.remove(&(until, of.clone()));
        }
        true
    }

    /// Gives back what those took whose time is over at `now`, in microseconds since 1970. Answers whether there were any.
    pub(crate) fn end(&mut self, now: i64) -> bool {
        let mut any = false;
        while let Some((until, of)) = self.ending.first().filter(|(until, _)| *until < now).cloned() {
            any = true;
            let Some(mut charge) = self.charges.get(&of).cloned() else {
                self.ending.remove(&(until, of));
                continue;
            };
            // Their place they keep.
            charge.amounts.retain(|(line, _)| quota::counted(&self.rules.lines[usize::from(*line)].name).is_some());
            charge.until = None;
            self.set(of, charge);
        }
        any
    }

    /// The first quota that an object with this charge would pass, by taking more than it does now.
    pub(crate) fn exceeded(&self, of: Option<&Of>, charge: &Charge) -> Option<Exceeded> {
        let before = of.and_then(|of| self.charges.get(of)).map_or(&[][..], |before| before.amounts.as_slice());
        let mut exceeded: Option<Exceeded> = None;
        for (at, amount) in &charge.amounts {
            let Line { quota, name, hard } = &self.rules.lines[usize::from(*at)];
            let mut wanted = *amount;
            if let Some((_, before)) = before.iter().find(|(line, _)| line == at) {
                wanted = wanted.sub(before);
            }
            let used = self.used[usize::from(*at)];
            if wanted.is_zero() || wanted.is_negative() || used.add(&wanted) <= *hard {
                continue;
            }
            let quota = &self.rules.quotas[*quota].name;
            let found = exceeded.get_or_insert_with(|| Exceeded { quota: quota.clone(), lines: Vec::new() });
            if found.quota == *quota {
                found.lines.push((name.clone(), wanted, used, *hard));
            }
        }
        exceeded
    }

    /// What is used of a quota: name and amount of each of its lines.
    pub(crate) fn used(&self, quota: usize) -> impl Iterator<Item = (&SmolStr, &Quantity)> {
        let lines = self.rules.lines.iter().zip(&self.used);
        lines.filter(move |(line, _)| line.quota == quota).map(|(line, used)| (&line.name, used))
    }

    /// Whether it is what another one is.
    #[cfg(test)]
    pub(crate) fn assert_like(&self, other: &Self) {
        let text = |ledger: &Self| ledger.used.iter().map(Quantity::to_string).collect::<Vec<_>>();
        assert_eq!(self.rules.quotas, other.rules.quotas);
        let mut different: Vec<_> =
            self.charges.iter().filter(|(of, charge)| other.charges.get(*of) != Some(charge)).collect();
        different.extend(other.charges.iter().filter(|(of, _)| !self.charges.contains_key(*of)));
        assert!(different.is_empty(), "objects that are charged otherwise: {different:?}");
        assert_eq!(text(self), text(other));
        assert_eq!(self.ending, other.ending);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(quotas: &[Value]) -> Arc<Rules> {
        Arc::new(Rules::new(quotas.iter().map(Quota::of).collect()))
    }

    fn quota(name: &str, spec: Value) -> Value {
        json!({"metadata": {"name": name}, "spec": spec})
    }

    fn pod(cpu: &str) -> Value {
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
    }

    fn of(name: &str) -> Of {
        (TableId(0), ("n".into(), name.into()))
    }

    fn used(ledger: &Ledger, quota: usize) -> String {
        let parts: Vec<String> = ledger.used(quota).map(|(name, used)| format!("{name}={used}")).collect();
        parts.join(",")
    }

    #[test]
    fn what_is_charged_is_given_back() {
        let rules = rules(&[
            quota("b", json!({"hard": {"pods": "2", "requests.cpu": "3", "requests.cpu-of-nobody": "1"}})),
            quota("a", json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]})),
        ]);
        let mut ledger = Ledger::new(rules.clone());
        assert!(ledger.set(of("x"), rules.charge("pods", &pod("1"))));
        assert!(!ledger.set(of("x"), rules.charge("pods", &pod("1"))), "the same again changes nothing");
        assert_eq!((used(&ledger, 0), used(&ledger, 1)), ("pods=0".to_owned(), "pods=1,requests.cpu=1".to_owned()));
        let more = rules.charge("pods", &pod("1500m"));
        let exceeded = ledger.exceeded(Some(&of("y")), &rules.charge("pods", &pod("2500m"))).unwrap().to_string();
        assert_eq!(
            exceeded,
            "exceeded quota: b, requested: requests.cpu=2500m, used: requests.cpu=1, limited: requests.cpu=3"
        );
        assert!(ledger.exceeded(Some(&of("y")), &more).is_none());
        assert!(ledger.set(of("y"), more.clone()));
        let exceeded = ledger.exceeded(Some(&of("z")), &more).unwrap().to_string();
        let expected = "exceeded quota: b, requested: pods=1,requests.cpu=1500m, used: pods=2,requests.cpu=2500m, limited: \
                        pods=2,requests.cpu=3";
        assert_eq!(exceeded, expected);
        assert!(ledger.exceeded(Some(&of("x")), &more).is_none(), "it only takes the difference");
        assert!(ledger.exceeded(None, &more).is_some(), "unless it is to be another one");
        assert!(ledger.exceeded(Some(&of("x")), &rules.charge("pods", &pod("2"))).is_some());
        assert!(ledger.remove(&of("y")) && !ledger.remove(&of("y")));
        assert_eq!(used(&ledger, 1), "pods=1,requests.cpu=1");
        assert!(ledger.set(of("e"), rules.charge("pods", &json!({}))));
        assert_eq!((used(&ledger, 0), used(&ledger, 1)), ("pods=1".to_owned(), "pods=2,requests.cpu=1".to_owned()));
        assert!(ledger.remove(&of("e")) && ledger.remove(&of("x")));
        assert!(ledger.charges.is_empty() && ledger.used.iter().all(Quantity::is_zero));
    }

    #[test]
    fn who_is_stuck_gives_back_what_it_does_not_use() {
        let rules = rules(&[quota("q", json!({"hard": {"pods": "1", "count/pods": "2"}}))]);
        let mut ledger = Ledger::new(rules.clone());
        let mut going = pod("1");
        going["metadata"] = json!({"deletionTimestamp": "1970-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30});
        ledger.set(of("x"), rules.charge("pods", &going));
        assert!(!ledger.end(60_000_000) && ledger.exceeded(Some(&of("y")), &rules.charge("pods", &pod("1"))).is_some());
        assert!(ledger.end(60_000_001) && !ledger.end(60_000_001));
        assert_eq!(used(&ledger, 0), "count/pods=1,pods=0");
        assert!(ledger.exceeded(Some(&of("y")), &rules.charge("pods", &pod("1"))).is_none());
        assert!(ledger.remove(&of("x")));
        assert_eq!(used(&ledger, 0), "count/pods=0,pods=0");
    }
}
