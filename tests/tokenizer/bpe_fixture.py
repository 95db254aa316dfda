"""Makes bpe_fixture.json: texts, and what the `tokenizers` library learns from them.

usage: python3 tests/tokenizer/bpe_fixture.py SHARED > tests/tokenizer/bpe_fixture.json     (needs tokenizers and zstd)
SHARED/data/text: tinyshakespeare (public domain) and one PEP that is in the public domain.
"""
import json
import pathlib
import random
import subprocess
import sys

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIALS = ["<pad>", "<bos>", "<eos>", "<user>", "<think>", "</think>", "<answer>", "</answer>"]


def texts():
    folder = pathlib.Path(sys.argv[1]) / "data/text"
    pep = subprocess.run(["zstd", "-dcq", folder / "peps-val.jsonl.zst"], capture_output=True, check=True).stdout
    draw = random.Random(1)
    # Few letters: runs that overlap themselves, ties, and tokens that come up from several pairs.
    letters = " ".join("".join(draw.choice("aab") for _ in range(draw.randrange(1, 12))) for _ in range(500))
    code = "for (int i = 0; i < 10; ++i) {\r\n\tif (x[i] != y) return 0x1F;\r\n}\n\n\n    // don't\n" * 3
    other = "naïve café — 你好，世界。Привет, мир! 🙂🙂🙂 ½ ١٢٣ \u00a0\u2003x  \t y\n I'LL they'Ve it's <eos> <user> 1234567890 <eos>\n"
    return [(folder / "tinyshakespeare.txt").read_text()[:9000], json.loads(pep.split(b"\n")[0])["text"][:6000], letters,
            code, other]


def learn(min_frequency, vocab_size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts(), trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=SPECIALS, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.encode_special_tokens = True  # special tokens in the text are ordinary characters
    model = json.loads(tokenizer.to_str())["model"]
    vocab = sorted(model["vocab"], key=model["vocab"].get)
    samples = [text[-300:] for text in texts()]
    return {"vocab_size": vocab_size, "min_frequency": min_frequency, "tokens": vocab[len(SPECIALS) + 256:],
            "merges": [" ".join(merge) for merge in model["merges"]],
            "encoded": [{"text": text, "ids": tokenizer.encode(text).ids} for text in samples]}


made_by = f"tests/tokenizer/bpe_fixture.py with tokenizers {tokenizers.__version__}, BpeTrainer"
json.dump({"made_by": made_by, "specials": SPECIALS, "texts": texts(), "learnt": [learn(0, 1000), learn(2, 100000)]},
          sys.stdout, indent=0, ensure_ascii=False)
