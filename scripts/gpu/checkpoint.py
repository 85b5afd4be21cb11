#!/usr/bin/env python3
"""Makes a checkpoint of random weights in the shape of a real model: checkpoint.py SHAPE FOLDER [--seed N]

The weights are bf16 from numpy's PCG64, each block of a tensor with a seed of its own, so that all machines make the same
file. Without a tokenizer: what takes token ids takes the folder. A folder that is complete is left as it is. Needs numpy.
"""

import argparse
import json
import os
import pathlib
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def shape(family, hidden, inner, layers, heads, kv_heads, head_dim, vocabulary, context, theta, eps, **more):
    return {
        "architectures": [{"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}[family]],
        "model_type": family,
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": context,
        "rms_norm_eps": eps,
        "rope_theta": theta,
        "rope_scaling": None,
        "attention_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        **more,
    }


SHAPES = {
    "llama-3.1-8b": shape(
        "llama", 4096, 14336, 32, 32, 8, 128, 128256, 131072, 500000.0, 1e-5, rope_scaling=LLAMA3_ROPE
    ),
    "qwen3-4b": shape(
        "qwen3", 2560, 9728, 36, 32, 8, 128, 151936, 40960, 1000000.0, 1e-6, tie_word_embeddings=True
    ),
    "small-llama": shape("llama", 512, 1024, 4, 8, 2, 64, 4096, 8192, 10000.0, 1e-5),
    "small-qwen3": shape("qwen3", 384, 768, 4, 6, 2, 128, 4096, 8192, 1000000.0, 1e-6, tie_word_embeddings=True),
    "tiny": shape("llama", 64, 96, 2, 4, 2, 16, 300, 2048, 10000.0, 1e-5),
}
# Elements that one thread draws at a time, and bytes of a file.
BLOCK = 1 << 24
FILE = 4 << 30


def tensors(config):
    """Names and shapes, in the order in which they are used."""
    hidden, inner, dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim
    all_of = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for number in range(config["num_hidden_layers"]):
        layer = {
            "input_layernorm": (hidden,),
            "self_attn.q_proj": (queries, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, queries),
            "post_attention_layernorm": (hidden,),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }
        if config["model_type"] == "qwen3":
            layer |= {"self_attn.q_norm": (dim,), "self_attn.k_norm": (dim,)}
        all_of |= {f"model.layers.{number}.{name}.weight": size for name, size in layer.items()}
    all_of["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        all_of["lm_head.weight"] = (config["vocab_size"], hidden)
    return all_of


def files(sizes):
    """The tensors in groups that a file holds each."""
    groups, room = [], 0
    for name, size in sizes.items():
        taken = 2 * int(numpy.prod(size))
        if taken > room:
            groups.append([])
            room = FILE
        groups[-1].append(name)
        room -= taken
    return groups


def block(seed, name, size, first, count):
    """Elements of a tensor as bits of bf16. Matrices keep the size of what they are given; norms are near 1."""
    random = numpy.random.default_rng([seed, zlib.crc32(name.encode()), first])
    drawn = random.standard_normal(count, dtype=numpy.float32)
    drawn = 1 + 0.1 * drawn if len(size) == 1 else drawn / numpy.float32(size[1] ** 0.5)
    bits = drawn.astype(numpy.float32).view(numpy.uint32)
    # To the nearest; ties go up.
    return ((bits + 0x8000) >> 16).astype(numpy.uint16)


def write(path, names, sizes, seed, pool):
    """A file of safetensors: its header's length, the header, the tensors."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in names:
        end = offset + 2 * int(numpy.prod(sizes[name]))
        header[name] = {"dtype": "BF16", "shape": sizes[name], "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            elements = int(numpy.prod(sizes[name]))
            starts = range(0, elements, BLOCK)
            draw = lambda first: block(seed, name, sizes[name], first, min(BLOCK, elements - first))
            for drawn in pool.map(draw, starts):
                file.write(drawn.tobytes())


def make(name, folder, seed):
    config, folder = SHAPES[name], pathlib.Path(folder)
    made = {"shape": name, "seed": seed, "config": config}
    mark = folder / "made.json"
    if mark.is_file() and json.loads(mark.read_text()) == made:
        return
    folder.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    sizes = tensors(config)
    groups = files(sizes)
    weight_map = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, names in enumerate(groups, 1):
            file = f"model-{number:05}-of-{len(groups):05}.safetensors"
            write(folder / file, names, sizes, seed, pool)
            weight_map |= {name: file for name in names}
    total = sum(2 * int(numpy.prod(size)) for size in sizes.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    mark.write_text(json.dumps(made))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    make(asked.shape, asked.folder, asked.seed)
