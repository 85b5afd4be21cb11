//! With the feature `cuda`: compiles `cuda/*.cu` to PTX with the nvcc that is found, for the compute capabilities in
//! RONBUN_CUDA_CAPABILITIES (`80 90a`), else those that nvidia-smi tells, else 80 and 90a. Fetches nothing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

const HINT: &str =
    "install the CUDA toolkit, name its compiler in NVCC, or make one of wheels: eval \"$(scripts/cuda-toolchain)\"";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH", "RONBUN_CUDA_CAPABILITIES"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    println!("cargo::rerun-if-changed=cuda");
    if let Err(problem) = compile_all() {
        // One line, which cargo shows by itself.
        println!("cargo::error={}", problem.replace('\n', " "));
    }
}

fn compile_all() -> Result<(), String> {
    let nvcc = nvcc()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?);
    let sources = sources(Path::new("cuda"))?;
    let mut targets = Vec::new();
    for capability in capabilities()? {
        for source in &sources {
            let stem = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let ptx = out.join(format!("{stem}.{capability}.ptx"));
            targets.push((source.clone(), stem, capability.clone(), ptx));
        }
    }
    thread::scope(|scope| {
        let work: Vec<_> = targets
            .iter()
            .map(|(source, _, capability, ptx)| scope.spawn(|| compile(&nvcc, source, capability, ptx)))
            .collect();
        work.into_iter().try_for_each(|each| each.join().map_err(|_| "a thread that compiles has died".to_string())?)
    })?;
    let row = |(_, stem, capability, ptx): &(PathBuf, String, String, PathBuf)| {
        let base = capability.trim_end_matches(char::is_alphabetic);
        format!("({stem:?}, {base}, {}, include_str!({:?})),\n", base != capability, ptx.display().to_string())
    };
    let list: String = targets.iter().map(row).collect();
    fs::write(out.join("ptx.rs"), format!("&[\n{list}]")).map_err(|error| format!("{}: {error}", out.display()))
}

/// $NVCC, that of the toolkit that CUDA_HOME or CUDA_PATH names, or nvcc in PATH.
fn nvcc() -> Result<PathBuf, String> {
    let toolkit = |variable| env::var_os(variable).map(|folder| PathBuf::from(folder).join("bin/nvcc"));
    let named =
        env::var_os("NVCC").map(PathBuf::from).or_else(|| toolkit("CUDA_HOME")).or_else(|| toolkit("CUDA_PATH"));
    let nvcc = named.unwrap_or_else(|| "nvcc".into());
    match Command::new(&nvcc).arg("--version").output() {
        Ok(output) if output.status.success() => Ok(nvcc),
        Ok(output) => Err(format!("{} does not run ({}); hint: {HINT}", nvcc.display(), output.status)),
        Err(error) => Err(format!("{}: {error}; hint: {HINT}", nvcc.display())),
    }
}

fn capabilities() -> Result<Vec<String>, String> {
    let asked = env::var("RONBUN_CUDA_CAPABILITIES").unwrap_or_default();
    let words = |text: &str| -> Vec<String> {
        text.split([',', ' ', '\n']).map(|word| word.trim().replace('.', "")).filter(|word| !word.is_empty()).collect()
    };
    let mut found = words(&asked);
    if found.is_empty() {
        let here = Command::new("nvidia-smi").args(["--query-gpu=compute_cap", "--format=csv,noheader"]).output();
        found = here
            .ok()
            .filter(|here| here.status.success())
            .map_or(Vec::new(), |here| words(&String::from_utf8_lossy(&here.stdout)));
        // Hopper's own instructions are there for the chip alone, and nvidia-smi does not tell the letter.
        if found.iter().any(|capability| capability == "90") {
            found.push("90a".into());
        }
    }
    if found.is_empty() {
        found = words("80 90a");
    }
    found.sort();
    found.dedup();
    for capability in &found {
        let number = capability.trim_end_matches(char::is_alphabetic).parse::<u32>();
        if !number.is_ok_and(|number| number >= 80) {
            return Err(format!(
                "RONBUN_CUDA_CAPABILITIES: {capability} is no compute capability of 8.0 or above; hint: write them as 80 90a"
            ));
        }
    }
    Ok(found)
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut sources: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    sources.sort();
    Ok(sources)
}

fn compile(nvcc: &Path, source: &Path, capability: &str, ptx: &Path) -> Result<(), String> {
    let run = Command::new(nvcc)
        .args(["-std=c++20", "-O3", "-ptx", "-o"])
        .arg(ptx)
        .arg(format!("-arch=compute_{capability}"))
        .arg(source)
        .output()
        .map_err(|error| format!("{}: {error}", nvcc.display()))?;
    if run.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&run.stderr);
    let told = told.lines().filter(|line| line.contains("error") || line.contains("fatal")).take(3).collect::<Vec<_>>();
    Err(format!("{} does not compile for {capability}: {}", source.display(), told.join("; ")))
}
