//! What this machine draws while a model computes, where its processor tells it (Linux's RAPL counters), and how much memory
//! a model has taken.

use std::path::{Path, PathBuf};

/// The counters of the processor's packages.
pub struct Meter {
    packages: Vec<Package>,
}

struct Package {
    counter: PathBuf,
    /// Microjoules after which the counter begins again at 0.
    range: u64,
}

/// What the counters said at some time, in microjoules.
pub struct Reading(Vec<u64>);

impl Meter {
    /// This machine's; `None` where there are no counters, or where this user may not read them.
    pub fn of_this_machine() -> Option<Meter> {
        Meter::at(Path::new("/sys/class/powercap"))
    }

    fn at(folder: &Path) -> Option<Meter> {
        let mut packages = Vec::new();
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            // `intel-rapl:0` is a package (AMD's go by that name too), `intel-rapl:0:1` a part of one.
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.strip_prefix("intel-rapl:").is_some_and(|number| !number.contains(':')) {
                let range = number(&entry.path().join("max_energy_range_uj"))?;
                packages.push(Package { counter: entry.path().join("energy_uj"), range });
            }
        }
        let meter = Meter { packages };
        (!meter.packages.is_empty() && meter.read().is_some()).then_some(meter)
    }

    pub fn read(&self) -> Option<Reading> {
        self.packages.iter().map(|package| number(&package.counter)).collect::<Option<_>>().map(Reading)
    }

    /// Joules since `earlier`, of all packages; wrong where a counter went round twice, which takes hours.
    pub fn since(&self, earlier: &Reading) -> Option<f64> {
        let Reading(now) = self.read()?;
        let spent = self.packages.iter().zip(&now).zip(&earlier.0);
        let microjoules: u64 = spent
            .map(|((package, now), before)| match now >= before {
                true => now - before,
                false => now + package.range.saturating_sub(*before),
            })
            .sum();
        Some(microjoules as f64 / 1e6)
    }
}

fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Begins to count the process's peak of memory anew, where Linux lets it.
pub fn forget_peak_memory() {
    // 5 resets the peak of the resident set; see proc(5).
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(folder: &Path, energy: &str) {
        for (name, value) in [("intel-rapl:0", energy), ("intel-rapl:0:0", "7"), ("intel-rapl:1", "1000000")] {
            let place = folder.join(name);
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join("energy_uj"), value).unwrap();
            std::fs::write(place.join("max_energy_range_uj"), "9000000").unwrap();
        }
    }

    #[test]
    fn packages_are_added_up_and_counters_go_round() {
        let folder = tempfile::tempdir().unwrap();
        machine(folder.path(), "8000000\n");
        let meter = Meter::at(folder.path()).unwrap();
        let before = meter.read().unwrap();
        machine(folder.path(), "8500000\n");
        assert_eq!(meter.since(&before), Some(0.5));
        machine(folder.path(), "500000\n");
        assert_eq!(meter.since(&before), Some(1.5));
    }

    #[test]
    fn a_machine_without_counters_has_no_meter() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Meter::at(folder.path()).is_none());
        assert!(Meter::at(&folder.path().join("none")).is_none());
    }
}
