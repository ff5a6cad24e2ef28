//! The identity of a writing process, by which a collection on the same machine recognises at once
//! that it was killed.

use serde::{Deserialize, Serialize};

/// The identity of a process on some machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Process {
    /// The machine's boot and process namespace, or empty if the system does not name them.
    machine: String,
    pid: u32,
    /// The start time in ticks since the boot. It is needed because process ids are used again.
    began: u64,
}

impl Process {
    /// The identity of this process.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self { machine: boot_id().unwrap_or_default(), pid, began: began(pid).unwrap_or_default() }
    }

    /// Returns `true` if the process is running, and `None` if that is unknown, as for a process of
    /// another machine.
    pub(crate) fn is_alive(&self) -> Option<bool> {
        if self.machine.is_empty() || boot_id()? != self.machine {
            return None;
        }
        Some(began(self.pid) == Some(self.began))
    }
}

fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // Containers share a boot but have process ids of their own.
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", id.trim(), namespace.display()))
}

fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The start time is field 22. The fields are counted from the end of the program's name, which
    // may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    // A zombie has ended, even if its parent has not collected its exit code yet.
    if state == "Z" || state == "X" { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn running_and_ended_processes_are_told_apart() {
        let this = Process::this();
        assert_eq!(this.is_alive(), Some(true));
        assert_eq!(Process { began: this.began + 1, ..this.clone() }.is_alive(), Some(false));
        assert_eq!(Process { machine: "another".into(), ..this }.is_alive(), None);
    }
}
