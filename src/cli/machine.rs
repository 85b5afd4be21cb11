//! The machine's processor, memory and folders, for the doctor.

use serde::Serialize;
use std::path::Path;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

#[derive(Debug, Serialize)]
pub struct Machine {
    pub system: String,
    pub processor: String,
    /// Absent where the system does not tell.
    pub physical_cores: Option<usize>,
    /// That this process may use.
    pub threads: usize,
    /// Those that matter to matrix arithmetic.
    pub instruction_sets: Vec<&'static str>,
    pub memory_bytes: u64,
    pub available_memory_bytes: u64,
}

pub fn look() -> Machine {
    let kinds =
        RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kinds);
    // A container's limit may be below the machine's memory.
    let limit = system.cgroup_limits().filter(|limit| limit.total_memory > 0);
    let memory_bytes = system.total_memory();
    let processor = system.cpus().first().map(|cpu| cpu.brand().trim().to_string()).filter(|brand| !brand.is_empty());
    Machine {
        system: System::long_os_version().unwrap_or_else(|| std::env::consts::OS.into()),
        processor: processor.unwrap_or_else(|| std::env::consts::ARCH.into()),
        physical_cores: System::physical_core_count(),
        threads: std::thread::available_parallelism().map_or(1, |threads| threads.get()),
        instruction_sets: instruction_sets(),
        memory_bytes: limit.as_ref().map_or(memory_bytes, |limit| limit.total_memory.min(memory_bytes)),
        available_memory_bytes: crate::hub::available_memory(),
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! look_for {
        ($($name:tt)*) => { $(if std::arch::is_x86_feature_detected!($name) { found.push($name); })* };
    }
    look_for!("sse4.2" "avx" "f16c" "fma" "avx2" "avxvnni" "avx512f" "avx512bw" "avx512vnni" "avx512bf16" "avx512fp16");
    found.extend(amx());
    found
}

/// The standard library cannot ask for AMX yet; Linux lists what the processor has and the kernel allows.
#[cfg(target_arch = "x86_64")]
fn amx() -> Vec<&'static str> {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = flags.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    ["amx_tile", "amx_int8", "amx_bf16"].into_iter().filter(|name| flags.split(' ').any(|flag| flag == *name)).collect()
}

#[cfg(target_arch = "aarch64")]
fn instruction_sets() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! look_for {
        ($($name:tt)*) => { $(if std::arch::is_aarch64_feature_detected!($name) { found.push($name); })* };
    }
    look_for!("neon" "fp16" "dotprod" "i8mm" "bf16" "sve" "sve2");
    found
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction_sets() -> Vec<&'static str> {
    Vec::new()
}

/// Bytes of all files under `folder`, links not followed; absent where there is no such folder.
pub fn folder_bytes(folder: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(folder).ok()?;
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()).unwrap_or(0),
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    });
    Some(sizes.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_memory_and_threads() {
        let machine = look();
        assert!(machine.threads >= 1 && machine.memory_bytes >= machine.available_memory_bytes);
        assert!(machine.available_memory_bytes > 0 && !machine.processor.is_empty());
    }

    #[test]
    fn folders_are_measured_with_what_is_in_them() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("in")).expect("made");
        std::fs::write(dir.path().join("in/a"), [0; 10]).expect("written");
        std::fs::write(dir.path().join("b"), [0; 5]).expect("written");
        assert_eq!(folder_bytes(dir.path()), Some(15));
        assert_eq!(folder_bytes(&dir.path().join("none")), None);
    }
}
