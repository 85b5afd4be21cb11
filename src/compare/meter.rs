//! What this machine draws while a model computes, where its processor tells it (Linux's RAPL counters) and, of a model on
//! GPUs, where their driver does (NVIDIA's NVML), and how much memory a model has taken.

use nvml_wrapper::Nvml;
use std::path::{Path, PathBuf};

/// The counters of the processor's packages, and of GPUs.
pub struct Meter {
    packages: Vec<Package>,
    gpus: Option<Nvml>,
}

struct Package {
    counter: PathBuf,
    /// Microjoules after which the counter begins again at 0.
    range: u64,
}

/// What the counters said at some time.
pub struct Reading {
    /// Of each package, in microjoules.
    packages: Vec<u64>,
    /// Of all GPUs, in millijoules since the driver was loaded.
    gpus: u64,
}

impl Meter {
    /// This machine's, for a model on `device` as its facts name it; `None` where there are no counters, or where this user may
    /// not read them. GPUs count, all of them, for a model that is not on the processor; where they cannot be read, the
    /// processor's part alone would be no figure for it.
    pub fn of_this_machine(device: &str) -> Option<Meter> {
        let packages = packages(Path::new("/sys/class/powercap")).unwrap_or_default();
        let gpus = if device.starts_with("cpu") { None } else { Some(Nvml::init().ok()?) };
        Meter::checked(packages, gpus)
    }

    fn checked(packages: Vec<Package>, gpus: Option<Nvml>) -> Option<Meter> {
        let counts = !packages.is_empty() || gpus.is_some();
        let meter = Meter { packages, gpus };
        (counts && meter.read().is_some()).then_some(meter)
    }

    pub fn read(&self) -> Option<Reading> {
        let packages = self.packages.iter().map(|package| number(&package.counter)).collect::<Option<_>>()?;
        let gpus = self.gpus.as_ref().map_or(Some(0), millijoules)?;
        Some(Reading { packages, gpus })
    }

    /// Joules since `earlier`, of all packages and GPUs; wrong where a package's counter went round twice, which takes hours.
    pub fn since(&self, earlier: &Reading) -> Option<f64> {
        let now = self.read()?;
        let spent = self.packages.iter().zip(&now.packages).zip(&earlier.packages);
        let microjoules: u64 = spent
            .map(|((package, now), before)| match now >= before {
                true => now - before,
                false => now + package.range.saturating_sub(*before),
            })
            .sum();
        Some(microjoules as f64 / 1e6 + now.gpus.saturating_sub(earlier.gpus) as f64 / 1e3)
    }
}

/// What all GPUs have drawn; none where there is none, or where one does not tell (those before Volta).
fn millijoules(library: &Nvml) -> Option<u64> {
    let count = library.device_count().ok().filter(|count| *count > 0)?;
    (0..count).map(|index| library.device_by_index(index).ok()?.total_energy_consumption().ok()).sum()
}

/// None where one cannot be read.
fn packages(folder: &Path) -> Option<Vec<Package>> {
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        // `intel-rapl:0` is a package (AMD's go by that name too), `intel-rapl:0:1` a part of one.
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix("intel-rapl:").is_some_and(|number| !number.contains(':')) {
            let range = number(&entry.path().join("max_energy_range_uj"))?;
            packages.push(Package { counter: entry.path().join("energy_uj"), range });
        }
    }
    Some(packages)
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
        let meter = Meter::checked(packages(folder.path()).unwrap(), None).unwrap();
        let before = meter.read().unwrap();
        machine(folder.path(), "8500000\n");
        assert_eq!(meter.since(&before), Some(0.5));
        machine(folder.path(), "500000\n");
        assert_eq!(meter.since(&before), Some(1.5));
    }

    #[test]
    fn a_machine_without_counters_has_no_meter() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Meter::checked(packages(folder.path()).unwrap(), None).is_none());
        assert!(packages(&folder.path().join("none")).is_none());
        // Where the driver has no library or no GPU, a model on one is not metered, and nothing breaks.
        if Nvml::init().is_err() {
            assert!(Meter::of_this_machine("cuda").is_none());
        }
    }
}
