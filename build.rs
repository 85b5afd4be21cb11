//! Compiles the model cards in: every `models/*.toml`, so that adding a card is adding a file; and the files of factors
//! that they name, every `models/*.json`.

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=models");
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    for (extension, list) in [("toml", "cards.rs"), ("json", "factors.rs")] {
        fs::write(Path::new(&out).join(list), files(&Path::new(&root).join("models"), extension)?)?;
    }
    Ok(())
}

/// The folder's files with this extension, as a list of names and texts.
fn files(folder: &Path, extension: &str) -> io::Result<String> {
    let mut files =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        list.push_str(&format!("({name:?}, include_str!({:?})),\n", file.display().to_string()));
    }
    list.push(']');
    Ok(list)
}
