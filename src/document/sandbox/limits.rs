//! How much of the machine one file may take.

use serde::{Deserialize, Serialize};

/// Address space that is no memory: the program itself, PDFium, mapped fonts.
#[cfg(target_os = "linux")]
const MAPPED: u64 = 1 << 30;

/// Limits of one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// In bytes, resident.
    pub memory: u64,
    /// Of one processor.
    pub cpu_seconds: u64,
    /// From the start to the answer. Longer than the computing time: other programs want the processor too.
    pub seconds: u64,
    /// Bytes of the answer.
    pub output: u64,
}

impl Limits {
    /// For a file of so many bytes. Real papers stay below a tenth of each.
    pub fn of_file(bytes: usize) -> Limits {
        let mebibytes = (bytes as u64).div_ceil(1 << 20);
        let cpu_seconds = (60 + 20 * mebibytes).min(3600);
        Limits {
            memory: 1_000_000_000 + 32 * (bytes as u64).min(1_000_000_000),
            cpu_seconds,
            seconds: 5 * cpu_seconds,
            output: 250_000_000,
        }
    }

    /// Binds this process to them, as far as the system can. What it may write to is open already: no file can grow.
    #[cfg(unix)]
    pub fn apply(&self) {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = |resource: Resource, soft: u64, hard: u64| {
            // Only the superuser may go above the limits that the process came with.
            let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
            let limit = Rlimit { current: Some(soft.min(most)), maximum: Some(hard.min(most)) };
            // A system that does not know one of them still keeps the others, and the parent looks as well.
            let _ = setrlimit(resource, limit);
        };
        limit(Resource::Cpu, self.cpu_seconds, self.cpu_seconds + 5);
        limit(Resource::Fsize, 0, 0);
        limit(Resource::Core, 0, 0);
        #[cfg(target_os = "linux")]
        limit(Resource::As, self.memory + MAPPED, self.memory + MAPPED);
    }

    #[cfg(not(unix))]
    pub fn apply(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_files_may_take_more_but_not_without_end() {
        let (small, large, huge) = (Limits::of_file(1000), Limits::of_file(100 << 20), Limits::of_file(usize::MAX));
        assert!(small.cpu_seconds < large.cpu_seconds && small.memory < large.memory);
        assert_eq!((huge.cpu_seconds, huge.memory), (3600, 33_000_000_000));
        assert!(small.seconds > small.cpu_seconds);
    }
}
