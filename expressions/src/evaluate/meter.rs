//! Limits: what is counted, and when an evaluation is stopped.

use std::fmt;
use std::sync::Arc;

use crate::pattern::Patterns;

/// After how much work the interrupt is looked at.
const INTERVAL: u64 = 1024;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What the expression did wrong: `no such key: x`, `division by zero`.
    Error(Arc<str>),
    /// The limit of costs or of work was reached.
    Exhausted,
    /// The interrupt said so.
    Interrupted,
}

impl Failure {
    /// A mistake of the expression.
    pub fn error(message: impl Into<Arc<str>>) -> Self {
        Failure::Error(message.into())
    }

    pub(crate) fn no_such_overload() -> Self {
        Failure::error("no such overload")
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Error(message) => message,
            Failure::Exhausted => "operation cancelled: actual cost limit exceeded",
            Failure::Interrupted => "operation interrupted",
        })
    }
}

/// When to stop.
#[derive(Clone, Copy)]
pub struct Limit<'m> {
    /// In CEL's units.
    pub cost: u64,
    /// The same of the programs of all variables together; each alone may cost as much as the program itself.
    pub variables: u64,
    /// In steps of this machine (some tens of nanoseconds each), for what costs nothing in CEL's units.
    pub work: u64,
    /// Asked now and then whether the time is up.
    pub interrupted: Option<&'m (dyn Fn() -> bool + Sync)>,
}

impl Limit<'_> {
    /// Of one call, as in Kubernetes: a million.
    pub const PER_CALL: u64 = 1_000_000;

    /// The limit of one call, without an interrupt.
    pub fn per_call() -> Self {
        Self::of(Self::PER_CALL)
    }

    /// A limit of costs, and of work in proportion.
    pub fn of(cost: u64) -> Self {
        Self { cost, variables: cost.saturating_mul(10), work: work_of(cost), interrupted: None }
    }
}

/// The work that goes with a cost at most.
fn work_of(cost: u64) -> u64 {
    cost.saturating_mul(10).max(10_000)
}

impl fmt::Debug for Limit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limit {{ cost: {}, work: {} }}", self.cost, self.work)
    }
}

/// Counts what an evaluation costs, and stops it.
pub struct Meter<'m> {
    limit: Limit<'m>,
    cost: u64,
    /// What the programs of variables have cost.
    variables: u64,
    work: u64,
    work_of_variables: u64,
    look: u64,
    pub(super) depth: u16,
    pub(crate) patterns: Patterns,
}

impl<'m> Meter<'m> {
    /// A meter at zero.
    pub fn new(limit: Limit<'m>) -> Self {
        Self {
            limit,
            cost: 0,
            variables: 0,
            work: 0,
            work_of_variables: 0,
            look: INTERVAL,
            depth: 0,
            patterns: Patterns::default(),
        }
    }

    /// What was spent, in CEL's units.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// What the programs of variables have spent, which is no part of [`Meter::cost`].
    pub fn cost_of_variables(&self) -> u64 {
        self.variables
    }

    /// Runs the program of a variable, which has limits of its own, and those of all variables.
    pub(super) fn nested<T>(&mut self, run: impl FnOnce(&mut Meter<'_>) -> T) -> T {
        let left = self.limit.variables.saturating_sub(self.variables);
        let work = self.limit.work.min(work_of(left).saturating_sub(self.work_of_variables));
        let limit = Limit { cost: self.limit.cost.min(left), variables: left, work, ..self.limit };
        let patterns = std::mem::take(&mut self.patterns);
        let mut inner = Meter { depth: self.depth, patterns, ..Meter::new(limit) };
        let result = run(&mut inner);
        self.patterns = inner.patterns;
        self.variables = self.variables.saturating_add(inner.cost).saturating_add(inner.variables);
        self.work_of_variables += inner.work + inner.work_of_variables;
        result
    }

    /// Spends.
    pub fn charge(&mut self, cost: u64) -> Result<(), Failure> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit.cost {
            return Err(Failure::Exhausted);
        }
        self.work(1)
    }

    /// Works: what is not counted as cost, but takes time or memory.
    pub fn work(&mut self, steps: u64) -> Result<(), Failure> {
        self.work = self.work.saturating_add(steps);
        if self.work > self.limit.work {
            return Err(Failure::Exhausted);
        }
        if self.work >= self.look {
            self.look = self.work + INTERVAL;
            if self.limit.interrupted.is_some_and(|interrupted| interrupted()) {
                return Err(Failure::Interrupted);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meter {{ cost: {}, work: {} }}", self.cost, self.work)
    }
}
