"""Models of the shared fixtures as GGUF files of ours, in llama.cpp: the logits that they give here.

usage: TENTH=build/tenth python interop_llama.py SHARED      (needs llama-cpp-python, numpy, safetensors)
Each fixture is written by `tenth convert --dtype f32` and `tenth quantize`, opened by llama.cpp with a cache in float32
and without flash attention, and read token by token; the log-probabilities of its tokens are compared with those of
`tenth score` on the same file. Exit code 1 on a difference.
"""
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp
import numpy as np
from safetensors.numpy import load_file, save_file

TENTH = os.environ.get("TENTH", "build/tenth")
MODELS = pathlib.Path(sys.argv[1]) / "golden" / "models"
# Where both compute in float32, sums differ by rounding only. llama.cpp quantises activations to 8 bits beside blocks.
ALLOWED = {"f32": 2e-4, "q8_0": 0.2}
# deepseek_v3_yarn and qwen3_moe have no form in GGUF; llama.cpp refuses deepseek2 without q_lora_rank at any layer
# count but the releases' (golden/README.md).
NAMES = ["deepseek_v2", "deepseek_v3", "deepseek_v3_fp8", "deepseek_v3_mtp", "llama", "qwen2", "qwen3", "qwen3_sparse"]


def tenth(*arguments):
    done = subprocess.run([TENTH, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"tenth {arguments[0]}: {done.stderr.strip()}")


def sparse_everywhere(folder):
    """qwen3_moe with its dense layer replaced by a copy of the sparse one before it."""
    config = json.loads((MODELS / "qwen3_moe" / "config.json").read_text())
    dense = config["mlp_only_layers"]
    tensors = load_file(MODELS / "qwen3_moe" / "model.safetensors")
    for layer in dense:
        tensors = {k: v for k, v in tensors.items() if not k.startswith(f"model.layers.{layer}.mlp.")}
        before = f"model.layers.{layer - 1}.mlp."
        tensors |= {k.replace(before, f"model.layers.{layer}.mlp."): v for k, v in tensors.items() if k.startswith(before)}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**config, "mlp_only_layers": []}))
    save_file(tensors, folder / "model.safetensors")
    return folder


def in_llama(path, ids):
    """Log-probabilities (tokens, vocabulary) by llama.cpp."""
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        sys.exit(f"llama.cpp refuses {path}")
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 256
    settings.n_threads = settings.n_threads_batch = 1
    settings.type_k = settings.type_v = llama_cpp.GGML_TYPE_F32
    settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = llama_cpp.llama_init_from_model(model, settings)
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = int(token), i, 1, True
        batch.seq_id[i][0] = 0
    if llama_cpp.llama_decode(context, batch):
        sys.exit(f"llama.cpp cannot run {path}")
    logits = np.stack([np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, i), (vocabulary,)).copy()
                       for i in range(len(ids))])
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return log_softmax(logits.astype(np.float64))


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def main():
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    worst, failed = {kind: 0.0 for kind in ALLOWED}, []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in NAMES:
            model = sparse_everywhere(folder / name) if name == "qwen3_sparse" else MODELS / name
            ids = np.random.default_rng(1).integers(0, 250, (1, 40))
            save_file({"input_ids": ids}, folder / "ids.safetensors")
            for kind, allowed in ALLOWED.items():
                file = folder / f"{name}-{kind}.gguf"
                tenth("convert", model, "--out", file, "--dtype", "f32") if kind == "f32" else \
                    tenth("quantize", model, "--to", kind, "--out", file)
                tenth("score", "--model", file, "--ids", folder / "ids.safetensors", "--out", folder / "out.safetensors")
                ours = log_softmax(load_file(folder / "out.safetensors")["logits"][0].astype(np.float64))
                off = float(np.abs(ours - in_llama(file, ids[0])).max())
                worst[kind] = max(worst[kind], off)
                if not off <= allowed:
                    failed.append(f"{name}-{kind}")
                print(f"llama.cpp {name} {kind}: log-probabilities differ by at most {off:.1e} (allowed {allowed:g})")
    if failed:
        sys.exit("llama.cpp: differences in " + " ".join(failed))


main()
