"""Attention that does not see everything, in transformers and here: small random models with sliding layers, and with
DeepSeek-V3.2's indexer, over sequences much longer than the window and the selection. Logits, and one greedy answer.

usage: TENTH=build/tenth python interop_attention.py      (exit code 1 on a difference)
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

TENTH = os.environ.get("TENTH", "build/tenth")
NEW_TOKENS = 30
SMALL = {"vocab_size": 120, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_hidden_layers": 3,
         "max_position_embeddings": 2048, "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": None,
         "attn_implementation": "eager"}
SLIDING = {"use_sliding_window": True, "num_key_value_heads": 2}
# So many heads of the indexer that no two keys score exactly 0: torch does not say which of them it takes.
SPARSE = {"num_key_value_heads": 4, "q_lora_rank": 40, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
          "v_head_dim": 16, "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 3, "n_group": 2,
          "topk_group": 1, "first_k_dense_replace": 1, "moe_intermediate_size": 32, "index_n_heads": 24,
          "index_head_dim": 24, "index_topk": 50}
MODELS = [("qwen2", "Qwen2", SLIDING | {"sliding_window": 7, "max_window_layers": 1}, 150),
          ("qwen2, 300", "Qwen2", SLIDING | {"sliding_window": 300, "max_window_layers": 0}, 700),
          ("qwen3", "Qwen3", SLIDING | {"sliding_window": 70, "max_window_layers": 2, "head_dim": 16}, 333),
          ("deepseek_v32", "DeepseekV32", SPARSE, 400)]


def tenth(*arguments):
    done = subprocess.run([TENTH, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"tenth {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def check(name, kind, keys, length, scratch):
    torch.manual_seed(3)
    config = getattr(transformers, kind + "Config")(**SMALL, **keys)
    model = getattr(transformers, kind + "ForCausalLM")(config).eval().float()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.12) if p.dim() > 1 else p.add_(torch.randn_like(p) * 0.1)
    model.save_pretrained(scratch / "model")
    rows = np.random.default_rng(1).integers(0, config.vocab_size, (2, length))
    save_file({"input_ids": rows}, scratch / "ids.safetensors")
    tenth("score", "--model", scratch / "model", "--dtype", "f32", "--ids", scratch / "ids.safetensors", "--out",
          scratch / "out.safetensors")
    with torch.no_grad():
        theirs = model(torch.tensor(rows)).logits.numpy()
        answer = model.generate(torch.tensor(rows[:1, :100]), max_new_tokens=NEW_TOKENS, do_sample=False)[0, 100:].tolist()
    off = float(np.abs(load_file(scratch / "out.safetensors")["logits"] - theirs).max())
    ours = json.loads(tenth("generate", "--model", scratch / "model", "--dtype", "f32", "--ids",
                            ",".join(map(str, rows[0, :100])), "--max-new-tokens", NEW_TOKENS, "--temperature", 0, "--json"))
    fine = off <= 1e-3 and ours["ids"] == answer
    print(f"{name}: {length} tokens, logits within {off:.1e} of {np.abs(theirs).max():.1f}, greedy answer "
          + ("equal" if ours["ids"] == answer else "other"), flush=True)
    return fine


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    fine = True
    for name, kind, keys, length in MODELS:
        with tempfile.TemporaryDirectory() as scratch:
            fine &= check(name, kind, keys, length, pathlib.Path(scratch))
    sys.exit(0 if fine else 1)


main()
