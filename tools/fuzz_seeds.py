"""Seeds for the fuzz targets: small pieces of the shared fixtures and of the recipes.

usage: fuzz_seeds.py FOLDER     (FOLDER/<target>/…; the shared folder is $TENTH_SHARED or ../shared)
"""
import json
import os
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = pathlib.Path(os.environ.get("TENTH_SHARED", ROOT.parent / "shared"))
OUT = pathlib.Path(sys.argv[1])
CUT = b"\xff"  # between the two parts of an input (tests/fuzz/fuzz.h)


def write(target, name, data):
    (OUT / target).mkdir(parents=True, exist_ok=True)
    (OUT / target / name).write_bytes(data)


def first_lines(path, count):
    with open(path, "rb") as lines:
        return [line for _, line in zip(range(count), lines)]


def small_tokenizer(full, tokens=400):
    """The first tokens of a byte-level BPE vocabulary, the merges among them, a few added tokens."""
    model = full["model"]
    vocab = {token: id for token, id in model["vocab"].items() if id < tokens}
    pair = lambda merge: merge if isinstance(merge, list) else merge.split(" ")
    merges = [m for m in model["merges"][:tokens] if all(part in vocab for part in (*pair(m), "".join(pair(m))))]
    added = [{**token, "id": tokens + i} for i, token in enumerate(full["added_tokens"][:4])]
    return {**full, "added_tokens": added, "model": {**model, "vocab": vocab, "merges": merges}}


def small_safetensors(path, tensors=3, most=256):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    kept, parts = {}, b""
    for name, entry in header.items():
        if name == "__metadata__" or len(kept) == tensors:
            continue
        begin, end = entry["data_offsets"]
        if end - begin <= most:
            kept[name] = {**entry, "data_offsets": [len(parts), len(parts) + end - begin]}
            parts += body[begin:end]
    text = json.dumps(kept).encode()
    return struct.pack("<Q", len(text)) + text + parts


def small_gguf(architecture, more, blocks, vocabulary=8, width=32, kind=0):
    """A whole file of one small layer; kind: of its matrices, 0 F32 or 8 Q8_0."""
    text = lambda t: struct.pack("<Q", len(t.encode())) + t.encode()
    entries = [text("general.architecture") + struct.pack("<I", 8) + text(architecture)]
    sizes = {"block_count": 1, "context_length": 64, "embedding_length": width, "feed_forward_length": width,
             "attention.head_count": 2, "attention.head_count_kv": 1, **more}
    entries += [text(f"{architecture}.{k}") + struct.pack("<II", 4, v) for k, v in sizes.items()]
    entries.append(text(f"{architecture}.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5))
    entries.append(text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, vocabulary) + text("a") * vocabulary)
    shapes = {"token_embd.weight": [width, vocabulary], "output_norm.weight": [width],
              **{f"blk.0.{name}.{'bias' if name == 'exp_probs_b' else 'weight'}": dims for name, dims in blocks.items()}}
    header = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(entries)) + b"".join(entries)
    data = b""
    for name, dims in shapes.items():
        type_ = kind if len(dims) > 1 else 0
        count = 1
        for dim in dims:
            count *= dim
        header += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, type_, len(data))
        size = count // 32 * 34 if type_ else 4 * count
        data += bytes(size + -size % 32)
    return header + bytes(-len(header) % 32) + data


def small_ggufs():
    norms = {"attn_norm": [32], "ffn_norm": [32]}
    dense = {"ffn_gate": [32, 32], "ffn_up": [32, 32], "ffn_down": [32, 32]}
    heads = {"attn_q": [32, 32], "attn_k": [32, 16], "attn_v": [32, 16], "attn_output": [32, 32]}
    write("gguf_fuzz", "small.llama", small_gguf("llama", {}, norms | heads | dense))
    write("gguf_fuzz", "small.llama.q8_0", small_gguf("llama", {}, norms | heads | dense, kind=8))
    latent = {"attn_q": [32, 48], "attn_kv_a_mqa": [32, 40], "attn_kv_a_norm": [32], "attn_k_b": [16, 32, 2],
              "attn_v_b": [32, 16, 2], "attn_output": [32, 32]}
    experts = {"ffn_gate_inp": [32, 4], "exp_probs_b": [4], "ffn_gate_exps": [32, 16, 4], "ffn_up_exps": [32, 16, 4],
               "ffn_down_exps": [16, 32, 4], "ffn_gate_shexp": [32, 16], "ffn_up_shexp": [32, 16], "ffn_down_shexp": [16, 32]}
    sizes = {"attention.kv_lora_rank": 32, "attention.key_length": 40, "attention.value_length": 32,
             "attention.key_length_mla": 24, "attention.value_length_mla": 16, "rope.dimension_count": 8,
             "expert_count": 4, "expert_used_count": 2, "expert_shared_count": 1, "expert_feed_forward_length": 16,
             "expert_gating_func": 2}
    write("gguf_fuzz", "small.deepseek2", small_gguf("deepseek2", sizes, norms | latent | experts))


def small_shard(documents, vocabulary=300):
    """A token shard as src/data/shards.h has it; the fuzz target sets the hashes right."""
    tokens = [token for document in documents for token in document]
    header = struct.pack("<8sII4Q", b"TENTHTOK", 1, 2, len(documents), len(tokens), 100, vocabulary).ljust(104, b"\0")
    return header + struct.pack(f"<{len(documents)}I", *map(len, documents)) + struct.pack(f"<{len(tokens)}H", *tokens)


def chats():
    """Variables as chat templates see them: with and without tools, thoughts and a system's words."""
    user, thought = {"role": "user", "content": "What is 1+1?"}, "<think>\nEasy.\n</think>\n\n2"
    call = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": {"a": 1, "b": [2, None]}}}
    tool = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}
    plain = [{"role": "system", "content": "Be brief."}, user, {"role": "assistant", "content": thought}, user]
    with_calls = [user, {"role": "assistant", "content": "", "tool_calls": [call, call]},
                  {"role": "tool", "content": "2"}, {"role": "tool", "content": "3"}]
    names = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}
    return [{"messages": plain, **names}, {"messages": with_calls, "tools": [tool], "enable_thinking": False, **names}]


SNIPPETS = [
    "{%- for m in messages if m.role == 'user' %}{{ loop.index0 }}:{{ m['content'] | trim | upper }}{% else %}-{% endfor %}",
    "{% set n = namespace(x=0) %}{% for i in range(3) %}{% set n.x = n.x + i * 2 // 3 %}{% endfor %}{{ n.x ~ 'a' }}",
    "{% macro f(a, b='c') %}[{{ a }}{{ b }}]{% endmacro %}{{ f(1) }}{{ f(b=[1, {'k': none}], a=messages[-1]) | tojson }}",
    "{{ messages[0].content.split('<think>')[-1].lstrip('\\n')[::-1] if messages else raise_exception('none') }}",
    "{% filter upper %}{% raw %}{{ x }}{% endraw %}{% endfilter %}{% with a = 1.5 %}{{ a is number and not a is none }}{% endwith %}",
    "{{ messages | map(attribute='role') | join(', ') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    "{{ 'a%sb' % 3 }}{{ '%05.2f' | format(2.5) }}{{ strftime_now('%Y') | length }}{{ dict(a=1).items() | list }}",
    "{{ bos_token | join('-') }}{{ messages[0] | map('upper') | unique | sort(reverse=true) | list }}",
]


def own_formats():
    """Data of the formats that tenth itself defines."""
    hash_ = "0" * 32
    manifest = {"format": "tenth tokens", "version": 1, "vocab_size": 300, "tokenizer_xxh128": hash_, "documents": 3,
                "tokens": 21, "text_bytes": 100, "longest_document": 17, "empty": 0, "duplicates": 0, "bad": 0,
                "sources": [{"file": "a.txt", "bytes": 3, "xxh128": hash_}],
                "shards": [{"file": "tokens.shard", "documents": 3, "tokens": 21, "text_bytes": 100, "xxh128": hash_}]}
    shard = small_shard([[1, 2, 299], list(range(17)), [7]])
    write("shards_fuzz", "small", json.dumps(manifest).encode() + CUT + shard)
    lines = b'{"text": "one"}\n\n{"text": "caf\\u00e9", "source": 1}\n{"text": ""}\n{"text": "one"}\n'
    write("documents_fuzz", "lines", lines)
    # One zstandard frame with one raw block.
    frame = struct.pack("<IB", 0xFD2FB528, 0x20) + bytes([len(lines)]) + struct.pack("<I", len(lines) << 3 | 1)[:3] + lines
    write("documents_fuzz", "packed", frame)
    turns = [{"role": "user", "content": "3+5=?"}, {"role": "assistant", "content": "3+5=8</think><answer>8</answer>"}]
    write("conversations_fuzz", "chat", b"".join(json.dumps({"messages": turns * n}).encode() + b"\n" for n in (1, 2)))


def main():
    own_formats()
    small_ggufs()
    for recipe in sorted((ROOT / "recipes").glob("*.toml")):
        write("recipe_fuzz", recipe.name, recipe.read_bytes() + CUT + b"rl.lr=1e-4")
    if not SHARED.is_dir():
        print(f"{SHARED} is not there: the other targets start without seeds (set TENTH_SHARED)")
        return
    for model in sorted((SHARED / "golden" / "models").iterdir()):
        write("config_fuzz", model.name, (model / "config.json").read_bytes())
        for file in ("model", "reference"):
            if (model / f"{file}.safetensors").exists():
                write("safetensors_fuzz", f"{model.name}.{file}", small_safetensors(model / f"{file}.safetensors"))
    for model in sorted((SHARED / "golden" / "gguf").glob("*.gguf")):
        write("gguf_fuzz", model.name, model.read_bytes()[:65536])
    for vocabulary in sorted((SHARED / "golden" / "tokenizer_gguf").glob("*.gguf")):
        write("gguf_fuzz", vocabulary.name, vocabulary.read_bytes()[:4096])
    for i, source in enumerate(SNIPPETS):
        for j, chat in enumerate(chats()):
            write("template_fuzz", f"snippet.{i}.{j}", source.encode() + CUT + json.dumps(chat).encode())
    for folder in sorted((SHARED / "data" / "tokenizers").iterdir()):
        source = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
        for j, chat in enumerate(chats()):
            write("template_fuzz", f"{folder.name}.{j}", source.encode() + CUT + json.dumps(chat).encode())
        if not (folder / "tokenizer.json").exists():
            continue
        tokenizer = json.dumps(small_tokenizer(json.loads((folder / "tokenizer.json").read_text()))).encode()
        texts = first_lines(SHARED / "golden" / "tokenizer" / f"{folder.name}.jsonl", 40)
        for i, line in enumerate(texts):
            write("tokenizer_fuzz", f"{folder.name}.{i}", tokenizer + CUT + json.loads(line)["text"].encode()[:400])
    for tokenizer in sorted((ROOT / "runs").glob("*/model/tokenizer.json")):
        write("tokenizer_fuzz", tokenizer.parts[-3], tokenizer.read_bytes() + CUT + b"3+5=?<think>3+5=8</think>")
    for problems in sorted((SHARED / "data").glob("*/*.jsonl")):
        lines = first_lines(problems, 2)
        if problems.parent.name not in ("math", "reasoning"):
            continue
        answer = str(json.loads(lines[0])["answer"]).encode()
        write("jsonl_fuzz", problems.stem, b"".join(lines) + CUT + b"so</think><answer>" + answer + b"</answer>")


main()
