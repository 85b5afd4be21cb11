#!/usr/bin/env python3
"""Computes every number of ronbun-attention.typ from formulas and the models' shapes, and writes figures.json.

Only the standard library. Nothing here is a measurement of speed; `numerics` is a check in floating point of the identity
that the paper states."""

import json
import math
import random
import struct
from dataclasses import dataclass
from pathlib import Path

KEY_BYTES = 2  # f16
BITS_PER_WEIGHT = 4.5  # 144 bytes for 256 weights
BLOCK = 64
CHUNK = 512
ANSWER_TOKENS = 200
LENGTHS = [2048, 4096, 8192, 16384, 32768]
PAPER = 12000
BRANCHES = [1, 2, 4, 8, 16, 32, 64]


@dataclass
class Model:
    """The shapes in the published config.json of a model."""

    name: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int

    def layer_weights(self):
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    def head_weights(self):
        """The output head; read whole in each step, tied to the embedding or not."""
        return self.hidden * self.vocabulary

    def weight_bytes(self):
        return (self.layer_weights() + self.head_weights()) * BITS_PER_WEIGHT / 8

    def cache_bytes_per_token(self):
        return 2 * self.layers * self.kv_heads * self.head_dim * KEY_BYTES

    def linear_flops_per_token(self):
        return 2 * self.layer_weights()

    def attention_flops(self, length):
        """Causal: query t meets t keys, with two products of 2·head_dim operations each."""
        pairs = length * (length + 1) / 2
        return 4 * self.layers * self.heads * self.head_dim * pairs

    def crossover(self):
        """The length at which attention costs as much as the linear layers."""
        return 2 * self.layer_weights() / (2 * self.layers * self.heads * self.head_dim)

    def speedup(self, branches, prefix, tail):
        """Bytes read for one token of every branch: each branch alone, and all in a batch, both against sharing."""
        weights, token = self.weight_bytes(), self.cache_bytes_per_token()
        shared = weights + (prefix + branches * tail) * token
        batched = weights + branches * (prefix + tail) * token
        alone = branches * (weights + (prefix + tail) * token)
        return {"batched": batched / shared, "alone": alone / shared}

    def score_bytes(self, length):
        """What one layer's score matrix would take in f32."""
        return 4 * self.heads * length * length


MODELS = [
    Model("SmolLM2-135M", 576, 1536, 30, 9, 3, 64, 49152),
    Model("Qwen2.5-0.5B", 896, 4864, 24, 14, 2, 64, 151936),
    Model("Qwen2.5-1.5B", 1536, 8960, 28, 12, 2, 128, 151936),
]
LARGER = Model("Qwen2.5-7B", 3584, 18944, 28, 28, 4, 128, 152064)


def half(x):
    """Rounded to f16."""
    return struct.unpack("<e", struct.pack("<e", x))[0]


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b))


def attend(query, keys, values):
    """Output and log-sum-exp of softmax attention in f64."""
    scores = [dot(query, key) / math.sqrt(len(query)) for key in keys]
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = math.fsum(weights)
    output = [math.fsum(w * v for w, v in zip(weights, column)) / total for column in zip(*values)]
    return output, top + math.log(total)


def merge(a, b):
    (left, l_left), (right, l_right) = a, b
    top = max(l_left, l_right)
    both = top + math.log(math.exp(l_left - top) + math.exp(l_right - top))
    u, v = math.exp(l_left - both), math.exp(l_right - both)
    return [u * x + v * y for x, y in zip(left, right)], both


def error(a, b):
    """Relative, in the Euclidean norm."""
    return math.sqrt(math.fsum((x - y) ** 2 for x, y in zip(a, b)) / math.fsum(y * y for y in b))


def numerics(queries=8, prefix=1024, tail=64, width=64):
    """Largest relative error of merged against whole attention, and of f16 keys and values against f64 ones."""
    rng = random.Random(2026)
    draw = lambda rows: [[rng.gauss(0, 1) for _ in range(width)] for _ in range(rows)]
    keys, values = draw(prefix + tail), draw(prefix + tail)
    half_keys, half_values = ([[half(x) for x in row] for row in rows] for rows in (keys, values))
    merged_error = half_error = 0.0
    for query in draw(queries):
        whole, _ = attend(query, keys, values)
        merged, _ = merge(attend(query, keys[:prefix], values[:prefix]), attend(query, keys[prefix:], values[prefix:]))
        rounded, _ = attend(query, half_keys, half_values)
        merged_error = max(merged_error, error(merged, whole))
        half_error = max(half_error, error(rounded, whole))
    assert merged_error < 1e-14, merged_error
    return {"queries": queries, "prefix": prefix, "tail": tail, "width": width, "merge_bound": 1e-14,
            "half_error": float(f"{half_error:.1g}")}  # fmt: skip


def worked_example():
    """Four keys, split two and two."""
    query = [1.0, 0.5]
    keys = [[1, 0], [0, 1], [1, 1], [-1, 2]]
    values = [[1, 2], [3, 4], [5, 6], [7, 8]]
    whole = attend(query, keys, values)
    prefix, tail = attend(query, keys[:2], values[:2]), attend(query, keys[2:], values[2:])
    merged = merge(prefix, tail)
    assert error(merged[0], whole[0]) < 1e-14
    return {
        "prefix": [round(x, 3) for x in prefix[0]], "prefix_lse": round(prefix[1], 3),
        "tail": [round(x, 3) for x in tail[0]], "tail_lse": round(tail[1], 3),
        "whole": [round(x, 3) for x in whole[0]], "whole_lse": round(whole[1], 3),
        "weights": [round(math.exp(each[1] - whole[1]), 3) for each in (prefix, tail)],
    }  # fmt: skip


def figures():
    models = []
    for model in MODELS:
        speedups = {branches: model.speedup(branches, PAPER, ANSWER_TOKENS) for branches in BRANCHES}
        models.append({
            "name": model.name, "layers": model.layers, "heads": model.heads, "kv_heads": model.kv_heads,
            "head_dim": model.head_dim, "group": model.heads // model.kv_heads,
            "weights_mb": model.weight_bytes() / 1e6,
            "cache_bytes_per_token": model.cache_bytes_per_token(),
            "cache_mb": model.cache_bytes_per_token() * PAPER / 1e6,
            "copies_mb": 8 * model.cache_bytes_per_token() * (PAPER + ANSWER_TOKENS) / 1e6,
            "shared_mb": model.cache_bytes_per_token() * (PAPER + 8 * ANSWER_TOKENS) / 1e6,
            "linear_gflops_per_token": model.linear_flops_per_token() / 1e9,
            "crossover": round(model.crossover()),
            "score_gb": model.score_bytes(PAPER) / 1e9,
            "prefill": [
                {"length": length, "linear_tflops": model.linear_flops_per_token() * length / 1e12,
                 "attention_tflops": model.attention_flops(length) / 1e12} for length in LENGTHS
            ],
            "curve": [[b, model.speedup(b, PAPER, ANSWER_TOKENS)["batched"]] for b in range(1, 65)],
            "speedups": speedups,
            "limit": (PAPER + ANSWER_TOKENS) / ANSWER_TOKENS,
            "rows_of_eight": 8 * model.heads // model.kv_heads,
        })  # fmt: skip
    return {
        "block": BLOCK, "chunk": CHUNK, "answer_tokens": ANSWER_TOKENS, "paper_tokens": PAPER,
        "bits_per_weight": BITS_PER_WEIGHT, "models": models,
        "larger": {"name": LARGER.name, "speedups": {8: LARGER.speedup(8, PAPER, ANSWER_TOKENS)}},
        "numerics": numerics(), "example": worked_example(),
    }  # fmt: skip


def rounded(value):
    """Seven digits, so that a platform's last bit does not change the file."""
    if isinstance(value, dict):
        return {str(key): rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


if __name__ == "__main__":
    text = json.dumps(rounded(figures()), indent=1)
    (Path(__file__).parent / "figures.json").write_text(text + "\n")
