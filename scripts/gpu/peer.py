#!/usr/bin/env python3
"""Hugging Face transformers on the work of `ronbun bench`: peer.py CHECKPOINT --attention sdpa --prefill 32768,75000

Reads prompts of made-up ids (logits of the last token only), then writes tokens behind the longest one: on one branch, and
on as many as fit at a time. Prints JSON: seconds, and the most memory held on a GPU. Needs torch and transformers.
"""

import argparse
import gc
import json
import time

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

BATCHES = [24, 16, 12, 8, 6, 5, 4, 3, 2]


class Peer:
    def __init__(self, checkpoint, attention, device):
        self.device = torch.device(device)
        dtype = torch.bfloat16
        model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype, attn_implementation=attention)
        self.model = model.to(self.device).eval()

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def ids(self, tokens):
        ids = torch.arange(tokens, dtype=torch.int64) * 7919 % self.model.config.vocab_size
        return ids[None].to(self.device)

    @torch.inference_mode()
    def read(self, tokens):
        """Seconds, and what is kept of the prompt."""
        ids, cache = self.ids(tokens), DynamicCache(config=self.model.config)
        self.wait()
        start = time.perf_counter()
        self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        self.wait()
        return time.perf_counter() - start, cache

    @torch.inference_mode()
    def write(self, cache, batch, steps):
        """Seconds of a step of all branches. The first, which warms up, is not counted."""
        ids = torch.arange(batch, dtype=torch.int64)[:, None].to(self.device) + 11
        for step in range(steps + 1):
            if step == 1:
                self.wait()
                start = time.perf_counter()
            logits = self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            ids = logits[:, -1].argmax(-1, keepdim=True)
        self.wait()
        return (time.perf_counter() - start) / steps

    def write_most(self, tokens, steps):
        """The largest batch that fits behind a prompt, and seconds of its step."""
        for batch in BATCHES:
            try:
                _, cache = self.read(tokens)
                cache.batch_repeat_interleave(batch)
                return batch, self.write(cache, batch, steps)
            except torch.OutOfMemoryError:
                cache = None
                self.free()
        return None, None

    def free(self):
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--prefill", default="4096")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    lengths = [int(length) for length in args.prefill.split(",")]
    peer = Peer(args.checkpoint, args.attention, args.device)
    peer.read(min(lengths))
    result = {"transformers": transformers.__version__, "torch": torch.__version__, "attention": args.attention}
    result["prefill"] = {}
    for length in lengths:
        result["prefill"][length], cache = peer.read(length)
    result["decode_1"] = peer.write(cache, 1, args.steps)
    cache = None
    peer.free()
    result["batch"], result["decode_batch"] = peer.write_most(lengths[-1], args.steps)
    result["peak_bytes"] = torch.cuda.max_memory_allocated() if args.device == "cuda" else None
    print(json.dumps(result))


main()
