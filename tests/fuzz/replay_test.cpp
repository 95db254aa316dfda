// The fuzz targets on inputs that are made here: a good one of each kind, and what comes of it when it is cut at every
// place, when every byte is another one, and when lengths and numbers are extreme. A target aborts where it finds
// something; the change that led there is then printed.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>

#include "base/threads.h"
#include "checkpoint/export_gguf.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/safetensors_files.h"
#include "checkpoint/weight_source.h"
#include "data/token_folder.h"
#include "nn/arch/architecture.h"
#include "nn/tiny_models.h"
#include "tokenizer/chat_format.h"
#include "tokenizer/tiny.h"

// CMakeLists.txt gives each target's entry function the name of its file.
extern "C" {
int config_fuzz(const uint8_t*, size_t);
int conversations_fuzz(const uint8_t*, size_t);
int documents_fuzz(const uint8_t*, size_t);
int gguf_fuzz(const uint8_t*, size_t);
int jsonl_fuzz(const uint8_t*, size_t);
int recipe_fuzz(const uint8_t*, size_t);
int safetensors_fuzz(const uint8_t*, size_t);
int shards_fuzz(const uint8_t*, size_t);
int template_fuzz(const uint8_t*, size_t);
int tokenizer_fuzz(const uint8_t*, size_t);
}

namespace tenth::testing {
namespace {

using Target = int (*)(const uint8_t*, size_t);

char current[160];  // what is being tried

void say_current(int) { std::fprintf(stderr, "broken by: %s\n", current); }

class Replay {
 public:
  // The parts of a seed that are changed one place at a time: [0, changed).
  Replay(Target target, std::string seed, size_t changed)
      : target_(target), seed_(std::move(seed)), changed_(std::min(changed, seed_.size())) {
    std::signal(SIGABRT, say_current);
    set_thread_count(1);  // small work, often
    run(seed_, "the seed", 0);
  }
  Replay(Target target, std::string seed) : Replay(target, seed, seed.size()) {}

  // Only every so many places from here on.
  Replay& every(size_t step) {
    step_ = step;
    return *this;
  }
  Replay& cut() {
    for (size_t length = 0; length < changed_; length += step_) run(seed_.substr(0, length), "cut at", length);
    run(seed_ + std::string(1, '\0'), "a byte more", 0);
    return *this;
  }
  Replay& other_bytes() {
    for (size_t at = 0; at < changed_; at += step_) {
      for (const int bits : {0x01, 0x10, 0x80}) {
        std::string changed = seed_;
        changed[at] = char(uint8_t(changed[at]) ^ bits);
        run(changed, "another byte at", at);
      }
    }
    return *this;
  }
  // Every 4 and 8 bytes of a binary header as extreme numbers.
  Replay& other_lengths() {
    for (size_t at = 0; at + 8 <= changed_; at += step_) {
      for (const size_t size : {size_t(4), size_t(8)}) {
        for (const uint64_t extreme : {~uint64_t(0), uint64_t(1) << 60 | uint64_t(1) << 31}) {
          std::string changed = seed_;
          std::memcpy(changed.data() + at, &extreme, size);
          run(changed, "an extreme number at", at);
        }
      }
    }
    return *this;
  }
  // Every number of a text as an extreme one, and as what is none.
  Replay& other_numbers() {
    const auto digit = [&](size_t at) { return at < changed_ && seed_[at] >= '0' && seed_[at] <= '9'; };
    for (size_t at = 0; at < changed_; at++) {
      if (!digit(at) || (at > 0 && digit(at - 1))) continue;
      size_t end = at;
      while (digit(end)) end++;
      for (const char* other : {"-1", "0", "1e308", "9223372036854775807", "18446744073709551616", "0.5", "null",
                                "\"1\"", "[]", "{}", "true"})
        run(seed_.substr(0, at) + other + seed_.substr(end), other, at);
    }
    return *this;
  }
  // Every stretch between marks of punctuation left out, and twice.
  Replay& other_words() {
    constexpr std::string_view kMarks = "{}[]():,\"'|%\n";
    size_t begin = 0;
    for (size_t at = 0; at < changed_; at++) {
      if (kMarks.find(seed_[at]) == kMarks.npos) continue;
      for (const size_t end : {at, at + 1}) {
        if (end == begin) continue;
        const std::string part = seed_.substr(begin, end - begin);
        run(seed_.substr(0, begin) + seed_.substr(end), "left out up to", end);
        run(seed_.substr(0, end) + part + seed_.substr(end), "twice up to", end);
      }
      begin = at + 1;
    }
    return *this;
  }
  // An opening bracket a hundred thousand times.
  Replay& deep(std::string_view brackets) {
    for (const char bracket : brackets) run(std::string(100'000, bracket), "deep", size_t(bracket));
    return *this;
  }
  int runs() const { return runs_; }

 private:
  void run(const std::string& input, const char* what, size_t at) {
    std::snprintf(current, sizeof current, "%s %zu", what, at);
    // A copy of its own length, so that a sanitizer sees what reads beyond it.
    const std::vector<uint8_t> bytes(input.begin(), input.end());
    target_(bytes.data(), bytes.size());
    runs_++;
  }

  Target target_;
  std::string seed_;
  size_t changed_, step_ = 1;
  int runs_ = 0;
};

constexpr const char* kCut = "\xff";  // between the two parts of an input (fuzz.h)

TEST(FuzzReplay, Safetensors) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},)"
      R"("c":{"dtype":"I64","shape":[],"data_offsets":[32,40]}})";
  const size_t size = 8 + header.size();
  Replay replay(safetensors_fuzz, safetensors_bytes(header, std::string(40, '\x3c')), size);
  replay.cut().other_bytes().other_lengths().other_numbers().other_words();
  EXPECT_GT(replay.runs(), 1500);
}

std::string tiny_gguf(const char* kind, const char* type) {
  TemporaryFolder folder;
  ModelConfig config = tiny_config(kind);
  config.hidden_size = 32;
  Transformer model(config, get_backend("cpu"), DType::kF32);
  initialize(model, 1, 0.5);
  save_model(folder.path(), model, DType::kF32);
  const std::vector<std::string> tokens(size_t(config.vocab_size), "a");
  export_gguf(WeightSource::open(folder.path()), folder / "m.gguf",
              {.type = type,
               .name = "m",
               .vocabulary = {{"tokenizer.ggml.model", std::string("gpt2")}, {"tokenizer.ggml.tokens", tokens}}});
  return read_file(folder / "m.gguf");
}

// Where the header ends: behind it stands the tensors' data.
size_t header_size(const std::string& gguf) {
  const GgufContent content = parse_gguf(std::as_bytes(std::span(gguf)), "m");
  size_t first = gguf.size();
  for (const GgufTensor& t : content.tensors)
    first = std::min(first, size_t(t.bytes.data() - reinterpret_cast<const std::byte*>(gguf.data())));
  return first;
}

TEST(FuzzReplay, Gguf) {
  const std::string plain = tiny_gguf("gqa", "Q8_0"), latent = tiny_gguf("mla_mtp", "Q4_0");
  Replay first(gguf_fuzz, plain, header_size(plain)), second(gguf_fuzz, latent, header_size(latent));
  first.cut().every(2).other_bytes().every(3).other_lengths();
  second.every(7).cut().other_bytes();
  EXPECT_GT(first.runs() + second.runs(), 5000);
}

TEST(FuzzReplay, Config) {
  for (const char* kind : {"mla_mtp", "qwen3_moe"}) {
    OrderedJson json = config_json(tiny_config(kind), DType::kF32);
    json["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 128}};
    json["layer_types"] = {"full_attention", "full_attention"};
    Replay replay(config_fuzz, json.dump());
    replay.cut().other_numbers().other_words().every(5).other_bytes().deep("[{\"");
    EXPECT_GT(replay.runs(), 1500);
  }
}

TEST(FuzzReplay, Tokenizer) {
  // Of the 256 letters of the alphabet some are enough to be changed.
  const std::string whole = tiny_bpe().dump();
  const size_t model = whole.find("\"model\""), vocabulary = whole.find("\"vocab\"");
  const std::string text = std::string(kCut) + "a aaaa<s> \xc3\xa9\n\n12 <think>ll";
  Replay replay(tokenizer_fuzz, whole + text, std::min(whole.size(), vocabulary + 200));
  replay.cut().other_bytes().other_numbers().other_words().deep("[{\"");
  EXPECT_GT(replay.runs(), 2000);
  EXPECT_LT(model, whole.size());
}

TEST(FuzzReplay, Templates) {
  const std::string chat =
      std::string(kCut) +
      R"({"messages":[{"role":"user","content":"hi <s>"},{"role":"assistant","content":"a<think>b"},)"
      R"({"role":"user","content":""}],"tools":[{"name":"f"}],"bos_token":"<s>","n":3})";
  for (const std::string& source : {
           chat_template(),
           std::string("{%- set n = namespace(x=0) %}{% macro f(a, b='c') %}[{{ a }}{{ b | tojson }}]{% endmacro %}"
                       "{% for m in messages if m.role == 'user' %}{{ loop.index0 }}{% set n.x = n.x + 2 ** 3 // 2 %}"
                       "{{ f(m['content'][1:-1], b=m) }}{% else %}{{ n.x ~ -1 }}{% endfor %}{# c #}"),
           std::string("{{ bos_token * n }}{% filter upper %}{% raw %}{{ x }}{% endraw %}{% endfilter %}"
                       "{{ messages | map(attribute='role') | join(', ') }}{{ 'a%sb' % n }}{{ range(n) | list }}"
                       "{% with a = 1.5 %}{{ a is number and not a is none or 'x' in 'xy' }}{% endwith %}"
                       "{{ bos_token | join('-') }}{{ {'a': n} | map('upper') | list }}"
                       "{% call(x) f() %}{{ x.split('a')[0].strip() }}{% endcall %}"),
       }) {
    Replay replay(template_fuzz, source + chat);
    replay.cut().other_bytes().other_numbers().other_words();
    EXPECT_GT(replay.runs(), 1000);
  }
  Replay(template_fuzz, "{{ 1 }}").deep("{[(-\"");
  for (const char* open : {"{{ (", "{% if x %}", "{{ [", "{{ not ", "{{ x[", "{% for a in b %}", "{{ -", "{{ {1:"}) {
    std::string source;
    for (int i = 0; i < 20'000; i++) source += i == 0 || open[1] == '%' ? open : open + 3;
    Replay(template_fuzz, source);
  }
}

TEST(FuzzReplay, TextFiles) {
  const std::string turns = R"({"messages":[{"role":"user","content":"3+5=?"},)"
                            R"({"role":"assistant","content":"3+5=8</think><answer>8</answer>"}]})";
  Replay(conversations_fuzz, turns + "\n" + turns + "\n").cut().other_bytes().other_words().deep("[{\"");
  const std::string lines = "{\"text\": \"one\"}\n\n{\"text\": \"caf\\u00e9\", \"source\": 1}\n{\"text\": \"\"}\n";
  Replay(documents_fuzz, lines).cut().other_bytes().other_words();
  const std::string problem = R"({"question":"1+1=?","answer":"2"})";
  Replay(jsonl_fuzz, problem + "\n" + problem + "\n" + kCut + "so</think><answer>2</answer>")
      .cut()
      .other_bytes()
      .other_numbers()
      .other_words();
  const std::string recipe =
      "[run]\nseed = 1\n[model]\nhidden_size = 32\n[train]\nsteps = 30\nbatch_tokens = 384\n"
      "[optim]\nlr = 1e-3\n[rl]\nsteps = 4\nprompts = 4\n";
  Replay(recipe_fuzz, recipe + kCut + "rl.lr=1e-4").cut().other_bytes().other_numbers().other_words();
}

TEST(FuzzReplay, Shards) {
  TemporaryFolder folder;
  ShardHeader header;
  header.text_bytes = 100;
  header.vocab_size = 300;
  header = write_shard(folder / "tokens.shard", header, {{1, 2, 299}, std::vector<int32_t>(17, 5), {7}});
  Manifest manifest;
  manifest.vocab_size = 300;
  manifest.documents = 3;
  manifest.tokens = 21;
  manifest.text_bytes = 100;
  manifest.longest_document = 17;
  manifest.shards = {{"tokens.shard", header}};
  const std::string text = manifest.json().dump() + kCut;
  Replay(shards_fuzz, text + read_file(folder / "tokens.shard")).cut().other_bytes();
  Replay(shards_fuzz, text + read_file(folder / "tokens.shard"), text.size()).other_numbers().other_words();
}

}  // namespace
}  // namespace tenth::testing
