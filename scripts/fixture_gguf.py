"""Writes a state dict as GGUF, the way llama.cpp's converter lays it out, with any tensor type."""

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants

FILE_TYPES = {
    Type.F32: 0, Type.F16: 1, Type.Q4_0: 2, Type.Q4_1: 3, Type.Q8_0: 7, Type.Q5_0: 8, Type.Q5_1: 9, Type.BF16: 32,
}  # fmt: skip

# What the converter calls a family, and where it differs.
ARCHITECTURES = {"mistral": "llama", "gemma3_text": "gemma3"}
PERMUTED = ("llama", "smollm3")
MOST_LAYERS = 8

# One type per matrix, so that one small file holds every k-quant.
K_MIX = {
    "token_embd": Type.Q6_K, "output": Type.Q3_K, "attn_q": Type.Q2_K, "attn_k": Type.Q3_K, "attn_v": Type.Q4_K,
    "attn_output": Type.Q5_K, "ffn_gate": Type.Q6_K, "ffn_up": Type.Q4_K, "ffn_down": Type.Q5_K,
}  # fmt: skip

# Bytes of a 256-weight block, where its f16 scale d lies, and where its f16 dmin lies with the ratio dmin/d that centres
# the weights on zero.
K_LAYOUT = {
    Type.Q2_K: (84, 80, (82, 1.5)),
    Type.Q3_K: (110, 108, None),
    Type.Q4_K: (144, 0, (2, 7.5)),
    Type.Q5_K: (176, 0, (2, 15.5)),
    Type.Q6_K: (210, 208, None),
}


def architecture(config):
    return ARCHITECTURES.get(config["model_type"], config["model_type"])


def gguf_name(name, arch="llama"):
    """model.layers.3.self_attn.q_proj.weight → blk.3.attn_q.weight"""
    numbers = {text: number for number, text in gguf.MODEL_ARCH_NAMES.items()}
    return gguf.get_tensor_name_map(numbers[arch], MOST_LAYERS).get_name(name, try_suffixes=(".weight", ".bias"))


def permute(weight, heads):
    """Rows of each head from half-split to interleaved rotary pairs."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def unpermute(weight, heads):
    return weight.reshape(heads, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def random_blocks(rng, type, shape, std):
    """Bytes of a k-quant tensor whose quants and block scales are random; the f16 scales give the wanted deviation."""
    size, d_at, dmin = K_LAYOUT[type]
    blocks = rng.integers(0, 256, (shape[0] * shape[1] // 256, size), dtype=np.uint8)

    def set_scales(d):
        blocks[:, d_at : d_at + 2] = np.array([d], np.float16).view(np.uint8)
        if dmin:
            blocks[:, dmin[0] : dmin[0] + 2] = np.array([d * dmin[1]], np.float16).view(np.uint8)

    set_scales(1.0)
    set_scales(std / float(quants.dequantize(blocks, type).std()))
    return blocks.reshape(shape[0], -1)


def rope_divisors(inverse_frequencies, theta, head_dim):
    """rope_freqs.weight: by what the plain frequencies are divided."""
    plain = 1.0 / theta ** (np.arange(0, head_dim, 2) / head_dim)
    return (plain / inverse_frequencies).astype(np.float32)


def as_stored_rows(name, tensor, config):
    """The first row of a matrix as its GGUF tensor holds it: what a loader's dequantisation must give."""
    ours = gguf_name(name).split(".")[-2]
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}.get(ours)
    stored = permute(tensor, heads) if heads and config["model_type"] == "llama" else tensor
    return [float(f"{value:.7g}") for value in stored[0]]


def write(path, config, tensors, type_of, rng=None, divisors=None, tokenizer=None, scaling=None, attention_factor=None):
    """Writes `tensors` (Hugging Face names, float32) and returns them as a reader sees them, dequantised.

    `type_of` maps a GGUF tensor name to its type; vectors stay F32. k-quants are drawn from `rng`, not quantised.
    `scaling` are the settings of config.json, `attention_factor` is LongRoPE's."""
    arch, heads, kv_heads = architecture(config), config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer = gguf.GGUFWriter(path, arch)
    add_config(writer, config, head_dim, divisors is not None)
    writer.add_file_type(FILE_TYPES.get(type_of("blk.0.attn_q.weight"), 15))
    if tokenizer:
        tokenizer(writer)
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", divisors)
    add_positions(writer, config, head_dim, scaling or {}, attention_factor)

    seen = {}
    for name, tensor in tensors.items():
        ours = gguf_name(name, arch)
        rotated = {"attn_q": heads, "attn_k": kv_heads}.get(ours.split(".")[-2]) if arch in PERMUTED else None
        type = type_of(ours) if tensor.ndim == 2 else Type.F32
        stored = permute(tensor, rotated) if rotated else tensor
        if tensor.ndim == 3:
            stored = tensor.squeeze(1)  # a convolution over one channel
        data = random_blocks(rng, type, stored.shape, 0.1) if type in K_LAYOUT else quants.quantize(stored, type)
        writer.add_tensor(ours, data, raw_dtype=type)
        back = quants.dequantize(data, type).reshape(tensor.shape)
        seen[name] = unpermute(back, rotated) if rotated else back
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return seen


def add_config(writer, config, head_dim, has_rope_freqs):
    writer.add_name("ronbun test fixture")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    add_kv_heads(writer, config)
    writer.add_layer_norm_rms_eps(config.get("norm_eps", config.get("rms_norm_eps")))
    writer.add_rope_freq_base(rope_theta(config))
    writer.add_vocab_size(config["vocab_size"])
    if architecture(config) == "llama":
        writer.add_rope_dimension_count(head_dim)
    if "head_dim" in config:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_kv_heads(writer, config):
    """By layer where some convolve, which have none."""
    heads = config["num_key_value_heads"]
    if config["model_type"] != "lfm2":
        return writer.add_head_count_kv(heads)
    writer.add_shortconv_l_cache(config["conv_L_cache"])
    writer.add_head_count_kv([heads if kind == "full_attention" else 0 for kind in config["layer_types"]])


def rope_theta(config):
    return config["rope_theta"] if "rope_theta" in config else config["rope_parameters"]["rope_theta"]


def add_positions(writer, config, head_dim, scaling, attention_factor):
    """Windows, and the scalings that llama.cpp has a name for."""
    if config["model_type"] in ("mistral", "phi3", "gemma3_text") and config["sliding_window"]:
        writer.add_sliding_window(config["sliding_window"])
    if config["model_type"] == "gemma3_text":
        # llama.cpp itself takes 10000 and 6.
        writer.add_rope_freq_base_swa(config["rope_local_base_freq"])
        writer.add_sliding_window_pattern(config["sliding_window_pattern"])
    if config["model_type"] == "phi3":
        writer.add_rope_dimension_count(int(head_dim * config["partial_rotary_factor"]))
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type({"linear": gguf.RopeScalingType.LINEAR, "yarn": gguf.RopeScalingType.YARN}[kind])
        writer.add_rope_scaling_factor(scaling["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    if kind == "longrope":
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
        writer.add_rope_scaling_attn_factors(attention_factor)
        for ours, theirs in (("short", "short_factor"), ("long", "long_factor")):
            writer.add_tensor(f"rope_factors_{ours}.weight", np.array(scaling[theirs], np.float32))
