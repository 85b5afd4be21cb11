//! What a model's sources pin: the names of its files and their SHA-256. A pack's or a folder's own word is held
//! against it.

use super::{Source, names};

impl Source {
    /// Whether these are its files, all of them and no others.
    fn holds(&self, found: &[&str]) -> bool {
        let mut found: Vec<String> = found.iter().map(|name| name.to_string()).collect();
        found.sort();
        let mut named: Vec<String> = match self {
            Source::Wheels { file, .. } => vec![file.name.clone()],
            Source::Hub { files, .. } if !files.is_empty() => files.iter().map(|file| file.name.clone()).collect(),
            Source::Hub { .. } => names::wanted(&found).unwrap_or_default(),
        };
        named.sort();
        !found.is_empty() && named == found
    }

    fn pin(&self, name: &str) -> Option<&str> {
        match self {
            Source::Wheels { file, .. } => (file.name == name).then_some(&*file.sha256),
            Source::Hub { files, .. } => files.iter().find(|file| file.name == name)?.sha256.as_deref(),
        }
    }
}

/// Whether these are the files of one of the sources. Where nothing is known of a model, any files are.
pub(super) fn held(sources: &[Source], found: &[&str]) -> bool {
    sources.is_empty() || sources.iter().any(|source| source.holds(found))
}

/// Every hash that a source pins for a file of this name.
pub(super) fn pins<'a>(sources: &'a [Source], name: &str) -> Vec<&'a str> {
    sources.iter().filter_map(|source| source.pin(name)).collect()
}

/// The hash that a file ought to have which somebody says has `claimed`: a pin wins, any of them will do.
pub(super) fn expected(sources: &[Source], name: &str, claimed: String) -> String {
    match pins(sources, name).as_slice() {
        [first, ..] if !pins(sources, name).contains(&claimed.as_str()) => first.to_string(),
        _ => claimed,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Card, card::tests::SMALL},
        *,
    };

    #[test]
    fn files_and_pins_of_sources() {
        let pinned = format!(r#"{{ name = "small-q8_0.gguf", sha256 = "{}" }}"#, "a".repeat(64));
        let text = SMALL.replace(r#"{ name = "small-q8_0.gguf" }"#, &pinned);
        let sources = Card::parse(&text, "card").unwrap().sources;
        assert!(held(&sources, &["small-q8_0.gguf"]));
        for other in [&["other.gguf"][..], &["small-q8_0.gguf", "more"], &[]] {
            assert!(!held(&sources, other), "{other:?}");
        }
        assert_eq!(expected(&sources, "small-q8_0.gguf", "b".repeat(64)), "a".repeat(64));
        assert_eq!(expected(&sources, "other", "b".repeat(64)), "b".repeat(64));
        let whole = SMALL.replace(r#"files = [{ name = "small-q8_0.gguf" }]"#, "");
        let sources = Card::parse(&whole, "card").unwrap().sources;
        assert!(held(&sources, &["tokenizer.json", "model.safetensors", "config.json"]));
        assert!(!held(&sources, &["model.safetensors", "config.json", "tokenizer.json", "more.py"]));
    }
}
