//! GGUF's names of tensors as Hugging Face's.

use crate::model::Family;

/// `blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`; names that have no counterpart stay.
pub fn hugging_face(family: Family, name: &str) -> String {
    let whole = [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        // LFM2's, which is not that of the embedding.
        ("token_embd_norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight"),
    ];
    if let Some((_, renamed)) = whole.iter().find(|(from, _)| *from == name) {
        return renamed.to_string();
    }
    let layer = name.strip_prefix("blk.").and_then(|rest| {
        let (number, rest) = rest.split_once('.')?;
        let (part, suffix) = rest.rsplit_once('.')?;
        let renamed = part_of_layer(family, part)?;
        Some(format!("model.layers.{number}.{renamed}.{suffix}"))
    });
    layer.unwrap_or_else(|| name.to_string())
}

fn part_of_layer(family: Family, part: &str) -> Option<&'static str> {
    Some(match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_qkv" => "self_attn.qkv_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "attn_output" => "self_attn.o_proj",
        "post_attention_norm" => "post_attention_layernorm",
        "ffn_norm" if family.norms_results() => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_up" if family.fuses_projections() => "mlp.gate_up_proj",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        "shortconv.in_proj" => "conv.in_proj",
        "shortconv.conv" => "conv.conv",
        "shortconv.out_proj" => "conv.out_proj",
        "post_ffw_norm" => "post_feedforward_layernorm",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_get_the_names_of_hugging_face() {
        for (family, name, expected) in [
            (Family::Llama, "token_embd.weight", "model.embed_tokens.weight"),
            (Family::Llama, "blk.12.attn_output.weight", "model.layers.12.self_attn.o_proj.weight"),
            (Family::Qwen2, "blk.0.attn_k.bias", "model.layers.0.self_attn.k_proj.bias"),
            (Family::Llama, "blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"),
            (Family::Gemma3, "blk.0.ffn_norm.weight", "model.layers.0.pre_feedforward_layernorm.weight"),
            (Family::Phi3, "blk.0.ffn_up.weight", "model.layers.0.mlp.gate_up_proj.weight"),
            (Family::Lfm2, "blk.3.shortconv.in_proj.weight", "model.layers.3.conv.in_proj.weight"),
            (Family::Lfm2, "token_embd_norm.weight", "model.norm.weight"),
            (Family::Llama, "rope_freqs.weight", "rope_freqs.weight"),
            (Family::Llama, "blk.0.unheard_of.weight", "blk.0.unheard_of.weight"),
        ] {
            assert_eq!(hugging_face(family, name), expected);
        }
    }
}
