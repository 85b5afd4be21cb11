//! `ronbun doctor`: what was found on this machine, what is missing, and how to get it. Opens no connection and changes
//! nothing.

use super::args::{Common, Doctor, PlainFormat};
use super::config::{Config, Over};
use super::context::Context;
use super::machine::{self, Machine};
use super::output;
use crate::Result;
use crate::device::{self, Facts, Gpu};
use crate::hub::{Hub, Installed, default_cache_dir, default_config_dir, hub_cache_dir};
use indicatif::DecimalBytes;
use serde::Serialize;
use std::env::{self, consts::EXE_SUFFIX};
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Report {
    schema_version: u32,
    ronbun_version: &'static str,
    machine: Machine,
    devices: Vec<Device>,
    folders: Vec<Folder>,
    /// Absent where there is none; ronbun needs none.
    config_file: Option<PathBuf>,
    pdfium: Option<PathBuf>,
    /// How pip is called here; offline, where Python or pip is.
    pip: Option<String>,
    offline: bool,
    models: Vec<Installed>,
    /// What is wrong or missing, and what to do about it.
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Device {
    name: String,
    usable: bool,
    /// Why it is not usable, or what there is to say about it.
    note: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu: Option<Facts>,
}

#[derive(Serialize)]
struct Folder {
    what: &'static str,
    path: PathBuf,
    /// All files in it; absent where the folder does not exist.
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct Finding {
    what: String,
    remedy: String,
}

pub fn run(common: Common, config: Result<Config>, args: Doctor) -> Result<()> {
    let report = examine(common, config, args.pdfium);
    match args.format {
        PlainFormat::Json => output::finish(&output::json("doctor", &report)?),
        PlainFormat::Text => output::finish(&in_words(&report)),
    }
}

fn examine(common: Common, config: Result<Config>, pdfium: Option<PathBuf>) -> Report {
    let mut findings = Vec::new();
    let config_file = Some(common.config.clone().unwrap_or_else(Config::usual_path)).filter(|path| path.is_file());
    let config = config.unwrap_or_else(|error| {
        findings.push(Finding::of(&error, "correct or remove the configuration file"));
        Config::default()
    });
    let context = Context::new(common.over(&config));
    let mut report = Report {
        schema_version: 1,
        ronbun_version: env!("CARGO_PKG_VERSION"),
        machine: machine::look(),
        devices: devices(),
        folders: folders(),
        config_file,
        pdfium: None,
        pip: None,
        offline: context.offline,
        models: Vec::new(),
        findings,
    };
    match context.hub() {
        Ok(mut hub) => {
            // The hub adds what the environment says.
            report.offline = hub.settings.offline;
            // Whatever is asked for elsewhere, a look around opens no connection.
            hub.settings.offline = true;
            ask_hub(&mut report, &hub, pdfium.or(config.pdfium).as_deref());
        }
        Err(error) => report.findings.push(Finding::of(&error, "correct or remove this model card")),
    }
    report
}

fn ask_hub(report: &mut Report, hub: &Hub, pdfium: Option<&Path>) {
    report.pip = if report.offline { pip_unasked() } else { hub.python() };
    report.models = hub.installed();
    match hub.pdfium_here(pdfium) {
        Ok(found) => report.pdfium = found,
        Err(error) => report.findings.push(Finding::of(&error, "name another library with --pdfium FILE")),
    }
    if report.pdfium.is_none() {
        report.findings.push(Finding::new(
            "PDFium, which reads PDFs, is not here",
            "it is fetched on first use; without a network: --pdfium FILE, or `ronbun models unpack ARCHIVE`",
        ));
    }
    if report.models.is_empty() {
        report.findings.push(Finding::new(
            "no model is installed",
            "one is fetched on first use; beforehand: `ronbun models recommend`, `ronbun models pull MODEL`; \
             without a network: `ronbun models unpack ARCHIVE`",
        ));
    }
    if report.pip.is_none() {
        report.findings.push(Finding::new(
            "Python's pip is not here",
            "needed only to fetch PDFium, and models where the model hub cannot be reached; \
             on Debian: apt install python3-pip",
        ));
    }
}

/// Python or pip in PATH, not started: pip opens a socket even to tell its version.
fn pip_unasked() -> Option<String> {
    let wanted = env::var("RONBUN_PYTHON").ok().filter(|python| !python.is_empty());
    let names = wanted.as_deref().map_or(vec!["python3", "pip3", "pip", "python"], |python| vec![python]);
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let there = |name: &str| {
        let file = format!("{name}{EXE_SUFFIX}");
        folders.iter().map(|folder| folder.join(&file)).find(|program| program.is_file())
    };
    let found = names.into_iter().find_map(there)?;
    Some(format!("{}, not asked (offline)", found.display()))
}

impl Finding {
    fn new(what: &str, remedy: &str) -> Finding {
        Finding { what: what.into(), remedy: remedy.into() }
    }

    fn of(error: &crate::Error, remedy: &str) -> Finding {
        let what = format!("{}: {}", error.subject, error.problem);
        Finding { what, remedy: error.hint.clone().unwrap_or_else(|| remedy.into()) }
    }
}

fn devices() -> Vec<Device> {
    let other = |name: &str, usable, note: &str| Device { name: name.into(), usable, note: note.into(), gpu: None };
    let mut devices = vec![other("cpu", true, "")];
    for (name, there) in [("cuda", device::CUDA), ("metal", device::METAL)] {
        match there {
            true => devices.extend((0..Gpu::count().max(1)).map(|number| gpu(name, number))),
            false => devices.push(other(name, false, ABSENT)),
        }
    }
    devices
}

const ABSENT: &str = "not in this build";

/// A GPU of this number, looked at. What no machine has run yet is called unverified.
fn gpu(kind: &str, number: usize) -> Device {
    let name = if number == 0 { kind.into() } else { format!("{kind} {number}") };
    match Gpu::open(number).map_err(device::failed).and_then(|gpu| Facts::of(&gpu)) {
        Ok(gpu) => {
            let [memory, free] = [gpu.memory_bytes, gpu.free_bytes].map(DecimalBytes);
            let (products, copies) = (gpu.matrix_flops_per_second / 1e12, gpu.copy_bytes_per_second / 1e9);
            let note = format!(
                "{}, {memory}, {free} free; products of 16-bit matrices {products:.0} TFLOP/s, copies {copies:.0} GB/s \
                 read and written; unverified: no such GPU has run ronbun yet",
                gpu.name
            );
            Device { name, usable: true, note, gpu: Some(gpu) }
        }
        Err(error) => Device { name, usable: false, note: error.problem, gpu: None },
    }
}

fn folders() -> Vec<Folder> {
    let folders = [
        ("configuration", default_config_dir()),
        ("ronbun's cache", default_cache_dir()),
        ("model hub's cache", hub_cache_dir()),
    ];
    folders.map(|(what, path)| Folder { what, bytes: machine::folder_bytes(&path), path }).into()
}

fn in_words(report: &Report) -> String {
    let path = |path: &Option<PathBuf>| path.as_ref().map_or_else(|| "none".into(), |path| path.display().to_string());
    let machine = &report.machine;
    let cores = machine.physical_cores.map(|cores| format!("{cores} cores, ")).unwrap_or_default();
    let mut rows = vec![
        pair("ronbun", report.ronbun_version),
        pair("system", &machine.system),
        pair("processor", &format!("{} ({cores}{} threads)", machine.processor, machine.threads)),
        pair("instruction sets", &machine.instruction_sets.join(" ")),
        pair("memory", &memory(machine)),
    ];
    for device in &report.devices {
        let state = match (device.usable, device.note.as_str()) {
            (true, "") => "usable".to_string(),
            (true, note) => format!("usable: {note}"),
            (false, note) => note.to_string(),
        };
        rows.push(pair(&format!("device {}", device.name), &state));
    }
    for folder in &report.folders {
        let bytes = folder.bytes.map_or_else(|| "not there yet".into(), |bytes| DecimalBytes(bytes).to_string());
        rows.push(pair(folder.what, &format!("{} ({bytes})", folder.path.display())));
    }
    rows.push(pair("configuration file", &path(&report.config_file)));
    rows.push(pair("PDFium", &path(&report.pdfium)));
    rows.push(pair("pip", report.pip.as_deref().unwrap_or("none")));
    rows.push(pair("network", if report.offline { "not used (offline)" } else { "used to fetch what is missing" }));
    for model in &report.models {
        let size = DecimalBytes(model.bytes);
        rows.push(pair("model", &format!("{} ({size}, {})", model.id, model.folder.display())));
    }
    let mut text = output::table(&rows);
    for finding in &report.findings {
        let (what, remedy) = (output::printable(&finding.what), output::printable(&finding.remedy));
        text.push_str(&format!("\n{what}\n  hint: {remedy}\n"));
    }
    text
}

fn memory(machine: &Machine) -> String {
    let [total, free] = [machine.memory_bytes, machine.available_memory_bytes].map(DecimalBytes);
    format!("{total}, {free} free")
}

fn pair(name: &str, value: &str) -> Vec<String> {
    vec![name.to_string(), output::printable(value)]
}
