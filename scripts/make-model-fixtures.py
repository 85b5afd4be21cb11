#!/usr/bin/env python3
"""Makes the tiny models under tests/fixtures/models and what Hugging Face transformers computes for them in float32.

Needs Python 3.11+ and, in a virtual environment of their own:
    python3 -m venv target/fixtures-venv
    target/fixtures-venv/bin/pip install torch transformers safetensors gguf tokenizers jinja2 numpy regex
    target/fixtures-venv/bin/python scripts/make-model-fixtures.py
Made with torch 2.15, transformers 5.23, gguf 0.19, tokenizers 0.23. The weights come from numpy's PCG64 with fixed seeds,
so another version gives the same files up to the last digits of the logits. tests/fixtures/models/README.md tells what
each folder is for.
"""

import json
import shutil
from pathlib import Path

import fixture_families
import fixture_gguf
import fixture_tokenizers
import numpy as np
import torch
from fixture_gguf import Type
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

ROOT = Path(__file__).resolve().parent.parent / "tests/fixtures/models"
LENGTHS = [1, 7, 33, 130, 300]
GREEDY_TOKENS = 16
# Greedy continuations are kept only where the best logit leads by more than this at each step.
LEAST_MARGIN = 0.05
INITIALIZER_RANGE = 0.2

FAMILIES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}


def config(family, **changes):
    """A config.json in the form that checkpoints on the hub have."""
    base = {
        "architectures": [FAMILIES[family][1].__name__],
        "model_type": family,
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 112,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "initializer_range": INITIALIZER_RANGE,
        "torch_dtype": "float32",
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return {**base, **changes}


LLAMA_TIED = config("llama", tie_word_embeddings=True)
LLAMA3 = config(
    "llama",
    num_key_value_heads=1,
    head_dim=64,
    intermediate_size=64,
    torch_dtype="float16",
    rope_scaling={
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
)
QWEN2_TIED = config(
    "qwen2",
    vocab_size=324,
    hidden_size=96,
    intermediate_size=64,
    num_attention_heads=6,
    rope_theta=1000000.0,
    tie_word_embeddings=True,
    torch_dtype="bfloat16",
    use_sliding_window=False,
    sliding_window=1024,
    max_window_layers=2,
    bos_token_id=322,
    eos_token_id=[323, 321],
)
QWEN2_UNTIED = config(
    "qwen2", vocab_size=260, num_attention_heads=4, num_key_value_heads=1, num_hidden_layers=3, intermediate_size=48
)
# Rows are whole blocks of the legacy quants (32) and of the k-quants (256).
LEGACY = config(
    "llama", vocab_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
)
K_QUANTS = config(
    "llama", vocab_size=64, hidden_size=256, intermediate_size=256, num_hidden_layers=1, num_key_value_heads=1
)


def hugging_face_model(cfg):
    config_class, model_class = FAMILIES[cfg["model_type"]]
    keep = {key: value for key, value in cfg.items() if key not in ("architectures", "model_type", "torch_dtype")}
    model = model_class(config_class(**keep, attn_implementation="eager")).to(torch.float32).eval()
    return model


def random_weights(cfg, seed):
    """Every tensor of the checkpoint, norms and biases random too, so that one left out shows."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, parameter in hugging_face_model(cfg).named_parameters():
        drawn = rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
        is_norm = name.endswith("norm.weight")
        tensors[name] = 1 + 0.1 * drawn if is_norm else INITIALIZER_RANGE * drawn
    return tensors


def loaded(cfg, tensors):
    model = hugging_face_model(cfg)
    state = {name: torch.from_numpy(np.ascontiguousarray(tensor, np.float32)) for name, tensor in tensors.items()}
    missing = set(model.load_state_dict(state, strict=False).missing_keys)
    assert missing <= ({"lm_head.weight"} if cfg["tie_word_embeddings"] else set()), missing
    model.tie_weights()
    return model


@torch.no_grad()
def last_logits(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0, -1].numpy()


def greedy(model, ids):
    """The continuation and the smallest lead of a chosen token over the next best."""
    ids, margin = list(ids), float("inf")
    start = len(ids)
    for _ in range(GREEDY_TOKENS):
        logits = last_logits(model, ids)
        second, best = np.sort(logits)[-2:]
        margin = min(margin, float(best - second))
        ids.append(int(logits.argmax()))
    return ids[start:], margin


def reference(model, seed, with_greedy):
    rng = np.random.default_rng(seed)
    prompts = []
    for length in LENGTHS:
        while True:
            ids = rng.integers(0, model.config.vocab_size, length).tolist()
            continuation, margin = greedy(model, ids) if with_greedy else (None, None)
            if continuation is None or margin > LEAST_MARGIN:
                break
        prompt = {"ids": ids, "logits": [float(f"{value:.7g}") for value in last_logits(model, ids)]}
        if with_greedy:
            prompt |= {"greedy": continuation, "margin": round(margin, 4)}
        prompts.append(prompt)
    return {"dtype": "float32", "prompts": prompts}


def write_json(path, value, **options):
    path.write_text(json.dumps(value, ensure_ascii=False, **options) + "\n", encoding="utf-8")


def write_reference(folder, cfg, tensors, seed, with_greedy=True):
    torch.manual_seed(0)
    result = reference(loaded(cfg, tensors), seed, with_greedy)
    text = json.dumps(result, separators=(",", ":")).replace('{"ids"', '\n{"ids"').replace("]}]}", "]}\n]}")
    (folder / "reference.json").write_text(text + "\n")


def fresh(name):
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def as_stored(tensors, dtype):
    """The tensors as torch stores them, and what a float32 reader gets back."""
    stored = {name: torch.from_numpy(tensor).to(dtype).contiguous() for name, tensor in tensors.items()}
    return stored, {name: tensor.to(torch.float32).numpy() for name, tensor in stored.items()}


def save_sharded(stored, folder):
    names = list(stored)
    halves = [names[: len(names) // 2], names[len(names) // 2 :]]
    weight_map = {}
    for number, half in enumerate(halves, 1):
        file = f"model-{number:05}-of-{len(halves):05}.safetensors"
        save_file({name: stored[name] for name in half}, folder / file, metadata={"format": "pt"})
        weight_map |= {name: file for name in half}
    total = sum(tensor.numel() * tensor.element_size() for tensor in stored.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(folder / "model.safetensors.index.json", index, indent=2)


def safetensors_fixture(name, cfg, seed, dtype=torch.float32, sharded=False, written_config=None):
    folder = fresh(name)
    stored, seen = as_stored(random_weights(cfg, seed), dtype)
    if sharded:
        save_sharded(stored, folder)
    else:
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", written_config or cfg, indent=2)
    write_reference(folder, cfg, seen, seed)
    return folder, seen


def gguf_fixture(name, cfg, tensors, type_of, seed, exact, **options):
    folder = fresh(name)
    seen = fixture_gguf.write(folder / "model.gguf", cfg, tensors, type_of, np.random.default_rng(seed), **options)
    write_reference(folder, cfg, seen, seed, with_greedy=exact)
    return folder, seen


def version_5_form(cfg):
    """The same config as transformers 5 writes it: rope_parameters and dtype."""
    changed = {key: value for key, value in cfg.items() if key not in ("rope_theta", "rope_scaling", "torch_dtype")}
    rope = {"rope_theta": cfg["rope_theta"], "rope_type": "default"}
    return {**changed, "dtype": "bfloat16", "rope_parameters": rope}


def safetensors_and_their_gguf():
    smollm, qwen2 = fixture_tokenizers.smollm(320), fixture_tokenizers.qwen2(320)

    folder, seen = safetensors_fixture("llama-tied-f32", LLAMA_TIED, 11)
    fixture_tokenizers.write(smollm, folder)
    folder, _ = gguf_fixture(
        "gguf-llama-f32", LLAMA_TIED, seen, lambda _: Type.F32, 11, True,
        tokenizer=lambda writer: fixture_tokenizers.add_to_gguf(writer, smollm, "smollm", 320),
    )  # fmt: skip
    fixture_tokenizers.write_reference(smollm, folder)

    folder, seen = safetensors_fixture("qwen2-tied-bf16", QWEN2_TIED, 12, torch.bfloat16)
    fixture_tokenizers.write(qwen2, folder)
    folder, _ = gguf_fixture(
        "gguf-qwen2-bf16", QWEN2_TIED, seen, lambda _: Type.BF16, 12, True,
        tokenizer=lambda writer: fixture_tokenizers.add_to_gguf(writer, qwen2, "qwen2", 324),
    )  # fmt: skip
    fixture_tokenizers.write_reference(qwen2, folder)

    _, seen = safetensors_fixture("llama3-rope-f16", LLAMA3, 13, torch.float16)
    inverse = hugging_face_model(LLAMA3).model.rotary_emb.inv_freq.double().numpy()
    divisors = fixture_gguf.rope_divisors(inverse, LLAMA3["rope_theta"], LLAMA3["head_dim"])
    gguf_fixture("gguf-llama3-rope-f16", LLAMA3, seen, lambda _: Type.F16, 13, True, divisors=divisors)

    safetensors_fixture("qwen2-untied-f32", QWEN2_UNTIED, 14)
    sharded = {**LLAMA_TIED, "tie_word_embeddings": False}
    safetensors_fixture("llama-sharded-bf16", sharded, 15, torch.bfloat16, True, version_5_form(sharded))


def quantised():
    legacy = random_weights(LEGACY, 21)
    for type in (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0):
        name = f"gguf-llama-{type.name.lower()}"
        gguf_fixture(name, LEGACY, legacy, lambda _, type=type: type, 21, False)
    folder, seen = gguf_fixture(
        "gguf-llama-k-quants", K_QUANTS, random_weights(K_QUANTS, 22),
        lambda name: fixture_gguf.K_MIX[name.split(".")[-2]], 22, False,
    )  # fmt: skip
    rows = {
        fixture_gguf.gguf_name(name): fixture_gguf.as_stored_rows(name, tensor, K_QUANTS)
        for name, tensor in seen.items()
        if tensor.ndim == 2
    }
    write_json(folder / "first-rows.json", rows, separators=(",", ":"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    safetensors_and_their_gguf()
    quantised()
    fixture_tokenizers.write_sentencepiece(fixture_tokenizers.sentencepiece(400), fresh("tokenizer-spm"))
    fixture_tokenizers.write_pre_tokenizers(ROOT / "pre-tokenizers.json")
    fixture_families.write(fresh("families"))
    for file in sorted(ROOT.rglob("*.*")):
        print(f"{file.stat().st_size:>8}  {file.relative_to(ROOT)}")
