//! What was measured, as a table for people and as JSON for machines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::pace::histogram;
use crate::server::Taken;

/// One kind of request or wait.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What it was.
    pub name: String,
    /// Requests a second that were asked for; 0: as fast as the answers came.
    pub rate: u32,
    /// Microseconds from the intended start to the end of the answer, successes only.
    pub latencies: Histogram<u64>,
    /// From the first start to the last answer.
    pub elapsed: Duration,
    /// Bytes of answers.
    pub bytes: u64,
    /// Failures by what the server, or the network, said.
    pub failures: BTreeMap<String, u64>,
    /// What the server took meanwhile, where its processes were named.
    pub server: Option<Cost>,
}

/// What the server took of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// CPU time of all its processes.
    pub cpu: Duration,
    /// Resident bytes of all its processes before and after.
    pub resident: (u64, u64),
}

impl Cost {
    /// Between two looks, if both were possible.
    pub(crate) fn between(before: Option<Taken>, after: Option<Taken>) -> Option<Self> {
        let (before, after) = before.zip(after)?;
        Some(Self { cpu: after.cpu.saturating_sub(before.cpu), resident: (before.resident, after.resident) })
    }
}

impl Measured {
    pub(crate) fn new(name: String, rate: u32) -> Self {
        let (latencies, failures) = (histogram(), BTreeMap::new());
        Self { name, rate, latencies, elapsed: Duration::ZERO, bytes: 0, failures, server: None }
    }

    /// Successes a second.
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn quantile(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// Microseconds of the server's CPU for each success.
    pub fn cpu_micros(&self) -> Option<f64> {
        let cost = self.server?;
        Some(cost.cpu.as_secs_f64() * 1e6 / self.latencies.len().max(1) as f64)
    }

    fn to_value(&self) -> Value {
        json!({
            "name": self.name,
            "requests": self.latencies.len(),
            "failed": self.failed(),
            "failures": self.failures,
            "askedPerSecond": self.rate,
            "perSecond": self.per_second(),
            "elapsedSeconds": self.elapsed.as_secs_f64(),
            "bytes": self.bytes,
            "serverCpuMicroseconds": self.cpu_micros(),
            "serverResidentBytes": self.server.map(|cost| json!({"before": cost.resident.0, "after": cost.resident.1})),
            "latencyMilliseconds": {
                "p50": self.quantile(0.50), "p90": self.quantile(0.90), "p99": self.quantile(0.99),
                "p999": self.quantile(0.999), "max": self.latencies.max() as f64 / 1000.0,
            },
        })
    }
}

/// Everything that one run measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the run.
    pub measured: Vec<Measured>,
    /// What the figures mean, where a name cannot say it.
    pub notes: Vec<String>,
}

impl Report {
    /// For machines.
    pub fn to_value(&self) -> Value {
        json!({ "measured": self.measured.iter().map(Measured::to_value).collect::<Vec<_>>(), "notes": self.notes })
    }

    /// Whether any request failed.
    pub fn has_failures(&self) -> bool {
        self.measured.iter().any(|measured| measured.failed() > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.measured.iter().map(|measured| measured.name.len()).max().unwrap_or(0).max(4);
        writeln!(
            f,
            "{:width$} {:>9} {:>7} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "WORK", "DONE", "FAILED", "PER SECOND", "SECONDS", "P50 ms", "P90 ms", "P99 ms", "P99.9 ms", "MAX ms"
        )?;
        for row in &self.measured {
            writeln!(
                f,
                "{:width$} {:>9} {:>7} {:>10.0} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
                row.name,
                row.latencies.len(),
                row.failed(),
                row.per_second(),
                row.elapsed.as_secs_f64(),
                row.quantile(0.50),
                row.quantile(0.90),
                row.quantile(0.99),
                row.quantile(0.999),
                row.latencies.max() as f64 / 1000.0,
            )?;
        }
        for row in &self.measured {
            if let Some((micros, Cost { cpu, resident: (before, after) })) = row.cpu_micros().zip(row.server) {
                let (cpu, before, after) = (cpu.as_secs_f64(), before as f64 / 1e6, after as f64 / 1e6);
                let each = (after - before) * 1e3 / row.latencies.len().max(1) as f64;
                writeln!(f, "{}: {micros:.1} µs of the server's CPU for each ({cpu:.2} s)", row.name)?;
                writeln!(
                    f,
                    "{}: {before:.1} MB resident before, {after:.1} MB after, {each:.2} MB per 1,000",
                    row.name
                )?;
            }
        }
        for row in &self.measured {
            for (error, count) in &row.failures {
                writeln!(f, "{}: {count} failed: {error}", row.name)?;
            }
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_neither_hidden_nor_counted_as_done() {
        let mut measured = Measured::new("leases".to_owned(), 100);
        measured.latencies.record(1500).unwrap();
        measured.elapsed = Duration::from_secs(2);
        measured.failures.insert("too many requests".to_owned(), 3);
        measured.server = Some(Cost { cpu: Duration::from_micros(250), resident: (1_000_000, 3_000_000) });
        let report = Report { measured: vec![measured], notes: vec![] };
        let value = &report.to_value()["measured"][0];
        assert_eq!((value["requests"].as_u64(), value["failed"].as_u64()), (Some(1), Some(3)));
        assert_eq!(value["perSecond"].as_f64(), Some(0.5));
        assert!(report.has_failures());
        assert_eq!(value["serverCpuMicroseconds"].as_f64(), Some(250.0));
        let text = report.to_string();
        assert!(text.contains("leases: 3 failed: too many requests"));
        assert!(text.contains("1.0 MB resident before, 3.0 MB after"), "{text}");
    }
}
