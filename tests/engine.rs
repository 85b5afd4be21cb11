//! The engine against Hugging Face transformers, on the tiny checkpoints of `tests/fixtures/models`.

use ronbun::engine::{Branch, Engine, SamplingParams, TokenRules, eval};
use ronbun::model::{Checkpoint, Decoder, PackedCache};
use ronbun::{attention::KvType, progress::Progress};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
}

/// Every checkpoint with a reference: its path as `eval` takes it, and the reference.
fn checkpoints() -> Vec<(PathBuf, Value)> {
    let mut found: Vec<(PathBuf, Value)> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|folder| folder.join("reference.json").exists())
        .map(|folder| {
            let reference = serde_json::from_slice(&fs::read(folder.join("reference.json")).unwrap()).unwrap();
            let gguf = folder.join("model.gguf");
            (if gguf.exists() { gguf } else { folder }, reference)
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found.len() >= 10, "the fixtures are there");
    found
}

fn open(path: &Path) -> Checkpoint {
    Checkpoint::open(path).unwrap()
}

fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn logits_equal_those_of_transformers() {
    for (path, reference) in checkpoints() {
        for prompt in reference["prompts"].as_array().unwrap() {
            let ids: Vec<u32> = numbers(&prompt["ids"]);
            let expected: Vec<f64> = numbers(&prompt["logits"]);
            let (low, high) = expected.iter().fold((f64::MAX, f64::MIN), |(l, h), &x| (l.min(x), h.max(x)));
            for chunk in [None, Some(1), Some(64), Some(100)] {
                if chunk == Some(1) && ids.len() > 40 {
                    continue;
                }
                let got = eval::logits(Decoder::new(&open(&path)).unwrap(), &ids, chunk).unwrap();
                assert_eq!(got.len(), expected.len(), "{}", path.display());
                let worst = got.iter().zip(&expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
                assert!(
                    worst < 1e-4 * (high - low),
                    "{}: {} ids, chunk {chunk:?}: off by {worst} of {}",
                    path.display(),
                    ids.len(),
                    high - low
                );
            }
        }
    }
}

#[test]
fn greedy_ids_equal_those_of_transformers() {
    let mut compared = 0;
    for (path, reference) in checkpoints() {
        for prompt in reference["prompts"].as_array().unwrap().iter().filter(|prompt| prompt.get("greedy").is_some()) {
            let expected: Vec<u32> = numbers(&prompt["greedy"]);
            let got = eval::greedy(
                Decoder::new(&open(&path)).unwrap(),
                &numbers::<u32>(&prompt["ids"]),
                expected.len(),
                Some(50),
            )
            .unwrap();
            let got: Vec<u32> = got.iter().map(|step| step.id).collect();
            assert_eq!(got, expected, "{}", path.display());
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared} continuations compared");
}

fn engine(path: &Path) -> Engine {
    Engine::new(Decoder::new(&open(path)).unwrap(), KvType::F16)
}

/// The decoder that answers are computed with: integers where the checkpoint is quantised.
fn fast(path: &Path) -> Decoder {
    let folder = tempfile::tempdir().unwrap();
    let cache = PackedCache { folder: folder.path().to_path_buf(), progress: Progress::silent() };
    Decoder::load(&open(path), path, Some(&cache)).unwrap().0
}

#[test]
fn the_shape_counts_the_elements_that_the_file_holds() {
    for (path, _) in checkpoints() {
        let checkpoint = open(&path);
        let config = &checkpoint.config;
        let layers: u64 = checkpoint
            .tensors
            .iter()
            .filter(|(name, view)| name.starts_with("model.layers.") && view.shape.len() == 2)
            .map(|(_, view)| view.shape.iter().product::<usize>() as u64)
            .sum();
        assert_eq!(config.layer_elements(), layers, "{}", path.display());
        assert_eq!(config.linear_flops(3), 6.0 * layers as f64);
        // One layer in so many reads keys and values only.
        let keys = (2 * config.hidden_size * config.num_key_value_heads * config.head_dim) as f64;
        let others = layers as f64 * (1.0 - 1.0 / config.num_hidden_layers as f64);
        assert!((config.extend_linear_flops(3) - 6.0 * (others + keys)).abs() < 1.0, "{}", path.display());
    }
}

/// The reference's longest prompt, three times over.
fn long_prompt(reference: &Value) -> Vec<u32> {
    let ids: Vec<u32> = numbers(&reference["prompts"][4]["ids"]);
    ids.iter().cycle().take(3 * ids.len()).copied().collect()
}

#[test]
fn what_is_computed_in_integers_is_near_to_f32() {
    for (path, reference) in checkpoints() {
        let exact = Decoder::new(&open(&path)).unwrap();
        let ids = long_prompt(&reference);
        let rows = eval::divergence(&exact, (&fast(&path), KvType::I8), &ids, (7, ids.len()), |_| {}).unwrap();
        let [row] = rows.as_slice() else { panic!("one row") };
        assert!(row.positions > 100, "{}", path.display());
        assert!(row.divergence < 5e-3, "{}: {row:?}", path.display());
        assert!((row.nll / row.exact_nll - 1.0).abs() < 5e-3, "{}: {row:?}", path.display());
    }
}

#[test]
fn branches_in_integers_keep_to_themselves() {
    for (path, reference) in checkpoints() {
        let ids = long_prompt(&reference);
        let mut engine = Engine::new(fast(&path), KvType::I8);
        engine.prefill(&ids, |_, _| {}).unwrap();
        let greedy = SamplingParams::greedy();
        let batch: Vec<Branch> = [3usize, 90, 1, 40, 7].map(|len| branch(&ids[..len], 9 + len, greedy.clone())).into();
        let decode = |branches: &[Branch]| engine.decode(branches, TokenRules::default(), |_, _| {}).unwrap();
        let together = decode(&batch);
        assert_eq!(decode(&batch), together, "{}: the same again", path.display());
        for (branch, together) in batch.iter().zip(&together) {
            assert_eq!(decode(std::slice::from_ref(branch))[0], *together, "{}", path.display());
        }
        // What was held in part is taken up at a block's start.
        let mut again = Engine::new(fast(&path), KvType::I8);
        again.prefill(&ids[..150], |_, _| {}).unwrap();
        again.prefill(&ids[..100], |_, _| {}).unwrap();
        assert!(again.held(&ids) <= 100 && again.held(&ids) >= 64, "{}", again.held(&ids));
        again.prefill(&ids, |_, _| {}).unwrap();
        assert_eq!(again.held(&ids), ids.len());
    }
}

fn branch(ids: &[u32], max_tokens: usize, sampling: SamplingParams) -> Branch {
    Branch { ids: ids.to_vec(), max_tokens, sampling }
}

#[test]
fn branches_continue_as_if_they_were_alone() {
    for (path, reference) in
        checkpoints().into_iter().filter(|(_, reference)| reference["prompts"][0].get("greedy").is_some())
    {
        let prompt = &reference["prompts"][4];
        let ids: Vec<u32> = numbers(&prompt["ids"]);
        let expected: Vec<u32> = numbers(&prompt["greedy"]);
        let mut engine = engine(&path);
        let (prefix, rest) = ids.split_at(ids.len() - 20);
        engine.prefill(prefix, |_, _| {}).unwrap();
        let sampled = |seed| SamplingParams { temperature: 1.5, seed, ..SamplingParams::greedy() };
        let greedy = branch(rest, 16, SamplingParams::greedy());
        let others =
            [branch(&ids[..1], 5, sampled(1)), branch(&ids[..70], 40, sampled(2)), branch(&rest[..3], 12, sampled(3))];
        let batch = [others[0].clone(), greedy.clone(), others[1].clone(), others[2].clone()];
        let together = engine.decode(&batch, TokenRules::default(), |_, _| {}).unwrap();
        assert_eq!(together[1].ids, expected, "{}: continued as transformers does", path.display());
        for (branch, together) in batch.iter().zip(&together) {
            let alone = engine.decode(std::slice::from_ref(branch), TokenRules::default(), |_, _| {}).unwrap();
            assert_eq!(alone[0].ids, together.ids, "{}", path.display());
        }
    }
}

#[test]
fn a_held_prefix_is_not_computed_again_and_changes_nothing() {
    let (path, reference) = checkpoints().into_iter().find(|(path, _)| path.ends_with("qwen2-untied-f32")).unwrap();
    let ids: Vec<u32> = numbers(&reference["prompts"][4]["ids"]);
    let greedy = [branch(&ids[290..], 16, SamplingParams::greedy())];
    let decode = |engine: &Engine| engine.decode(&greedy, TokenRules::default(), |_, _| {}).unwrap();

    let mut fresh = engine(&path);
    fresh.prefill(&ids[..290], |_, _| {}).unwrap();
    let expected = decode(&fresh);

    let mut reused = engine(&path);
    let mut other = ids[..200].to_vec();
    other.extend([3; 60]);
    reused.prefill(&other, |_, _| {}).unwrap();
    assert_eq!(reused.held(&ids[..290]), 200);
    let mut computed = 0;
    reused.prefill(&ids[..290], |done, total| (computed, _) = (done, assert_eq!(total, 90))).unwrap();
    assert_eq!(computed, 90);
    assert_eq!(decode(&reused), expected);
}

#[test]
fn stop_tokens_and_limits_end_branches() {
    let (path, reference) = checkpoints().into_iter().find(|(path, _)| path.ends_with("llama-tied-f32")).unwrap();
    let prompt = &reference["prompts"][1];
    let ids: Vec<u32> = numbers(&prompt["ids"]);
    let expected: Vec<u32> = numbers(&prompt["greedy"]);
    let engine = engine(&path);
    let stop = expected[5];
    let first = expected.iter().position(|&id| id == stop).unwrap();
    let mut heard = Vec::new();
    let batch = [branch(&ids, 16, SamplingParams::greedy()), branch(&ids, 2, SamplingParams::greedy())];
    let done =
        engine.decode(&batch, TokenRules { stop: &[stop], banned: &[] }, |index, id| heard.push((index, id))).unwrap();
    assert_eq!(done[0].ids, expected[..first]);
    assert_eq!(done[0].finish, ronbun::engine::Finish::Stop);
    assert_eq!(done[1].ids, expected[..2]);
    assert_eq!(done[1].finish, ronbun::engine::Finish::Length);
    let banned = TokenRules { stop: &[], banned: &[expected[0], 5_000_000] };
    let without = engine.decode(&batch, banned, |_, _| {}).unwrap();
    assert!(without.iter().all(|completion| !completion.ids.contains(&expected[0])));
    let of_first: Vec<u32> = heard.iter().filter(|(index, _)| *index == 0).map(|(_, id)| *id).collect();
    assert_eq!(of_first, done[0].ids);
}

#[test]
fn branches_are_handed_on_as_they_end_with_their_share_of_the_time() {
    let (path, reference) = checkpoints().into_iter().find(|(path, _)| path.ends_with("llama-tied-f32")).unwrap();
    let ids: Vec<u32> = numbers(&reference["prompts"][1]["ids"]);
    let engine = engine(&path);
    let batch = [9, 2, 5].map(|tokens| branch(&ids, tokens, SamplingParams::greedy()));
    let (mut ended, start) = (Vec::new(), std::time::Instant::now());
    let keep = |index: usize, completion: ronbun::engine::Completion, share: ronbun::engine::Share| {
        ended.push((index, completion, share));
        Ok(())
    };
    engine.decode_each(&batch, TokenRules::default(), |_, _| {}, keep).unwrap();
    let whole = start.elapsed().as_secs_f64();
    let done = engine.decode(&batch, TokenRules::default(), |_, _| {}).unwrap();
    let order: Vec<usize> = ended.iter().map(|(index, _, _)| *index).collect();
    assert_eq!(order, [1, 2, 0], "the shortest first");
    assert!(ended.iter().all(|(index, completion, _)| *completion == done[*index]));
    let seconds: Vec<f64> = ended.iter().map(|(_, _, share)| share.prefill + share.decode).collect();
    assert!(ended.iter().all(|(_, _, share)| share.prefill > 0.0 && share.prefill == ended[0].2.prefill));
    assert!(seconds[0] < seconds[1] && seconds[1] < seconds[2] && seconds.iter().sum::<f64>() <= whole, "{seconds:?}");

    let refuse = |_, _, _| Err(ronbun::Error::new(ronbun::Kind::Output, "disk", "is full"));
    let mut written = 0;
    let refused = engine.decode_each(&batch, TokenRules::default(), |_, _| written += 1, refuse);
    assert_eq!(
        (refused.unwrap_err().kind, written),
        (ronbun::Kind::Output, 5),
        "no step after the one that was refused"
    );
}

#[test]
fn ids_past_the_vocabulary_are_refused() {
    let (path, _) = checkpoints().remove(0);
    let error = eval::logits(Decoder::new(&open(&path)).unwrap(), &[1, 5_000_000], None).unwrap_err();
    assert!(error.problem.contains("5000000"), "{error}");
    assert!(eval::logits(Decoder::new(&open(&path)).unwrap(), &[], None).is_err());
}
