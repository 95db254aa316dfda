"""lm-evaluation-harness on a served model (local-completions) and on the same folder in transformers: the same scores.

usage: python tools/interop_harness.py TENTH MODEL_FOLDER          (exit 1 on a difference)

The task is made here, of sums in the demo's form: which of two chains of thought follows the question.
"""
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import lm_eval
from lm_eval.tasks import TaskManager

COUNT, CLOSE = 60, 5e-4
TASK = """task: tenth_sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
target_delimiter: ""
metric_list: [{{metric: acc}}]
"""


def chain(terms, slip):
    total, steps = terms[0], []
    for i, term in enumerate(terms[1:]):
        result = total + term + (1 if i == slip else 0)
        steps.append(f"{total}+{term}={result}")
        total = result
    return ",".join(steps)


def documents():
    rng = random.Random(5)
    for _ in range(COUNT):
        terms = [rng.randint(1, 9) for _ in range(rng.randint(4, 7))]
        choices = [chain(terms, None), chain(terms, rng.randrange(len(terms) - 1))]
        answer = rng.randrange(2)
        yield {"question": f"<user>{'+'.join(map(str, terms))}=?<think>", "choices": choices[:: -1 if answer else 1], "answer": answer}


def run(model, arguments, folder):
    result = lm_eval.simple_evaluate(model=model, model_args=arguments, tasks=["tenth_sums"], log_samples=True, bootstrap_iters=0,
                                     task_manager=TaskManager(include_path=str(folder), include_defaults=False))
    samples = sorted(result["samples"]["tenth_sums"], key=lambda s: s["doc_id"])
    return result["results"]["tenth_sums"]["acc,none"], [(float(r[0]), bool(r[1])) for s in samples for r in s["filtered_resps"]]


def main():
    tenth, model = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data = folder / "sums.jsonl"
        data.write_text("".join(json.dumps(d) + "\n" for d in documents()))
        (folder / "sums.yaml").write_text(TASK.format(file=data))
        server = subprocess.Popen([tenth, "serve", "--model", model, "--name", "served", "--port", "0"], stdout=subprocess.PIPE, text=True)
        try:
            url = next(match[1] for line in server.stdout if (match := re.search(r"is served at (\S+)", line)))
            ours = run("local-completions", f"model=served,base_url={url}/v1/completions,tokenizer={model},num_concurrent=4,"
                       "tokenizer_backend=huggingface", folder)
        finally:
            server.terminate()
            server.wait()
        theirs = run("hf", f"pretrained={model},dtype=float32,device=cpu", folder)
    worst = max(abs(a[0] - b[0]) for a, b in zip(ours[1], theirs[1]))
    greedy = sum(a[1] == b[1] for a, b in zip(ours[1], theirs[1]))
    print(f"harness: accuracy {ours[0]:.3f} served, {theirs[0]:.3f} in transformers; {len(ours[1])} scores differ by at most "
          f"{worst:.1e}; {greedy} of {len(ours[1])} agree on greedy")
    if worst > CLOSE or greedy != len(ours[1]) or ours[0] != theirs[0]:
        sys.exit("harness: differences")


main()
