//! Compiles the model cards in: every `models/*.toml`, so that adding a card is adding a file.

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=models");
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let mut cards = fs::read_dir(Path::new(&root).join("models"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    cards.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    cards.sort();
    let mut list = String::from("&[\n");
    for card in &cards {
        let name = card.file_name().unwrap_or_default().to_string_lossy().into_owned();
        list.push_str(&format!("({name:?}, include_str!({:?})),\n", card.display().to_string()));
    }
    list.push(']');
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("cards.rs"), list)
}
