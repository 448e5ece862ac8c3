//! What the server's processes take of this machine, as `/proc` tells it.

use std::time::Duration;

use rustix::param::clock_ticks_per_second;

use crate::LoadError;

/// Processes of the server that run on this machine; none where nobody asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    pids: Vec<u32>,
}

/// Of all processes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// CPU time since they started, to ten milliseconds.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident: u64,
}

impl Server {
    /// Those processes, which must be there.
    pub(crate) fn new(pids: &[u32]) -> Result<Self, LoadError> {
        let server = Self { pids: pids.to_vec() };
        match server.pids.iter().find(|pid| taken(**pid).is_none()) {
            Some(pid) => Err(LoadError::NoProcess(*pid)),
            None => Ok(server),
        }
    }

    /// What they have taken by now; `None` where nobody asked, or where one has ended.
    pub(crate) fn taken(&self) -> Option<Taken> {
        let mut all = Taken::default();
        for pid in &self.pids {
            let Taken { cpu, resident } = taken(*pid)?;
            all.cpu += cpu;
            all.resident += resident;
        }
        (!self.pids.is_empty()).then_some(all)
    }
}

fn taken(pid: u32) -> Option<Taken> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    parse(&read("stat")?, &read("status")?)
}

/// Of `/proc/PID/stat` and `/proc/PID/status`, see proc(5).
fn parse(stat: &str, status: &str) -> Option<Taken> {
    // The name of the program is in brackets, and may hold anything; utime and stime are fields 14 and 15.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    let cpu = Duration::from_secs(ticks).div_f64(clock_ticks_per_second() as f64);
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    Some(Taken { cpu, resident: kilobytes?.parse::<u64>().ok()? << 10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_understood() {
        let stat = "77 (a ) b) S 1 77 77 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 9 0 1 2 3";
        let status = "Name:\ta ) b\nVmHWM:\t  900 kB\nVmRSS:\t  800 kB\n";
        let ticks = clock_ticks_per_second() as f64;
        let expected = Taken { cpu: Duration::from_secs_f64(200.0 / ticks), resident: 800 << 10 };
        assert_eq!(parse(stat, status), Some(expected));
        assert_eq!(parse("77 (a", status), None);
        assert_eq!(parse(stat, "Name:\ta\n"), None);
    }

    #[test]
    fn this_process_is_there_and_nobody_else_is() {
        assert!(Server::new(&[std::process::id()]).unwrap().taken().unwrap().resident > 0);
        assert!(matches!(Server::new(&[u32::MAX]), Err(LoadError::NoProcess(u32::MAX))));
        assert_eq!(Server::new(&[]).unwrap().taken(), None);
    }
}
