"""Tiny models of every family with every kind of positions, and what transformers computes for them.

Each family has one set of weights; a case is a config.json for them, some with a GGUF file of the same weights."""

import json
import math

import fixture_gguf
import numpy as np
import torch
from fixture_gguf import Type
from safetensors.torch import save_file
from transformers import (
    Gemma3ForCausalLM, Gemma3TextConfig, Lfm2Config, Lfm2ForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig,
    MistralForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
    SmolLM3Config, SmolLM3ForCausalLM,
)  # fmt: skip

MODELS = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "phi3": (Phi3Config, Phi3ForCausalLM),
    "gemma3_text": (Gemma3TextConfig, Gemma3ForCausalLM),
    "smollm3": (SmolLM3Config, SmolLM3ForCausalLM),
    "lfm2": (Lfm2Config, Lfm2ForCausalLM),
}
# The original context is 64 tokens wherever a scaling has one.
ORIGINAL = 64
LENGTHS = [1, 40, 65, 300]
# One family also reads a prompt that is far longer than any original context.
LONG = {"llama": [2500]}
INITIALIZER_RANGE = 0.2
NOT_FOR_TRANSFORMERS = ("model_type", "torch_dtype", "dtype", "architectures")


def config(family, **changes):
    base = {
        "architectures": [MODELS[family][1].__name__],
        "model_type": family,
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return {**base, **changes}


def four(**scaling):
    """Positions in the form of transformers 4."""
    return {"rope_theta": 10000.0, "rope_scaling": scaling or None}


def five(**scaling):
    """And of transformers 5."""
    return {"rope_parameters": {"rope_theta": 10000.0, **scaling}}


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": ORIGINAL}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": ORIGINAL,
}  # fmt: skip
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0, 1.0, 1.05, 1.1, 1.2, 1.3],
    "long_factor": [1.0, 1.25, 1.9, 3.3, 5.8, 7.9],
}
PHI3 = {"partial_rotary_factor": 0.75, "original_max_position_embeddings": ORIGINAL, "sliding_window": None}
GEMMA3_FOUR = {
    "rope_theta": 100000.0, "rope_local_base_freq": 1000.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    "sliding_window_pattern": 2,
}  # fmt: skip
GEMMA3_FIVE = {
    "layer_types": ["sliding_attention", "full_attention"],
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 100000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0},
    },
}
# Convolutions before and behind attention, as in the published models, whose last layer is one. The norms' epsilon is
# large so that another one shows.
LFM2_LAYERS = ["conv", "full_attention", "full_attention", "conv"]
LFM2 = {key: value for key, value in config("lfm2", num_hidden_layers=4, norm_eps=1e-3, tie_word_embeddings=True,
    conv_L_cache=3, conv_bias=False).items() if key != "rms_norm_eps"}  # fmt: skip
QWEN = {"use_sliding_window": False, "sliding_window": 24, "max_window_layers": 1}

# family: what its weights are shaped by, their type, and its cases: (name, settings, GGUF too, controls). A control
# takes something away that the logits must then miss: the scaling, the windows, …
FAMILIES = {
    "llama": (config("llama"), torch.float16, [
        ("default", four(), False, []),
        ("linear", four(type="linear", factor=4.0), False, ["scaling"]),
        ("dynamic", {**four(type="dynamic", factor=2.0), "max_position_embeddings": ORIGINAL}, False, ["scaling"]),
        ("yarn", five(**YARN), True, ["scaling"]),
        ("yarn-4", four(**YARN), False, ["scaling"]),
        ("yarn-weighted", four(**YARN, mscale=0.707, mscale_all_dim=1.0, beta_fast=16, truncate=False), False,
            ["scaling"]),
        ("llama3", five(**LLAMA3), False, ["scaling"]),
        ("proportional", five(rope_type="proportional", partial_rotary_factor=0.5, factor=2.0), False, ["scaling"]),
    ]),
    "mistral": (config("mistral", tie_word_embeddings=True), torch.bfloat16, [
        ("default", {**four(), "sliding_window": None}, False, []),
        ("window", {**four(), "sliding_window": 24}, True, ["windows"]),
        ("window-yarn", {**five(**YARN), "sliding_window": 100}, False, ["windows", "scaling"]),
    ]),
    "qwen2": (config("qwen2"), torch.bfloat16, [
        ("yarn", {**four(type="yarn", **{**YARN, "rope_type": "yarn"}), **QWEN}, True, ["scaling"]),
        ("window", {**five(rope_type="default"), **QWEN, "use_sliding_window": True}, False, ["windows"]),
    ]),
    "qwen3": (config("qwen3", head_dim=32, tie_word_embeddings=True), torch.bfloat16, [
        ("default", {**five(rope_type="default"), **QWEN}, False, []),
        ("yarn", {**five(**YARN), **QWEN}, True, ["scaling"]),
    ]),
    "phi3": (config("phi3"), torch.float16, [
        ("default", {**four(), **PHI3}, False, ["partial"]),
        ("longrope", {**four(**LONGROPE), **PHI3}, True, ["scaling"]),
        ("longrope-5", {**five(**{**LONGROPE, "rope_type": "longrope", "partial_rotary_factor": 0.75,
            "original_max_position_embeddings": ORIGINAL}), **PHI3}, False, ["scaling"]),
        ("window", {**four(**LONGROPE), **PHI3, "sliding_window": 47}, False, ["scaling", "windows"]),
    ]),
    "gemma3": (
        config("gemma3_text", hidden_size=16, intermediate_size=32, head_dim=256, tie_word_embeddings=True,
            hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=256, sliding_window=24),
        torch.bfloat16, [
        ("linear", GEMMA3_FOUR, True, ["scaling", "windows", "one base"]),
        ("linear-5", GEMMA3_FIVE, False, ["scaling", "windows", "one base"]),
        ("wide", {**GEMMA3_FIVE, "sliding_window": 512, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 100},
            False, ["scaling", "one base"]),
    ]),
    "smollm3": (config("smollm3", num_hidden_layers=4, intermediate_size=32), torch.bfloat16, [
        ("default", {**four(), "no_rope_layer_interval": 4}, False, ["rotate all"]),
        ("yarn", {**five(**YARN), "no_rope_layers": [1, 1, 1, 0]}, True, ["scaling", "rotate all"]),
    ]),
    "lfm2": (LFM2, torch.bfloat16, [
        # As published: 64 is adjusted to 48.
        ("default", {**four(), "full_attn_idxs": [1, 2], "block_ff_dim": 64, "block_auto_adjust_ff_dim": True,
            "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 16}, False, []),
        ("yarn", {**five(**YARN), "layer_types": LFM2_LAYERS, "block_auto_adjust_ff_dim": False}, True, ["scaling"]),
    ]),
}  # fmt: skip


def model_of(cfg):
    config_class, model_class = MODELS[cfg["model_type"]]
    # The class changes the dictionaries that it is given.
    keep = json.loads(json.dumps({key: value for key, value in cfg.items() if key not in NOT_FOR_TRANSFORMERS}))
    return model_class(config_class(**keep, attn_implementation="eager")).to(torch.float32).eval()


def random_weights(cfg, seed):
    """Every tensor, norms and biases random too, so that one left out shows. Gemma's norms are kept less 1."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, parameter in model_of(cfg).named_parameters():
        drawn = rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
        centre = 0.0 if cfg["model_type"] == "gemma3_text" else 1.0
        is_norm = name.endswith("norm.weight")
        tensors[name] = centre + 0.1 * drawn if is_norm else INITIALIZER_RANGE * drawn
    return tensors


@torch.no_grad()
def last_logits(cfg, tensors, ids):
    """Of a model made anew, because dynamic scaling remembers what was run before."""
    model = model_of(cfg)
    state = {name: torch.from_numpy(np.ascontiguousarray(tensor, np.float32)) for name, tensor in tensors.items()}
    missing = set(model.load_state_dict(state, strict=False).missing_keys)
    assert missing <= ({"lm_head.weight"} if cfg["tie_word_embeddings"] else set()), missing
    model.tie_weights()
    logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1].numpy()
    return [float(f"{value:.7g}") for value in logits]


def gguf_tensors(cfg, tensors):
    """The tensors as llama.cpp's converter changes them, beside the permutation of a llama's."""
    if cfg["model_type"] != "gemma3_text":
        return tensors
    return {name: tensor + 1 if name.endswith("norm.weight") else tensor for name, tensor in tensors.items()}


def gguf_options(cfg):
    """The scaling as a converter writes it."""
    scaling = cfg.get("rope_scaling") or cfg.get("rope_parameters") or {}
    options = {"scaling": scaling}
    if scaling.get("type") == "longrope":
        factor = cfg["max_position_embeddings"] / ORIGINAL
        options["attention_factor"] = math.sqrt(1 + math.log(factor) / math.log(ORIGINAL))
    return options


def write(root):
    for number, (family, (base, dtype, cases)) in enumerate(FAMILIES.items()):
        folder = root / family
        folder.mkdir(parents=True)
        first = {**base, **cases[0][1]}
        drawn = random_weights(first, 40 + number)
        stored = {name: torch.from_numpy(tensor).to(dtype) for name, tensor in drawn.items()}
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        seen = {name: tensor.to(torch.float32).numpy() for name, tensor in stored.items()}
        rng = np.random.default_rng(60 + number)
        lengths = [*LENGTHS, *LONG.get(family, [])]
        prompts = [rng.integers(3, base["vocab_size"], length).tolist() for length in lengths]
        listed = []
        for name, settings, has_gguf, controls in cases:
            cfg = {**base, **settings}
            logits = [last_logits(cfg, seen, ids) for ids in prompts]
            if has_gguf:
                kind = {torch.float16: Type.F16, torch.bfloat16: Type.BF16}[dtype]
                file, tensors = folder / f"{name}.gguf", gguf_tensors(cfg, seen)
                fixture_gguf.write(file, cfg, tensors, lambda _, kind=kind: kind, **gguf_options(cfg))
            listed.append({"name": name, "config": cfg, "gguf": has_gguf, "controls": controls, "logits": logits})
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in listed)
        prompts = ",\n".join(json.dumps(ids, separators=(",", ":")) for ids in prompts)
        (folder / "cases.json").write_text(f'{{"prompts":[\n{prompts}\n],"cases":[\n{lines}\n]}}\n')
