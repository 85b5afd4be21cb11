"""Greedy token ids and logits of ronbun on a GPU beside those on its CPU path, which computes in f32."""

import json
import subprocess
import sys

HERE = __file__.rsplit("/", 1)[0]
# Shape, and for each prompt its length and the tokens to add. Real shapes take the CPU a while for each token.
WORK = {
    "small-llama": [(7, 24), (300, 24), (3000, 8)],
    "small-qwen3": [(7, 24), (300, 24), (3000, 8)],
    "qwen3-4b": [(48, 12)],
    "llama-3.1-8b": [(48, 12)],
    "tiny": [(7, 8), (300, 8)],
}
# Of the largest logit: what bf16 may turn around. Ids that part at a larger gap are a defect.
NEAR = 2e-2


def run(command, env):
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:5])}: {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout)


def made(python, shape, folder):
    """The checkpoint of a shape, made where it is not there yet."""
    path = folder / shape
    subprocess.run([python, f"{HERE}/checkpoint.py", shape, path], check=True)
    return path


def greedy(setup, model, ids, tokens, *options):
    command = [setup.ronbun, "eval", "greedy", str(model), "--ids", ids, "--tokens", str(tokens), *options]
    return run(command, setup.env)["steps"]


def compare(expected, got):
    """Tokens that are equal, and, where ids part, by how much of the largest logit the CPU likes its own better."""
    for number, (ours, theirs) in enumerate(zip(expected, got)):
        if ours["id"] != theirs["id"]:
            top = {entry["id"]: entry["logit"] for entry in ours["top"]}
            best = top[ours["id"]]
            return number, (best - top.get(theirs["id"], float("-inf"))) / max(abs(best), 1e-9)
    return len(expected), None


def of_shape(setup, shape):
    """Rows of the table: for each prompt whether ids are equal, or part at a near-tie."""
    model = made(setup.python, shape, setup.checkpoints)
    vocabulary = json.loads((model / "config.json").read_text())["vocab_size"]
    for length, tokens in WORK[shape]:
        print(f"parity: {shape}, {length} tokens", file=sys.stderr, flush=True)
        ids = ",".join(str(i * 7919 % vocabulary) for i in range(length))
        expected = greedy(setup, model, ids, tokens, "--device", "cpu")
        # A first block and the newest tokens stay as they are: bytes take a text of some length.
        ways = ["bf16", "i8"] if length >= 300 and setup.device != "cpu" else ["bf16"]
        for kv in ways:
            options = ["--gpu-kv", kv] if kv != "bf16" else []
            equal, gap = compare(expected, greedy(setup, model, ids, tokens, "--device", setup.device, *options))
            figure = f"{equal} of {tokens} ids equal"
            if gap is not None:
                how = "a near-tie" if gap <= NEAR else "they part"
                figure += f", then {how}: {100 * gap:.2f} % of the largest logit"
            yield {
                "what": f"greedy ids, {shape}, {length} tokens read, keys and values in {kv}",
                "figure": figure,
                "bar": "equal, or a near-tie",
                "good": gap is None or gap <= NEAR,
            }


def of_fixture(setup, folder):
    """How far the logits of a tiny model in the repository are off, as a share of the largest."""
    file = folder / "model.gguf"
    model = file if file.is_file() else folder
    prompts = json.loads((folder / "reference.json").read_text())["prompts"]
    worst = 0.0
    for prompt in prompts:
        ids = ",".join(map(str, prompt["ids"]))
        logits = [
            run([setup.ronbun, "eval", "logits", str(model), "--ids", ids, "--device", device], setup.env)["logits"]
            for device in ("cpu", setup.device)
        ]
        largest = max(map(abs, logits[0]))
        worst = max(worst, max(abs(a - b) for a, b in zip(*logits)) / largest)
    return worst


def fixtures(setup):
    """A row for all of the repository's tiny models: their types of weights, biases, scaled positions."""
    folders = sorted(path.parent for path in setup.fixtures.glob("*/reference.json"))
    worst = {}
    for folder in folders:
        print(f"parity: {folder.name}", file=sys.stderr, flush=True)
        worst[folder.name] = of_fixture(setup, folder)
    name = max(worst, key=worst.get)
    # Two layers of weights drawn ten times as wide as real ones, each sum rounded to bf16.
    return {
        "what": f"logits, {len(worst)} tiny models of all types",
        "figure": f"off by {100 * worst[name]:.2f} % at most ({name})",
        "bar": "5 % of the largest logit",
        "good": worst[name] < 0.05,
    }


def rows(setup, shapes):
    if setup.fixtures.is_dir():
        yield fixtures(setup)
    for shape in shapes:
        yield from of_shape(setup, shape)
