"""Models of the shared fixtures as GGUF files of ours, in llama.cpp: the log-probabilities that they give here.

usage: TENTH=build/tenth python interop_llama.py SHARED      (needs xllamacpp, numpy, safetensors)
Each fixture gets a small vocabulary, is written by `tenth convert --dtype f32` and `tenth quantize`, and opened by
llama.cpp with a cache in float32 and without flash attention; the log-probabilities of every token behind some prompts
are compared with those of `tenth score` on the same file. Exit code 1 on a difference.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import xllamacpp
from safetensors.numpy import load_file, save_file

TENTH = os.environ.get("TENTH", "build/tenth")
MODELS = pathlib.Path(sys.argv[1]) / "golden" / "models"
# Where both compute in float32, sums differ by rounding only. llama.cpp quantises activations to 8 bits beside blocks.
ALLOWED = {"f32": 5e-5, "q8_0": 0.3, "q6_k": 0.3, "q4_0": 0.3}
# Not here: deepseek_v3_yarn (no form in GGUF), deepseek_v2_lite (llama.cpp wants q_lora_rank at its number of layers),
# deepseek_v2 (four groups: llama.cpp picks other experts than transformers and this program do).
NAMES = ["deepseek_v3", "deepseek_v3_fp8", "deepseek_v3_mtp", "llama", "qwen2", "qwen3", "qwen3_moe"]
PROMPTS = [np.random.default_rng(seed).integers(0, 250, (1, 40)) for seed in (1, 2, 3)]


def tenth(*arguments):
    done = subprocess.run([TENTH, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        print(f"tenth {arguments[0]}: {done.stderr.strip()}")
        sys.exit(1)


def byte_characters():
    """GPT-2's printable character for each byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(b if b in kept else next(rest)) for b in range(256)]


def with_vocabulary(name, folder):
    """A copy of a fixture with a byte-level BPE; qwen3_moe's dense layer becomes a copy of the sparse one before it."""
    folder.mkdir()
    config = json.loads((MODELS / name / "config.json").read_text())
    tensors = MODELS / name / "model.safetensors"
    if dense := config.get("mlp_only_layers"):
        weights = load_file(tensors)
        for layer in dense:
            old, new = f"model.layers.{layer - 1}.mlp.", f"model.layers.{layer}.mlp."
            weights = {k: v for k, v in weights.items() if not k.startswith(new)}
            weights |= {k.replace(old, new): v for k, v in weights.items() if k.startswith(old)}
        save_file(weights, folder / "model.safetensors")
        config["mlp_only_layers"] = []
    else:
        shutil.copyfile(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    tokens, merges = byte_characters(), []
    for a, b in zip("abcdefghijklmnopqrstuvwxyz", "bcdefghijklmnopqrstuvwxyza"):
        if len(tokens) < config["vocab_size"]:
            tokens.append(a + b)
            merges.append(f"{a} {b}")
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": level, "post_processor": None,
        "decoder": level, "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges}}))
    return folder


def in_llama(path):
    """For each prompt {token: log-probability} of the next token."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.n_ctx, params.n_predict, params.cpuparams.n_threads, params.warmup = 128, 1, 1, False
    server = xllamacpp.Server(params)
    found = []
    for ids in PROMPTS:
        answer = server.handle_completions({
            "prompt": ids[0].tolist(), "n_predict": 1, "n_probs": 1000, "temperature": 1.0, "top_k": 0, "top_p": 1.0,
            "min_p": 0.0, "samplers": [], "post_sampling_probs": False})
        answer = json.loads(answer) if isinstance(answer, str) else answer
        probabilities = answer["choices"][0]["logprobs"]  # none where it drew the end token
        found.append({p["id"]: p["logprob"] for p in probabilities["content"][0]["top_logprobs"]} if probabilities else {})
    return found


def here(path, folder):
    found = []
    for ids in PROMPTS:
        save_file({"input_ids": ids}, folder / "ids.safetensors")
        tenth("score", "--model", path, "--ids", folder / "ids.safetensors", "--out", folder / "out.safetensors")
        logits = load_file(folder / "out.safetensors")["logits"][0, -1].astype(np.float64)
        logits -= logits.max()
        found.append(logits - np.log(np.exp(logits).sum()))
    return found


def main():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # llama.cpp talks
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in NAMES:
            model = with_vocabulary(name, folder / name)
            for kind, allowed in ALLOWED.items():
                file = folder / f"{name}-{kind}.gguf"
                if kind == "f32":
                    tenth("convert", model, "--out", file, "--dtype", "f32")
                else:
                    tenth("quantize", model, "--to", kind, "--out", file)
                theirs = in_llama(file)
                pairs = [(a[token], b) for a, them in zip(here(file, folder), theirs)
                         for token, b in them.items() if b > -30]
                off = max(abs(a - b) for a, b in pairs)
                failed += [file.stem] if not off <= allowed else []
                print(f"llama.cpp {file.stem}: {len(pairs)} log-probabilities differ by at most {off:.1e} (allowed "
                      f"{allowed:g})", flush=True)
    if failed:
        print("llama.cpp: differences in " + " ".join(failed))
        sys.exit(1)


main()
