"""A run of tenth, opened by the libraries of others: transformers (weights, tokenizer, chat template, generation) and
tensorboard (event files), beside the binary's own answers.

usage: interop.py RUN        ($TENTH: the binary; prints a line a check; exit 1 on a difference)

Logits: float32 on both sides; accepted up to 1e-4 absolute plus 1e-4 relative, about ten times what two orders of
float32 sums differ by. Everything else must be equal.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TQDM_DISABLE", "1")
import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

TENTH = os.environ.get("TENTH", "build/tenth")
TOLERANCE = 1e-4
NEW_TOKENS = 48
failures = 0


def report(ok, what):
    global failures
    failures += not ok
    print(("ok    " if ok else "FAIL  ") + what, flush=True)


def tenth(*args, lines=None):
    """Runs the binary; lines: objects for its standard input, a JSON text a line. Returns its standard output."""
    text = None if lines is None else "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([TENTH, *map(str, args)], input=text, capture_output=True, text=True, timeout=600)
    if done.returncode:
        sys.exit(f"tenth {' '.join(map(str, args))}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def tenth_lines(*args, lines):
    return [json.loads(line) for line in tenth(*args, lines=lines).splitlines()]


def sums(count, seed=20):
    """Problems in the demo's wording. Any will do here: what is compared is not how good the answers are."""
    rng = random.Random(seed)
    term = lambda: str(rng.randint(1, 9))
    return [term() + "".join(rng.choice("+-") + term() for _ in range(rng.randint(3, 9))) + "=?" for _ in range(count)]


def check_text(folder, tokenizer):
    texts = sums(40) + ["", "<user>3+5=?<think>3+5=8</think><answer>8</answer><eos>", "12-3=9,100", "<eos><eos>", "7  7"]
    ours = [line["ids"] for line in tenth_lines("tokenize", "--model", folder, lines=[{"text": t} for t in texts])]
    theirs = [tokenizer(t)["input_ids"] for t in texts]
    report(ours == theirs, f"tokenizer: ids of {len(texts)} texts")
    ours = [line["text"] for line in tenth_lines("detokenize", "--model", folder, lines=[{"ids": i} for i in theirs])]
    decoded = [tokenizer.decode(i, clean_up_tokenization_spaces=False) for i in theirs]
    report(ours == decoded, f"tokenizer: texts of {len(texts)} lists of ids")

    chats = []
    for i, question in enumerate(sums(20, seed=21)):
        messages = [{"role": "user", "content": question}]
        if i % 2:
            messages.append({"role": "assistant", "content": "3+5=8</think><answer>8</answer>"})
        if i % 4 == 3:
            messages.append({"role": "user", "content": question})
        chats.append({"messages": messages, "kwargs": {"add_generation_prompt": messages[-1]["role"] == "user"}})
    ours = [line.get("text") for line in tenth_lines("render", "--model", folder, lines=chats)]
    theirs = [tokenizer.apply_chat_template(c["messages"], tokenize=False, **c["kwargs"]) for c in chats]
    report(ours == theirs, f"chat template: text of {len(chats)} chats")
    refused = {"messages": [{"role": "wizard", "content": "3+5=?"}]}
    report("error" in tenth_lines("render", "--model", folder, lines=[refused])[0], "chat template: refuses a role")
    try:
        tokenizer.apply_chat_template(refused["messages"], tokenize=False)
        report(False, "chat template: transformers refuses a role")
    except Exception as error:  # jinja2's, whichever the template raises
        report(True, f"chat template: transformers refuses a role ({type(error).__name__})")


def prompts_of(tokenizer, count):
    return [tokenizer.apply_chat_template([{"role": "user", "content": q}], add_generation_prompt=True, tokenize=True,
                                          return_dict=False) for q in sums(count, seed=22)]


def check_logits(folder, model, tokenizer):
    by_length = {}
    for prompt in prompts_of(tokenizer, 32):
        by_length.setdefault(len(prompt), []).append(prompt)
    worst, rows, agree = 0.0, 0, True
    for prompts in by_length.values():
        with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
            ids, out = pathlib.Path(scratch, "ids.safetensors"), pathlib.Path(scratch, "out.safetensors")
            save_file({"input_ids": np.array(prompts, dtype=np.int64)}, ids)
            tenth("score", "--model", folder, "--ids", ids, "--out", out)
            ours = load_file(out)["logits"]
            theirs = model(input_ids=torch.tensor(prompts)).logits.numpy()
        off = np.abs(ours - theirs)
        agree = agree and bool((off <= TOLERANCE + TOLERANCE * np.abs(theirs)).all())
        worst, rows = max(worst, float(off.max())), rows + ours.shape[0] * ours.shape[1]
    report(agree, f"logits: {rows} positions, largest difference {worst:.1e} (accepted {TOLERANCE:.0e} + {TOLERANCE:.0e} |x|)")


def check_greedy(folder, model, tokenizer):
    prompts, equal, tokens, worst = prompts_of(tokenizer, 8), 0, 0, 0.0
    for prompt in prompts:
        ours = json.loads(tenth("generate", "--model", folder, "--ids", ",".join(map(str, prompt)), "--max-new-tokens",
                                NEW_TOKENS, "--temperature", 0, "--json"))
        out = model.generate(torch.tensor([prompt]), max_new_tokens=NEW_TOKENS, do_sample=False, output_logits=True,
                             return_dict_in_generate=True)
        theirs = out.sequences[0, len(prompt):].tolist()
        logprobs = [float(torch.log_softmax(step[0].double(), -1)[i]) for step, i in zip(out.logits, theirs)]
        if ours["ids"] == theirs:
            equal += 1
            worst = max(worst, float(np.abs(np.array(ours["logprobs"]) - logprobs).max()))
        tokens += len(theirs)
    report(equal == len(prompts) and worst < 1e-3,
           f"greedy: {equal} of {len(prompts)} continuations equal, {tokens} tokens, log-probabilities within {worst:.1e}")


def check_events(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    tags = set(events.Tags()["scalars"])
    written, wrong = 0, []
    series = {}
    for line in open(run / "metrics.jsonl", encoding="utf-8"):
        record = json.loads(line)
        for name, value in record.items():
            if name not in ("step", "stage", "wall", "time"):
                series.setdefault(f"{record['stage']}/{name}", []).append((record["step"], value))
    for tag, values in series.items():
        theirs = [(e.step, e.value) for e in events.Scalars(tag)] if tag in tags else []
        written += len(values)
        same = len(theirs) == len(values) and all(
            a[0] == b[0] and (b[1] is None or np.float32(a[1]) == np.float32(b[1])) for a, b in zip(theirs, values))
        if not same:
            wrong.append(tag)
    report(not wrong and tags == set(series), f"TensorBoard: {written} values under {len(series)} tags as in metrics.jsonl"
           + (f"; not {', '.join(wrong)}" if wrong else ""))


def main():
    run = pathlib.Path(sys.argv[1])
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in ("model_sft", "model"):
        folder = run / name
        print(f"{folder}")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                                        output_loading_info=True)
        model.eval()
        report(type(model).__name__ == "DeepseekV3ForCausalLM", f"opens as {type(model).__name__}")
        # transformers runs no multi-token prediction: it leaves that layer's tensors, the last, alone.
        beyond = f"model.layers.{model.config.num_hidden_layers}."
        strange = [k for k in info["unexpected_keys"] if not k.startswith(beyond)]
        report(not info["missing_keys"] and not info["mismatched_keys"] and not strange,
               f"weights: none missing, none of another shape ({len(info['unexpected_keys'])} of the MTP module not read)")
        check_text(folder, tokenizer)
        check_logits(folder, model, tokenizer)
        check_greedy(folder, model, tokenizer)
    print(f"{run}")
    check_events(run)
    print(f"interop: {failures} differences" if failures else "interop: no differences")
    sys.exit(1 if failures else 0)


main()
