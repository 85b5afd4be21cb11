"""`ronbun bench` and Hugging Face transformers on the same work, one after the other."""

import json
import subprocess
import sys
import threading
import time

HERE = __file__.rsplit("/", 1)[0]
BRANCHES, ANSWER = 24, 128
HOPPER = "Hopper's own kernels"


class Held(threading.Thread):
    """The most memory in use on the first GPU while this runs, above what was in use before."""

    def __init__(self):
        super().__init__(daemon=True)
        self.before, self.most, self.done = used(), 0, threading.Event()

    def run(self):
        while not self.done.wait(0.2):
            self.most = max(self.most, (used() or 0) - (self.before or 0))

    def stop(self):
        self.done.set()
        self.join()
        return self.most if self.before is not None else None


def used():
    """Bytes, or nothing where nvidia-smi does not tell."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]) << 20
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None


def ronbun(setup, model, prompt, branches, tokens, *options):
    command = [setup.ronbun, "-q", "bench", "--json", "--model", str(model), "--device", setup.device]
    command += ["--prompt-tokens", prompt, "--branches", branches, "--gen-tokens", tokens, *options]
    print(f"bench: ronbun, {prompt} tokens, {branches} branches", *options, file=sys.stderr, flush=True)
    held = Held()
    held.start()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=setup.env)
    most = held.stop()
    if done.returncode:
        raise RuntimeError(f"ronbun bench: {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout) | {"held_bytes": most}


def peers(setup, model, lengths, steps):
    """What transformers measured by way of attention; one that is not installed here is left out, and said."""
    found = {}
    for attention in ["sdpa", "flash_attention_2"]:
        print(f"bench: transformers, {attention}", file=sys.stderr, flush=True)
        command = [setup.python, f"{HERE}/peer.py", str(model), "--attention", attention, "--device", setup.device]
        command += ["--prefill", ",".join(map(str, lengths)), "--steps", str(steps)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason told"])[-1]
            print(f"bench: transformers with {attention} does not run here: {reason[:300]}", file=sys.stderr)
        else:
            found[attention] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def step_seconds(report):
    return report["decode_seconds"] / max(report["gen_tokens"] - 1, 1)


def row(what, figure, bar, good):
    """`good` is nothing where there is no telling."""
    return {"what": what, "figure": figure, "bar": bar, "good": good}


def versus(what, ours, theirs, bar):
    """A row on how many times as fast this is as the best of others."""
    if not theirs:
        return row(what, f"{ours:.4f} s; transformers did not run", f"≥ {bar}×", None)
    name, best = min(theirs.items(), key=lambda each: each[1])
    return row(what, f"{best / ours:.2f}× ({ours:.4f} s, {name} {best:.4f} s)", f"≥ {bar}×", best / ours >= bar)


def prefill_rows(reports, others, how=""):
    for length, report in reports.items():
        shares = report.get("gpu") or {}
        mfu = shares.get("prefill_mfu")
        if mfu is not None:
            yield row(f"prefill of {length} tokens{how}, MFU", f"{100 * mfu:.0f} %", "≥ 50 %", mfu >= 0.5)
        theirs = {name: peer["prefill"][str(length)] for name, peer in others.items()}
        yield versus(f"prefill of {length} tokens{how}, to transformers", report["prefill_seconds"], theirs, 1)


def decode_rows(alone, together, others):
    use = (alone.get("gpu") or {}).get("decode_bandwidth_use")
    if use is not None:
        yield row("decode, 1 branch: bandwidth", f"{100 * use:.0f} %", "≥ 75 %", use >= 0.75)
    one, all_of = step_seconds(alone), step_seconds(together)
    gain = BRANCHES * one / all_of
    yield row(f"decode, {BRANCHES} branches, to as many reads", f"{gain:.1f}×", "≥ 5×", gain >= 5)
    theirs = {
        f"{name}, {peer['batch']} at a time": peer["decode_batch"] / peer["batch"]
        for name, peer in others.items()
        if peer["batch"]
    }
    yield versus(f"decode, {BRANCHES} branches, a token, to transformers", all_of / BRANCHES, theirs, 4)


def memory_row(report):
    if report["held_bytes"] is None:
        return row("peak memory", "nvidia-smi does not tell", "weights + KV + < 1 GB", None)
    tails = report["kv_cache_bytes"] * BRANCHES * ANSWER / report["prompt_tokens"]
    more = report["held_bytes"] - report["gpu"]["weight_bytes"] - report["kv_cache_bytes"] - tails
    figure = f"{report['held_bytes'] / 1e9:.2f} GB, {more / 1e9:.2f} GB more than weights + KV"
    return row("peak memory", figure, "weights + KV + < 1 GB", more < 1e9)


def rows(setup, shape, lengths):
    from parity import made

    model = made(setup.python, shape, setup.checkpoints)
    start = time.time()
    longest = lengths[-1]
    reports = {length: ronbun(setup, model, length, 1, 33) for length in lengths}
    together = ronbun(setup, model, longest, BRANCHES, ANSWER)
    rounded = ronbun(setup, model, longest, BRANCHES, ANSWER, "--gpu-kv", "i8") if setup.device != "cpu" else None
    hopper = {length: ronbun(setup.hopper(), model, length, 1, 33) for length in lengths if setup.hopper_passed()}
    others = peers(setup, model, lengths, 16)
    ours = reports | {"together": together, "rounded": rounded, "hopper": hopper}
    setup.keep("bench", {"ronbun": ours, "transformers": others})
    yield row("the machine", together["device"], "", None)
    yield from prefill_rows(reports, others)
    yield from prefill_rows(hopper, others, " by Hopper's own kernels")
    yield from decode_rows(reports[longest], together, others)
    job = together["ttft_seconds"] + together["decode_seconds"]
    yield row(f"whole job: {longest} tokens, {BRANCHES} answers of {ANSWER}", f"{job:.1f} s", "< 20 s", job < 20)
    if rounded:
        gain = step_seconds(together) / step_seconds(rounded)
        what = f"decode, {BRANCHES} branches, keys and values as bytes"
        yield row(what, f"{gain:.2f}× as fast as in bf16", "none", None)
    if together.get("gpu"):
        yield memory_row(together)
    print(f"bench: {time.time() - start:.0f} s in all", file=sys.stderr)
