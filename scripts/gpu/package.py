"""Builds ronbun and the kernels' tests for a GPU, and packs them for a machine that lacks Rust."""

import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

# What a package may weigh, so that it can be sent about.
MOST = 64 << 20
BINARIES = {
    "ronbun": ["--bin", "ronbun", "--features", "cuda"],
    "cuda-tests": ["-p", "ronbun-kernels", "--test", "cuda", "--features", "cuda"],
}
# A toolkit out of wheels has no driver to link with: its symbols are found when the program starts. Nothing of that is
# needed where there is a driver, and nothing of it harms.
LINK = ["-C", "link-arg=-Wl,--unresolved-symbols=ignore-all", "-C", "strip=symbols"]


class Problem(Exception):
    """One line for the user, with a hint in the next."""


def toolkit(root, env=os.environ):
    """The environment to build in: `env` where there is nvcc, else with a toolkit out of wheels."""
    env = dict(env)
    if not (env.get("NVCC") or env.get("CUDA_HOME") or env.get("CUDA_PATH") or shutil.which("nvcc")):
        script = 'eval "$(scripts/cuda-toolchain)" && env -0'
        told = subprocess.run(["bash", "-c", script], cwd=root, env=env, stdout=subprocess.PIPE, text=True)
        if told.returncode:
            raise Problem("there is no nvcc, and scripts/cuda-toolchain made none\nhint: NVCC names a compiler")
        env = dict(each.split("=", 1) for each in told.stdout.split("\0") if each)
    # What candle's kernels are compiled for where no GPU says: all chips from there on.
    if not shutil.which("nvidia-smi"):
        env.setdefault("CUDA_COMPUTE_CAP", "80")
    return env


def build(root, profile):
    """The files of the binaries, by their names."""
    env, files = toolkit(root), {}
    for name, target in BINARIES.items():
        command = ["cargo", "rustc", "--profile", profile, "--locked", *target]
        command += ["--message-format=json-render-diagnostics", "--", *LINK]
        done = subprocess.run(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Problem(f"{name} does not build for a GPU\nhint: docs/gpu.md tells what that needs")
        messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        files[name] = [message["executable"] for message in messages if message.get("executable")][-1]
    return files


def binaries(root, args):
    """ronbun and the tests: as named, else those of the package, else built."""
    named = {"ronbun": args.ronbun, "cuda-tests": args.tests}
    packed = {name: str(root / "bin" / name) for name in BINARIES if (root / "bin" / name).is_file()}
    files = {name: named[name] or packed.get(name) for name in BINARIES}
    if not all(files.values()):
        if not (root / "Cargo.toml").is_file() or not shutil.which("cargo"):
            hint = "scripts/gpu-check --package, on a machine with Rust, makes a package with them"
            raise Problem(f"there are no binaries here, and no cargo to build them\nhint: {hint}")
        files = build(root, args.profile) | {name: file for name, file in files.items() if file}
    for file in files.values():
        if not os.access(file, os.X_OK):
            raise Problem(f"{file} is no program\nhint: --ronbun and --tests name them")
    return [str(pathlib.Path(files[name]).resolve()) for name in BINARIES]


def pack(root, target, profile):
    """Writes a package: this command, both binaries, the tiny models of the tests."""
    files = build(root, profile)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as unfinished:
        with tarfile.open(fileobj=unfinished, mode="w:gz") as archive:
            add = lambda path, name: archive.add(path, f"ronbun-gpu-check/{name}", filter=without_caches)
            add(root / "scripts/gpu-check", "gpu-check")
            add(root / "scripts/gpu", "gpu")
            add(root / "tests/fixtures/models", "fixtures")
            for name, file in files.items():
                add(file, f"bin/{name}")
    size = os.path.getsize(unfinished.name)
    if size > MOST:
        os.remove(unfinished.name)
        raise Problem(f"the package would weigh {size >> 20} MiB, more than {MOST >> 20}\nhint: --profile release")
    os.replace(unfinished.name, target)
    print(f"{target}: {size / (1 << 20):.1f} MiB; unpack it where the GPU is, and run ronbun-gpu-check/gpu-check")


def without_caches(entry):
    return None if "__pycache__" in entry.name else entry
