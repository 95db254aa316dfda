"""GGUF files as model folders of ours, in transformers: the ids, chats and logits that the files give here.

usage: TENTH=build/tenth python interop_folders.py FILE.gguf …      (exit code 1 on a difference)
Each file is written by `tenth convert --dtype f32`, and opened by AutoTokenizer and AutoModelForCausalLM.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

TENTH = os.environ.get("TENTH", "build/tenth")
TEXTS = ["", "Hello, world!", " Hello  world\n\n", "1234567890", "x = 3.14159;\n\treturn x;", "你好，世界。", "a\r\nb\r\n\r\n  c",
         "I'm you're 'quoted' can't", "café naïve é", "👍🏽 ok", "   leading and trailing   ", "http://a.b/c?d=e&f=1"]
CHAT = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "1+1"}]


def tenth(*arguments, lines=None):
    text = None if lines is None else "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([TENTH, *map(str, arguments)], input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"tenth {arguments[0]}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()] if lines is not None else None


def check(file, scratch):
    folder, ids, out = scratch / "model", scratch / "ids.safetensors", scratch / "out.safetensors"
    tenth("convert", file, "--out", folder, "--dtype", "f32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = TEXTS + [token + "a" for token in tokenizer.all_special_tokens]
    ours = [line["ids"] for line in tenth("tokenize", "--model", file, lines=[{"text": t} for t in texts])]
    theirs = [tokenizer(t)["input_ids"] for t in texts]
    wrong = [] if ours == theirs else ["ids"]
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
        request = {"messages": CHAT, "kwargs": {"add_generation_prompt": True}}
        if tenth("render", "--model", file, lines=[request])[0].get("text") != text:
            wrong.append("chat")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = np.random.default_rng(1).integers(0, min(model.config.vocab_size, len(tokenizer)), (2, 24))
    save_file({"input_ids": rows}, ids)
    tenth("score", "--model", file, "--dtype", "f32", "--ids", ids, "--out", out)
    with torch.no_grad():
        off = float(np.abs(load_file(out)["logits"] - model(torch.tensor(rows)).logits.numpy()).max())
    if not off <= 1e-3:
        wrong.append("logits")
    print(f"{file.stem} as a folder: {len(texts)} texts, logits within {off:.1e}" + "".join(f"; other {w}" for w in wrong), flush=True)
    return not wrong


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    fine = True
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as scratch:
            fine &= check(pathlib.Path(name), pathlib.Path(scratch))
    sys.exit(0 if fine else 1)


main()
