//! `--quantize`: matrices of checkpoints quantised as they are opened, against candle and against GGUF files of the
//! same.

mod machine;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor};
use machine::{Machine, model};
use ronbun::attention::KvType;
use ronbun::engine::eval;
use ronbun::model::{Checkpoint, Decoder, PackedCache, Quantization, TensorView};
use ronbun::progress::Progress;
use ronbun_kernels::{
    Isa,
    blocks::{self, BlockType},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const BOTH: [Quantization; 2] = [Quantization::Q8_0, Quantization::Q4K];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

fn cache(folder: &TempDir) -> PackedCache {
    PackedCache { folder: folder.path().to_path_buf(), progress: Progress::silent() }
}

fn values(view: &TensorView) -> Vec<f32> {
    let mut values = vec![0f32; view.shape.iter().product()];
    blocks::dequantize(Isa::current(), view.kind, view.bytes(), &mut values);
    values
}

fn candles(kind: BlockType) -> GgmlDType {
    match kind {
        BlockType::Q8_0 => GgmlDType::Q8_0,
        BlockType::Q5_0 => GgmlDType::Q5_0,
        BlockType::Q4K => GgmlDType::Q4K,
        BlockType::Q6K => GgmlDType::Q6K,
        other => panic!("{other:?} is nothing that is quantised to"),
    }
}

/// The matrix in one piece, quantised by candle.
fn by_candle(view: &TensorView, kind: BlockType) -> QTensor {
    let whole = Tensor::from_vec(values(view), view.shape.as_slice(), &Device::Cpu).unwrap();
    QTensor::quantize(&whole, candles(kind)).unwrap()
}

/// Checks every matrix against candle; the types of the matrices.
fn as_candle_does(own: &Checkpoint, quantised: &Checkpoint) -> BTreeMap<String, BlockType> {
    let mut kinds = BTreeMap::new();
    assert_eq!(own.tensors.len(), quantised.tensors.len());
    for (name, view) in &own.tensors {
        let got = &quantised.tensors[name];
        assert_eq!(got.shape, view.shape, "{name}");
        if view.shape.len() != 2 || !view.shape[1].is_multiple_of(32) {
            assert_eq!((got.kind, got.bytes()), (view.kind, view.bytes()), "{name}");
            continue;
        }
        assert!(by_candle(view, got.kind).data().unwrap() == got.bytes(), "{name} in {:?}", got.kind);
        kinds.insert(name.clone(), got.kind);
    }
    kinds
}

#[test]
fn matrices_are_quantised_as_candle_quantises_them() {
    for name in ["llama-tied-f32", "llama-sharded-bf16", "llama3-rope-f16", "qwen2-tied-bf16", "qwen2-untied-f32"] {
        let own = Checkpoint::open(&folder(name)).unwrap();
        for to in BOTH {
            let place = tempfile::tempdir().unwrap();
            let (quantised, file) = Checkpoint::open_as(&folder(name), Some(to), &cache(&place)).unwrap();
            assert!(file.starts_with(place.path()), "{}", file.display());
            let kinds = as_candle_does(&own, &quantised);
            for (tensor, kind) in kinds {
                // Rows of 64 elements are no blocks of 256; some have 256.
                let expected = match (to, tensor.starts_with("model.layers."), own.tensors[&tensor].shape[1]) {
                    (Quantization::Q4K, true, 256) => BlockType::Q4K,
                    (Quantization::Q4K, true, _) => BlockType::Q5_0,
                    _ => BlockType::Q8_0,
                };
                assert_eq!(kind, expected, "{name}: {tensor}");
            }
            let made = fs::metadata(&file).unwrap().modified().unwrap();
            Checkpoint::open_as(&folder(name), Some(to), &cache(&place)).unwrap();
            assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), made, "quantised once");
        }
    }
}

/// Ids of a text's length, below every fixture's vocabulary.
fn ids() -> Vec<u32> {
    (0..300u32).map(|n| n * n % 61).collect()
}

#[test]
fn what_is_computed_with_quantised_matrices_is_near_to_the_model() {
    for name in ["llama-tied-f32", "llama-sharded-bf16", "qwen2-tied-bf16"] {
        let exact = Decoder::new(&Checkpoint::open(&folder(name)).unwrap()).unwrap();
        for (to, near) in [(Quantization::Q8_0, 1e-2), (Quantization::Q4K, 0.3)] {
            let place = tempfile::tempdir().unwrap();
            let (quantised, file) = Checkpoint::open_as(&folder(name), Some(to), &cache(&place)).unwrap();
            let (fast, bytes) = Decoder::load(&quantised, &file, Some(&cache(&place))).unwrap();
            assert!(bytes > 0 && bytes < 2 * quantised.weight_bytes(), "{name}: packed");
            let slow = Decoder::new(&quantised).unwrap();
            let row = |exact: &Decoder, other: &Decoder, kv| {
                eval::divergence(exact, (other, kv), &ids(), (7, 300), |_| {}).unwrap()[0].divergence
            };
            let (rounded, quantisation) = (row(&slow, &fast, KvType::I8), row(&exact, &slow, KvType::F32));
            assert!(rounded < 5e-3, "{name} {to}: {rounded} from its own matrices in f32");
            assert!(quantisation > 0.0 && quantisation < near, "{name} {to}: {quantisation} from the model");
        }
    }
}

/// The weights of `qwen2-tied-bf16` as a GGUF file, in types that `kind_of` names.
fn gguf(path: &Path, kind_of: impl Fn(&str) -> BlockType) {
    let source = folder("gguf-qwen2-bf16").join("model.gguf");
    let mut file = BufReader::new(File::open(&source).unwrap());
    let content = gguf_file::Content::read(&mut file).unwrap();
    let tensor = |name: &String| {
        let tensor = content.tensor(&mut file, name, &Device::Cpu).unwrap();
        let values = tensor.dequantize(&Device::Cpu).unwrap();
        let kind = if values.dims().len() == 2 { candles(kind_of(name)) } else { GgmlDType::F32 };
        (name.clone(), QTensor::quantize(&values, kind).unwrap())
    };
    let tensors: Vec<(String, QTensor)> = content.tensor_infos.keys().map(tensor).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let metadata: Vec<(&str, &gguf_file::Value)> = content.metadata.iter().map(|(key, v)| (key.as_str(), v)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

#[test]
fn a_checkpoint_computes_what_a_gguf_file_of_the_same_types_does() {
    for to in BOTH {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model.gguf");
        gguf(&path, |name| match to {
            Quantization::Q4K if name.starts_with("blk.") => BlockType::Q5_0,
            _ => BlockType::Q8_0,
        });
        let cache = cache(&place);
        let logits = |checkpoint: &Checkpoint, file: &Path| {
            let (decoder, _) = Decoder::load(checkpoint, file, Some(&cache)).unwrap();
            eval::nll(&decoder, KvType::I8, &ids(), 0..300, |_| ()).unwrap()
        };
        let expected = logits(&Checkpoint::open(&path).unwrap(), &path);
        let (quantised, file) = Checkpoint::open_as(&folder("qwen2-tied-bf16"), Some(to), &cache).unwrap();
        assert_eq!(logits(&quantised, &file), expected, "{to}");
        // With f32 as it is they differ, so that equality says something.
        let own = Checkpoint::open(&folder("qwen2-tied-bf16")).unwrap();
        assert_ne!(logits(&own, &folder("qwen2-tied-bf16")), expected, "{to}");
    }
}

/// A folder with weights whose rows are blocks of 256.
fn wide(place: &Path) -> PathBuf {
    let source = Checkpoint::open(&folder("gguf-llama-k-quants").join("model.gguf")).unwrap();
    let path = place.join("wide");
    fs::create_dir(&path).unwrap();
    let c = &source.config;
    let config = serde_json::json!({
        "model_type": "llama", "vocab_size": c.vocab_size, "hidden_size": c.hidden_size,
        "intermediate_size": c.intermediate_size, "num_hidden_layers": c.num_hidden_layers,
        "num_attention_heads": c.num_attention_heads, "num_key_value_heads": c.num_key_value_heads,
        "head_dim": c.head_dim, "rms_norm_eps": c.rms_norm_eps, "max_position_embeddings": c.context_length,
        "tie_word_embeddings": !source.tensors.contains_key("lm_head.weight"),
    });
    fs::write(path.join("config.json"), config.to_string()).unwrap();
    let bytes = |view: &TensorView| values(view).iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let all: Vec<(String, Vec<u8>, Vec<usize>)> =
        source.tensors.iter().map(|(name, view)| (name.clone(), bytes(view), view.shape.clone())).collect();
    let views = all.iter().map(|(name, bytes, shape)| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    fs::write(path.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn rows_of_whole_blocks_become_q4_k_and_the_head_q6_k() {
    let place = tempfile::tempdir().unwrap();
    let path = wide(place.path());
    let (quantised, file) = Checkpoint::open_as(&path, Some(Quantization::Q4K), &cache(&place)).unwrap();
    let kinds = as_candle_does(&Checkpoint::open(&path).unwrap(), &quantised);
    for (name, kind) in &kinds {
        let expected = if name.starts_with("model.layers.") { BlockType::Q4K } else { BlockType::Q6K };
        assert_eq!(*kind, expected, "{name}");
    }
    assert!(kinds.len() > 7 && quantised.quantization().contains("Q4_K"), "{kinds:?}");
    let (fast, _) = Decoder::load(&quantised, &file, Some(&cache(&place))).unwrap();
    let slow = Decoder::new(&quantised).unwrap();
    let rows = eval::divergence(&slow, (&fast, KvType::I8), &ids(), (7, 300), |_| {}).unwrap();
    assert!(rows[0].divergence < 5e-3, "{rows:?}");
    // Weights that change are quantised anew; those that are gone take their copies with them.
    let old = fs::read(&file).unwrap();
    let weights = path.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 0x10;
    fs::write(&weights, bytes).unwrap();
    let changed = File::options().append(true).open(&weights).unwrap();
    changed.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(5)).unwrap();
    let (_, again) = Checkpoint::open_as(&path, Some(Quantization::Q4K), &cache(&place)).unwrap();
    assert!(again != file && fs::read(&again).unwrap().len() == old.len());
    fs::remove_dir_all(&path).unwrap();
    cache(&place).sweep();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_quantised_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let quantised = folder("gguf-llama-q8_0").join("model.gguf");
    let error = Checkpoint::open_as(&quantised, Some(Quantization::Q4K), &cache(&place)).unwrap_err();
    assert!(error.problem.contains("Q8_0 already"), "{error}");
    let blocked = place.path().join("file");
    fs::write(&blocked, "no folder").unwrap();
    let blocked = PackedCache { folder: blocked, progress: Progress::silent() };
    let error = Checkpoint::open_as(&folder("llama-tied-f32"), Some(Quantization::Q8_0), &blocked).unwrap_err();
    assert_eq!(error.kind, ronbun::Kind::Output, "{error}");
}

#[test]
fn the_program_answers_with_quantised_weights() {
    let machine = Machine::new();
    fs::write(machine.path("a.txt"), "A paper about papers, and what they say of each other. ".repeat(30)).unwrap();
    let source = folder("llama-tied-f32").display().to_string();
    let nll = |more: &[&str]| {
        let args = ["eval", "nll", &source, "--text", "a.txt", "--tokens", "200", "--json"];
        machine.json(&[args.as_slice(), more].concat())["ropes"][0]["all"]["nll"]["value"].as_f64().unwrap()
    };
    let (own, q8, q4) = (nll(&[]), nll(&["--quantize", "q8_0"]), nll(&["--quantize", "q4_k"]));
    assert!(own != q8 && (q8 / own - 1.0).abs() < 5e-3, "{own} and {q8}");
    assert!(q8 != q4 && (q4 / own - 1.0).abs() < 5e-2, "{own} and {q4}");
    let kept = |kind: &str| {
        let files = fs::read_dir(machine.path("cache/packed")).unwrap().flatten();
        files.filter(|file| file.path().extension().is_some_and(|extension| extension == kind)).count()
    };
    assert_eq!((kept("q8_0"), kept("q4_k"), kept("packed")), (1, 1, 2));
    let answer = machine.json(&[
        "ask",
        "a.txt",
        "What?",
        "--model",
        &source,
        "--quantize",
        "q8_0",
        "--max-tokens",
        "4",
        "--format",
        "json",
    ]);
    // Rows of 112 elements are no blocks of 32, and stay what they were.
    assert_eq!(answer["model"]["quantization"], "Q8_0, F32", "{answer}");
    let bench = ["bench", "--model", &source, "--prompt-tokens", "64", "--gen-tokens", "2", "--json"];
    let bytes = |more: &[&str]| machine.json(&[bench.as_slice(), more].concat())["weight_bytes"].as_u64().unwrap();
    assert!(bytes(&["--quantize", "q4_k"]) < bytes(&[]) / 2);
    let refused = machine.run(&["eval", "nll", &model("gguf-llama-q8_0"), "--text", "a.txt", "--quantize", "q4_k"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let unknown = machine.run(&["eval", "nll", &source, "--text", "a.txt", "--quantize", "q4_0"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("neither q8_0 nor q4_k"), "{unknown:?}");
}

#[test]
fn evaluations_take_quantised_weights() {
    let machine = Machine::new();
    fs::write(machine.path("a.txt"), "A paper about papers, and what they say of each other. ".repeat(30)).unwrap();
    let source = folder("llama-tied-f32");
    let name = source.display().to_string();
    let ask = |what: &[&str], more: &[&str]| machine.json(&[&["eval", what[0], &name], &what[1..], more].concat());
    let list = ids()[..40].iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let (logits, greedy) = (["logits", "--ids", &list], ["greedy", "--ids", &list, "--tokens", "3"]);
    let divergence = ["divergence", "--text", "a.txt", "--tokens", "200", "--stride", "5", "--json"];
    let own = [ask(&logits, &[]), ask(&greedy, &[]), ask(&divergence, &[])];
    let mut divergences = vec![own[2]["rows"][0]["divergence"].as_f64().unwrap()];
    for to in BOTH {
        let place = tempfile::tempdir().unwrap();
        let (quantised, _) = Checkpoint::open_as(&source, Some(to), &cache(&place)).unwrap();
        let more = ["--quantize", &to.to_string()];
        let got: Vec<f32> = serde_json::from_value(ask(&logits, &more)["logits"].clone()).unwrap();
        assert_eq!(got, eval::logits(Decoder::new(&quantised).unwrap(), &ids()[..40], None).unwrap(), "{to}");
        let steps = ask(&greedy, &more)["steps"].clone();
        let expected = eval::greedy(Decoder::new(&quantised).unwrap(), &ids()[..40], 3, None).unwrap();
        for (number, step) in expected.iter().enumerate() {
            let first = &steps[number]["top"][0];
            assert_eq!((&first["id"], &first["logit"]), (&step.id.into(), &step.top[0].1.into()), "{to}: {steps}");
        }
        assert_ne!(steps, own[1]["steps"], "{to}");
        // Held to the model's own weights, whatever is made of them.
        let row = ask(&divergence, &more)["rows"][0].clone();
        assert_eq!(row["exact_nll"], own[2]["rows"][0]["exact_nll"], "{to}");
        divergences.push(row["divergence"].as_f64().unwrap());
    }
    assert!(divergences.is_sorted() && divergences[1] > 0.0 && divergences[1] < 1e-2, "{divergences:?}");
}
