//! CPU time as the operating system accounts for it.

use std::collections::BTreeSet;
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::cpu::{Meter, Reading};
use crate::{Error, Result};

/// Processes of this machine, and this one as the load tool. Exact to the tick of the accounting, 10 ms on most systems.
#[derive(Debug, Clone)]
pub struct Processes {
    servers: Vec<Pid>,
    load_tool: Pid,
}

impl Processes {
    /// The processes of these ids.
    ///
    /// # Errors
    /// [`Error::Process`] for the first that is not there.
    pub fn new(ids: &[u32]) -> Result<Self> {
        let servers: Vec<Pid> = ids.iter().map(|id| Pid::from_u32(*id)).collect();
        let load_tool = Pid::from_u32(std::process::id());
        let processes = Self { servers, load_tool };
        let system = processes.look();
        let missing = |pid: &&Pid| system.process(**pid).is_none();
        if let Some(pid) = processes.servers.iter().find(missing) {
            return Err(Error::Process { id: pid.as_u32() });
        }
        Ok(processes)
    }

    fn look(&self) -> System {
        let mut system = System::new();
        // A process that is named twice would count as gone.
        let all: BTreeSet<Pid> = self
            .servers
            .iter()
            .chain([&self.load_tool])
            .copied()
            .collect();
        let all = Vec::from_iter(all);
        let what = ProcessRefreshKind::nothing().with_cpu().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&all), true, what);
        system
    }
}

impl Meter for Processes {
    fn read(&self) -> Option<Reading> {
        let system = self.look();
        let used = |pid: &Pid| {
            let process = system.process(*pid)?;
            Some(Duration::from_millis(process.accumulated_cpu_time()))
        };
        Some(Reading {
            servers: self.servers.iter().map(used).collect::<Option<_>>()?,
            load_tool: used(&self.load_tool)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn work_shows_as_cpu_time_of_this_process() {
        let own = Processes::new(&[std::process::id()]).unwrap();
        let before = own.read().unwrap();
        let begun = Instant::now();
        while own.read().unwrap().load_tool < before.load_tool + Duration::from_millis(50) {
            assert!(begun.elapsed() < Duration::from_secs(60), "no CPU time");
        }
        let after = own.read().unwrap();
        assert!(after.servers[0] >= before.servers[0] + Duration::from_millis(50));
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let nobody = u32::MAX / 2;
        assert_eq!(
            Processes::new(&[nobody]).unwrap_err(),
            Error::Process { id: nobody }
        );
    }
}
