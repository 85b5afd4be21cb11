//! Every family of models with every kind of positions against Hugging Face transformers, on the tiny checkpoints of
//! `tests/fixtures/models/families`: from safetensors and from GGUF, in one piece and in several.

use ronbun::{
    engine::{Branch, Engine, KvType, SamplingParams, TokenRules, eval},
    model::{Checkpoint, Config, Decoder},
    rope::Scaling,
};
use safetensors::{SafeTensors, tensor::TensorView};
use serde::Deserialize;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Largest difference from transformers, in parts of the logits' range.
const NEAR: f64 = 1e-4;
/// How much farther off a control must be.
const FAR: f64 = 100.0;

#[derive(Deserialize)]
struct Fixture {
    prompts: Vec<Vec<u32>>,
    cases: Vec<Case>,
}

/// A configuration of a family's weights.
#[derive(Deserialize)]
struct Case {
    name: String,
    config: Value,
    /// Whether there is a GGUF file of it too.
    gguf: bool,
    /// What must not be left out.
    controls: Vec<String>,
    /// After each of the prompts.
    logits: Vec<Vec<f64>>,
}

fn families() -> Vec<(PathBuf, Fixture)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/families");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert_eq!(folders.len(), 8, "the fixtures are there");
    let read = |folder: PathBuf| {
        let cases = fs::read(folder.join("cases.json")).unwrap();
        (folder, serde_json::from_slice(&cases).unwrap())
    };
    folders.into_iter().map(read).collect()
}

/// The case's checkpoints: a folder as on the hub, and the GGUF file where there is one.
fn checkpoints(folder: &Path, case: &Case) -> Vec<(String, Checkpoint)> {
    let name = format!("{}/{}", folder.file_name().unwrap().to_string_lossy(), case.name);
    let hub = tempfile::tempdir().unwrap();
    fs::write(hub.path().join("config.json"), case.config.to_string()).unwrap();
    fs::copy(folder.join("model.safetensors"), hub.path().join("model.safetensors")).unwrap();
    let mut found = vec![(format!("{name}, safetensors"), Checkpoint::open(hub.path()).unwrap())];
    if case.gguf {
        let file = folder.join(format!("{}.gguf", case.name));
        found.push((format!("{name}, GGUF"), Checkpoint::open(&file).unwrap()));
    }
    found
}

/// Largest difference in parts of the expected range.
fn difference(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let (low, high) = expected.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
    let worst = got.iter().zip(expected).map(|(&got, expected)| (f64::from(got) - expected).abs()).fold(0.0, f64::max);
    worst / (high - low)
}

#[test]
fn logits_equal_those_of_transformers() {
    let mut missed = Vec::new();
    for (folder, fixture) in families() {
        for case in &fixture.cases {
            for (name, checkpoint) in checkpoints(&folder, case) {
                let mut worst: f64 = 0.0;
                for (ids, expected) in fixture.prompts.iter().zip(&case.logits) {
                    let chunks: &[Option<usize>] = match ids.len() {
                        0..70 => &[None, Some(1), Some(64)],
                        70..1000 => &[None, Some(64), Some(100)],
                        _ => &[Some(512)],
                    };
                    for &chunk in chunks {
                        let off = difference(
                            &eval::logits(Decoder::new(&checkpoint).unwrap(), ids, chunk).unwrap(),
                            expected,
                        );
                        if off > NEAR {
                            missed.push(format!("{name}: {} ids in chunks of {chunk:?}: off by {off:.1e}", ids.len()));
                        }
                        worst = worst.max(off);
                    }
                }
                println!("{name}: off by {worst:.1e} of the logits' range");
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn what_is_left_out_shows() {
    for (folder, fixture) in families() {
        for case in &fixture.cases {
            for (name, mut checkpoint) in checkpoints(&folder, case) {
                let whole = checkpoint.config.clone();
                for control in &case.controls {
                    checkpoint.config = without(&whole, control);
                    assert_ne!(checkpoint.config, whole, "{name}: {control}");
                    let (ids, expected) = (&fixture.prompts[3], &case.logits[3]);
                    let off =
                        difference(&eval::logits(Decoder::new(&checkpoint).unwrap(), ids, None).unwrap(), expected);
                    println!("{name} without {control}: {off:.1e}");
                    assert!(off > FAR * NEAR, "{name}: without {control} off by {off} only");
                }
            }
        }
    }
}

/// A model that also sees pictures keeps its text part's settings and tensors below names of their own.
#[test]
fn the_text_part_of_a_model_that_sees_pictures() {
    let (folder, fixture) = families().remove(0);
    let case = &fixture.cases[0];
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    for prefix in ["language_model.model.", "model.language_model."] {
        let mut renamed: Vec<(String, TensorView)> =
            tensors.iter().map(|(name, view)| (name.replacen("model.", prefix, 1), view)).collect();
        let picture = renamed[0].1.clone();
        renamed.push(("vision_tower.patch_embedding.weight".into(), picture));
        let hub = tempfile::tempdir().unwrap();
        let config = serde_json::json!({ "model_type": "gemma3", "text_config": case.config });
        fs::write(hub.path().join("config.json"), config.to_string()).unwrap();
        fs::write(hub.path().join("model.safetensors"), safetensors::serialize(renamed, None).unwrap()).unwrap();
        let checkpoint = Checkpoint::open(hub.path()).unwrap();
        assert!(checkpoint.tensors.keys().all(|name| name.starts_with("model.")), "{prefix}");
        let got = eval::logits(Decoder::new(&checkpoint).unwrap(), &fixture.prompts[1], None).unwrap();
        assert!(difference(&got, &case.logits[1]) < NEAR, "{prefix}");
    }
}

/// `tokens` greedy tokens after `ids`, the first 40 of which are the shared prefix.
fn branch(engine: &mut Engine, ids: &[u32], tokens: usize) -> Vec<u32> {
    engine.plan(ids.len() + tokens);
    engine.prefill(&ids[..40], |_, _| {}).unwrap();
    let branch = Branch { ids: ids[40..].to_vec(), max_tokens: tokens, sampling: SamplingParams::greedy() };
    let done = engine.decode(&[branch], TokenRules::default(), |_, _| {}).unwrap();
    done[0].ids.clone()
}

#[test]
fn branches_continue_as_one_sequence_does() {
    let tokens = 12;
    for (folder, fixture) in families() {
        let ids = &fixture.prompts[2][..60];
        for case in &fixture.cases {
            for (name, checkpoint) in checkpoints(&folder, case) {
                let expected = eval::greedy(Decoder::new(&checkpoint).unwrap(), ids, tokens, None).unwrap();
                let expected: Vec<u32> = expected.iter().map(|step| step.id).collect();
                let mut engine = Engine::new(Decoder::new(&checkpoint).unwrap(), KvType::F32);
                let got = branch(&mut engine, ids, tokens);
                // A branch that runs in a circle is cut.
                assert!(got.len() > 4, "{name}: past the original context");
                assert_eq!(got, expected[..got.len()], "{name}");
            }
        }
    }
}

#[test]
fn the_shape_counts_the_elements_that_the_files_hold() {
    for (folder, fixture) in families() {
        for case in &fixture.cases {
            let (name, checkpoint) = checkpoints(&folder, case).remove(0);
            let matrices = checkpoint.tensors.iter().filter(|(name, view)| {
                name.starts_with("model.layers.") && view.shape.len() == 2 // a convolution's has three dimensions
            });
            let held: usize = matrices.map(|(_, view)| view.shape.iter().product::<usize>()).sum();
            assert_eq!(checkpoint.config.layer_elements(), held as u64, "{name}");
        }
    }
}

/// A prefix that another one takes over from the middle is worth what one is that was read from its start.
#[test]
fn a_prefix_that_is_cut_goes_on_as_a_new_one() {
    // Answers that tell the prefixes apart: many end in the same circle.
    let mut telling = 0;
    for (folder, fixture) in families() {
        let ids = &fixture.prompts[3];
        let other = [&ids[..270], &ids[..9]].concat();
        for case in &fixture.cases {
            for (name, checkpoint) in checkpoints(&folder, case) {
                let read = |prefixes: &[&[u32]]| {
                    let mut engine = Engine::new(Decoder::new(&checkpoint).unwrap(), KvType::I8);
                    engine.plan(350);
                    prefixes.iter().for_each(|ids| engine.prefill(ids, |_, _| {}).unwrap());
                    let branch =
                        |last| Branch { ids: vec![5, last], max_tokens: 9, sampling: SamplingParams::greedy() };
                    let branches = [branch(6), branch(7), branch(6)];
                    engine.decode(&branches, TokenRules::default(), |_, _| {}).unwrap()
                };
                let (cut, fresh) = (read(&[ids, &other]), read(&[&other]));
                assert_eq!(cut, fresh, "{name}");
                assert_eq!(cut[0], cut[2], "{name}");
                telling += usize::from(cut[0] != read(&[ids])[0]);
            }
        }
    }
    assert!(telling > 10, "{telling}");
}

/// A sequence that grows past the original context is planned for that from its first token on; a prefix that was
/// computed under another plan is forgotten.
#[test]
fn a_sequence_has_one_plan() {
    for (folder, fixture) in families() {
        let ids = &fixture.prompts[2][..60];
        for case in &fixture.cases {
            for (name, checkpoint) in checkpoints(&folder, case) {
                let mut engine = Engine::new(Decoder::new(&checkpoint).unwrap(), KvType::F32);
                engine.plan(50);
                let short = engine.decoder.rope();
                engine.prefill(&ids[..40], |_, _| {}).unwrap();
                engine.plan(50);
                assert_eq!(engine.held(ids), 40, "{name}");
                engine.plan(72);
                let scaling = &checkpoint.config.ropes[0].scaling;
                let by_length = matches!(scaling, Scaling::LongRope(_) | Scaling::DynamicNtk { .. });
                assert_eq!(engine.held(ids), if by_length { 0 } else { 40 }, "{name}");
                assert_eq!(engine.decoder.rope() != short, by_length, "{name}: {short}");
            }
        }
    }
}

#[test]
fn keys_and_values_in_bytes_are_near() {
    for (folder, fixture) in families() {
        for case in &fixture.cases {
            for (name, checkpoint) in checkpoints(&folder, case) {
                let [exact, fast] = [(); 2].map(|()| Decoder::new(&checkpoint).unwrap());
                let ids = &fixture.prompts[3];
                let rows = eval::divergence(&exact, (&fast, KvType::I8), ids, (3, ids.len()), |_| {}).unwrap();
                println!("{name}: divergence {:.1e}", rows[0].divergence);
                assert!(rows[0].divergence < 1e-3, "{name}: {:?}", rows[0]);
            }
        }
    }
}

/// The configuration as one that does not know of something.
fn without(config: &Config, what: &str) -> Config {
    let mut config = config.clone();
    match what {
        "scaling" => config.ropes.iter_mut().for_each(|rope| rope.scaling = Scaling::None),
        "windows" => config.layers.iter_mut().for_each(|layer| layer.window = None),
        "one base" => config.layers.iter_mut().for_each(|layer| layer.rope = Some(0)),
        "rotate all" => config.layers.iter_mut().for_each(|layer| layer.rope = Some(0)),
        "partial" => config.ropes.iter_mut().for_each(|rope| rope.rotary_dim = config.head_dim),
        other => panic!("no control is called {other}"),
    }
    config
}
