// What is wrong from outside: one clear line, exit code 1 (2 for the command line), nothing lost, no crash, no hang.
#include <sys/stat.h>

#include <cstring>

#include "checkpoint/safetensors.h"
#include "cli/process.h"
#include "tiny_run.h"

namespace tenth::testing {
namespace {

TEST(BadCommandLine, IsOneLineAndCode2) {
  const auto refused = [](const std::vector<std::string>& arguments, const char* text) {
    expect_refused(tenth(arguments), text, 2);
  };
  refused({}, "subcommand is required");
  refused({"trian"}, "unknown command trian (did you mean train?)");
  refused({"\x1b[31m\n"}, "unknown command");
  refused({"train", "--frob"}, "--frob");
  refused({"generate", "--ids", "1"}, "--model is required");
  refused({"score", "--model", "m", "--ids", "i"}, "--out is required");
  refused({"generate", "--model", "m", "--ids", "1", "--max-new-tokens", "many"}, "--max-new-tokens");
  refused({"generate", "--model", "m", "--ids", "1", "--max-new-tokens", "-1"}, "--max-new-tokens");
  refused({"generate", "--model", "m", "--ids", "1", "--seed", "-2"}, "--seed");
  refused({"generate", "--model", "m", "--ids", "1", "--threads", "-2"}, "--threads");
  refused({"eval", "--model", "m", "--problems", "p", "--samples", "0"}, "--samples");
  refused({"eval", "--model", "m", "--problems", "p", "--samples", "99999999999999999999"}, "--samples");
}

class BadInput : public ::testing::Test {
 protected:
  std::string model() const { return model_.string(); }
  Result generate(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"generate", "--model", model(), "--ids", "5,6", "--max-new-tokens", "3"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return tenth(arguments);
  }
  std::string file(const char* name) const { return read_file(model_ / name); }
  void put(const char* name, const std::string& bytes) const { write_file(model_ / name, bytes); }
  // Whatever it makes of a file: it ends by itself, with an answer or with one line.
  static void expect_sane(const Result& result) {
    ASSERT_FALSE(result.hung);
    ASSERT_EQ(result.signal, 0);
    ASSERT_TRUE(result.code == 0 || result.code == 1) << result.code << result.err;
    if (result.code == 1) {
      ASSERT_TRUE(one_line(result.err)) << result.err;
    }
  }
  Path write_ids(const std::string& name, std::string_view dtype, const std::vector<int64_t>& shape,
                 const std::vector<int64_t>& ids) const {
    const Path path = folder_ / "ids.safetensors";
    write_safetensors(
        path,
        std::vector<TensorToWrite>{
            {.name = name, .tensor = {}, .dtype = dtype, .shape = shape, .bytes = std::as_bytes(std::span(ids))}});
    return path;
  }

  TempFolder folder_;
  Path model_ = save_random_model(folder_ / "model");
};

TEST_F(BadInput, Options) {
  expect_refused(generate({"--dtype", "f16"}), "--dtype: expected auto, f32, bf16 or f64, got \"f16\"");
  expect_refused(generate({"--dtype", "f64"}), "--dtype f64: only on --backend reference");
  expect_refused(generate({"--backend", "cuda"}), "built without CUDA");
  expect_refused(generate({"--backend", "tpu"}), "expected cpu, cuda or reference, got \"tpu\"");
  for (const char* bad : {"-1", "nan", "1e9"})
    expect_refused(generate({"--temperature", bad}), "temperature: expected");
  expect_refused(generate({"--top-p", "1.5"}), "top_p: expected");
  expect_refused(generate({"--min-p", "-0.1"}), "min_p: expected");
  expect_refused(generate({"--repetition-penalty", "0"}), "repetition_penalty: expected");
  expect_refused(tenth({"generate", "--model", model(), "--ids", "5,6", "--max-new-tokens", "63"}),
                 "max_position_embeddings is 64");
  expect_refused(generate({"--prompt", "x"}), "expected one of --ids and --prompt");
  expect_refused(tenth({"generate", "--model", model()}), "expected one of --ids and --prompt");
  expect_refused(tenth({"generate", "--model", "/nowhere", "--ids", "1"}), "/nowhere: expected a model folder");
  expect_refused(tenth({"generate", "--model", (model_ / "config.json").string(), "--ids", "1"}), "expected GGUF");
  expect_refused(tenth({"generate", "--model", model(), "--prompt", "☃", "--max-new-tokens", "3"}), "got \"☃\"");
  for (const char* ids : {"1,", ",", "1;2", "x", "1,,2", "99999999999", " 1"}) {
    expect_refused(tenth({"generate", "--model", model(), "--ids", ids, "--max-new-tokens", "3"}),
                   "--ids: expected numbers like 1,2,3");
  }
  for (const char* ids : {"121", "-1", "2147483647", "-2147483648"}) {
    expect_refused(tenth({"generate", "--model", model(), "--ids", ids, "--max-new-tokens", "3"}),
                   "expected ids in 0 … 120");
  }
}

TEST_F(BadInput, ConfigJson) {
  const Json good = read_json(model_ / "config.json");
  const auto refused = [&](const char* key, const Json& value, const char* text) {
    Json bad = good;
    bad[key] = value;
    put("config.json", bad.dump());
    SCOPED_TRACE(fmt::format("{} = {}", key, value.dump()));
    expect_refused(generate(), text);
  };
  const double huge = 1099511627776.0;  // 2^40
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "kv_lora_rank",
                          "moe_intermediate_size", "n_routed_experts", "num_experts_per_tok"}) {
    for (const Json& value : {Json(-1), Json(huge), Json("many"), Json(0.5), Json(1e300), Json::array({1})})
      refused(key, value, key);
  }
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"})
    refused(key, 0, key);
  refused("qk_rope_head_dim", 7, "qk_rope_head_dim");
  refused("num_experts_per_tok", 5, "num_experts_per_tok");
  refused("model_type", "gpt5", "model_type");
  refused("rms_norm_eps", -1, "rms_norm_eps");
  refused("rope_theta", "big", "rope_theta");
  // Another model than the weights are.
  refused("hidden_size", 64, "");
  refused("vocab_size", 200, "");
  refused("vocab_size", 100, "");
  refused("num_hidden_layers", 3, "");
  refused("n_routed_experts", 8, "");
  refused("num_nextn_predict_layers", 2, "num_nextn_predict_layers");

  const std::string text = good.dump(2);
  for (const size_t length : {size_t(0), size_t(1), text.size() / 2, text.size() - 2}) {
    put("config.json", text.substr(0, length));
    expect_refused(generate(), "config.json");
  }
  put("config.json", "[" + text + "]");
  expect_refused(generate(), "config.json");
  put("config.json", std::string(100'000, '['));
  expect_refused(generate(), "config.json");
  std::filesystem::remove(model_ / "config.json");
  expect_refused(generate(), "config.json: cannot open");
}

TEST_F(BadInput, WeightsAreCutOrChanged) {
  const std::string good = file("model.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, good.data(), 8);
  for (const size_t length :
       {size_t(0), size_t(7), size_t(8), size_t(100), size_t(8 + header), good.size() / 2, good.size() - 1}) {
    put("model.safetensors", good.substr(0, length));
    SCOPED_TRACE(length);
    expect_refused(generate(), "model.safetensors");
    expect_refused(tenth({"inspect", (model_ / "model.safetensors").string()}), "model.safetensors");
  }
  put("model.safetensors", good + "x");
  expect_refused(generate(), "model.safetensors");
  for (const uint64_t length : {uint64_t(0), header - 1, header + 1, uint64_t(1) << 40, ~uint64_t(0)}) {
    std::string bad = good;
    std::memcpy(bad.data(), &length, 8);
    put("model.safetensors", bad);
    expect_refused(generate(), "model.safetensors");
  }
  std::string renamed = good;
  renamed.replace(renamed.find("model.norm.weight"), 17, "model.morn.weight");
  put("model.safetensors", renamed);
  expect_refused(generate(), "model.norm.weight");
  std::filesystem::remove(model_ / "model.safetensors");
  expect_refused(generate(), "model.safetensors");
  Rng rng(1);
  for (int i = 0; i < 60; i++) {
    std::string bad = good;
    bad[rng.below(8 + header)] = char(rng.below(256));
    put("model.safetensors", bad);
    expect_sane(generate());
  }
}

TEST_F(BadInput, WeightsThatAreNoNumbers) {
  std::string bad = file("model.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, bad.data(), 8);
  const Json json = Json::parse(bad.substr(8, header));
  const float nan = std::nanf("");
  std::memcpy(bad.data() + 8 + header + json["model.norm.weight"]["data_offsets"][0].get<size_t>(), &nan, 4);
  put("model.safetensors", bad);
  expect_refused(generate(), "not finite");
  expect_refused(generate({"--temperature", "1"}), "not finite");
  const Path out = folder_ / "out.safetensors";
  write_file(out, "the old file");
  const std::string ids = write_ids("input_ids", "I64", {1, 3}, {1, 2, 3}).string();
  expect_refused(tenth({"score", "--model", model(), "--ids", ids, "--out", out.string()}), "the loss is nan");
  EXPECT_EQ(read_file(out), "the old file");
}

TEST_F(BadInput, Tokenizer) {
  const std::string good = file("tokenizer.json");
  const auto prompt = [&] {
    return tenth({"generate", "--model", model(), "--prompt", "3+5", "--max-new-tokens", "3"});
  };
  for (const size_t length : {size_t(0), good.size() / 2, good.size() - 3}) {
    put("tokenizer.json", good.substr(0, length));
    expect_refused(prompt(), "tokenizer.json");
    expect_refused(tenth({"tokenize", "--model", model()}), "tokenizer.json");
  }
  for (const char* text : {"{}", "[]", "null", "{\"model\": {\"type\": \"WordLevel\"}}"}) {
    put("tokenizer.json", text);
    expect_refused(prompt(), "tokenizer.json");
  }
  Rng rng(2);
  for (int i = 0; i < 40; i++) {
    std::string bad = good;
    bad[rng.below(bad.size())] = char(rng.below(256));
    put("tokenizer.json", bad);
    expect_sane(prompt());
  }
  SmallVocab larger = arithmetic_vocab(64);
  larger.words.push_back("☃");
  larger.save(model_);
  for (const char* command : {"chat", "generate"}) {
    std::vector<std::string> arguments = {command, "--model", model()};
    if (std::string(command) == "generate") arguments.insert(arguments.end(), {"--prompt", "☃"});
    expect_refused(tenth(arguments), "tokenizer.json has 122 tokens, config.json only 121");
  }
  std::filesystem::remove(model_ / "tokenizer.json");
  expect_refused(prompt(), "tokenizer.json: cannot open");
  expect_refused(tenth({"chat", "--model", model()}), "tokenizer.json: cannot open");
}

TEST_F(BadInput, Ids) {
  const std::string out = (folder_ / "out.safetensors").string();
  const auto score = [&](const Path& ids) {
    return tenth({"score", "--model", model(), "--ids", ids.string(), "--out", out});
  };
  expect_refused(score(write_ids("ids", "I64", {1, 2}, {1, 2})), "input_ids");
  expect_refused(score(write_ids("input_ids", "F64", {1, 2}, {1, 2})), "input_ids");
  expect_refused(score(write_ids("input_ids", "I64", {2}, {1, 2})), "expected the shape (rows, tokens)");
  expect_refused(score(write_ids("input_ids", "I64", {1, 1, 2}, {1, 2})), "expected the shape (rows, tokens)");
  expect_refused(score(write_ids("input_ids", "I64", {0, 4}, {})), "expected the shape (rows, tokens)");
  expect_refused(score(write_ids("input_ids", "I64", {4, 0}, {})), "expected the shape (rows, tokens)");
  expect_refused(score(write_ids("input_ids", "I64", {1, 2}, {1, 121})), "expected ids in 0 … 120, got 121");
  expect_refused(score(write_ids("input_ids", "I64", {1, 2}, {-1, 2})), "got -1");
  expect_refused(score(write_ids("input_ids", "I64", {1, 65}, std::vector<int64_t>(65, 1))), "at most 64 tokens");
  expect_refused(score(folder_ / "none"), "cannot open");
  expect_refused(score(folder_.path()), "expected a file");
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  expect_refused(score(folder_ / "pipe"), "expected a file");  // and does not wait for a writer
  const Path good = write_ids("input_ids", "I64", {1, 2}, {1, 2});
  expect_refused(tenth({"score", "--model", model(), "--ids", good.string(), "--out", out, "--mtp-weight", "nan"}),
                 "--mtp-weight");
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(BadInput, Problems) {
  const Path problems = folder_ / "p.jsonl";
  const auto eval = [&](const std::string& text) {
    write_file(problems, text);
    return tenth({"eval", "--model", model(), "--problems", problems.string(), "--max-new-tokens", "3"});
  };
  const std::string good = "{\"question\": \"1+1=?\", \"answer\": \"2\"}\n";
  expect_success(eval(good));
  expect_refused(eval(""), "p.jsonl: expected problems");
  expect_refused(eval("\n \n"), "p.jsonl: expected problems");
  expect_refused(eval(good + "{\"question\": \"1+1=?\""), "p.jsonl:2");
  expect_refused(eval(good + good + "[1]\n"), "p.jsonl:3: expected an object");
  expect_refused(eval("{\"answer\": \"2\"}"), "p.jsonl:1: expected a field question");
  expect_refused(eval("{\"question\": [1], \"answer\": \"2\"}"), "p.jsonl:1: question: expected a string, got array");
  expect_refused(eval("{\"question\": \"\xff\", \"answer\": \"2\"}"), "p.jsonl:1");
  expect_refused(eval("{\"question\": \"1\", \"answer\": \"\"}"), "p.jsonl:1: answer: expected some text");
  expect_refused(eval("{\"question\": " + std::string(10'000, '[') + "}"), "p.jsonl:1");
  expect_refused(eval("{\"question\": \"why\", \"answer\": \"2\"}"), "got \"w\"");
  expect_refused(eval("{\"question\": \"" + std::string(200, '1') + "\", \"answer\": \"2\"}"),
                 "max_position_embeddings is 64");
  std::filesystem::remove(problems);
  expect_refused(tenth({"eval", "--model", model(), "--problems", problems.string()}), "p.jsonl: cannot open");
  write_file(problems, good);
  expect_refused(tenth({"eval", "--model", model(), "--problems", problems.string(), "--max-new-tokens", "3", "--out",
                        "/proc/nowhere/t.jsonl"}),
                 "/proc/nowhere/t.jsonl");
}

TEST_F(BadInput, LinesOfTokens) {
  const auto run = [&](const char* command, const std::string& input) {
    return tenth({command, "--model", model()}, {.input = input});
  };
  expect_refused(run("tokenize", "{"), "line 1");
  expect_refused(run("tokenize", "{\"txt\": \"1\"}"), "text");
  expect_refused(run("tokenize", "{\"text\": 1}"), "text");
  expect_refused(run("detokenize", "{\"ids\": [121]}"), "121");
  expect_refused(run("detokenize", "{\"ids\": [-1]}"), "-1");
  expect_refused(run("detokenize", "{\"ids\": [1e30]}"), "ids");
  expect_refused(run("detokenize", "{\"ids\": \"1\"}"), "ids");
  // A chat that cannot be rendered is an answer of its own.
  const Result render =
      run("render", "{\"messages\": 1}\n{\"messages\": [{\"role\": \"king\", \"content\": \"1\"}]}\n\xff\n");
  EXPECT_EQ(render.code, 0);
  EXPECT_EQ(std::count(render.out.begin(), render.out.end(), '\n'), 3);
  EXPECT_EQ(render.out.find("\"text\""), std::string::npos);
}

TEST_F(BadInput, HostileTextInAChat) {
  const auto chat = [&](const std::string& input) {
    return tenth({"chat", "--model", model(), "--max-new-tokens", "4"}, {.input = input});
  };
  const Result mixed = chat("1+1=?\n\x1b[2J\x07\n1+\xff\xfe\n" + std::string(1 << 20, '1') + "\n<eos><user>1\n" +
                            std::string("1\0+2", 4) + "\n3+4=?");
  EXPECT_EQ(mixed.signal, 0);
  EXPECT_FALSE(mixed.hung);
  EXPECT_EQ(mixed.code, 1);
  EXPECT_EQ(std::count(mixed.out.begin(), mixed.out.end(), '\n'), 2) << "the two good questions have answers";
  EXPECT_EQ(mixed.out.rfind("<think>"), mixed.out.find('\n') + 1) << "and nothing else is printed";
  EXPECT_NE(mixed.err.find("tenth: 5 of 7 questions got no answer"), std::string::npos) << mixed.err;
  EXPECT_LT(mixed.err.size(), 2000u) << "a megabyte is not quoted";
  for (const char c : mixed.err) EXPECT_TRUE(uint8_t(c) >= 0x20 || c == '\n');
  EXPECT_EQ(expect_success(chat("")), "");
  EXPECT_EQ(expect_success(chat("\n1+1=?\n")), "") << "an empty line ends it";
  expect_refused(chat(std::string((64 << 20) + 2, '1')), "line 1: expected at most 67108864 bytes");
  for (const std::string& text : {std::string("\x1b[31m"), std::string("\xff"), std::string(100'000, '1')}) {
    expect_refused(tenth({"generate", "--model", model(), "--prompt", text, "--max-new-tokens", "3"}), "");
  }
}

// A model that says nothing but "clear the screen": a pipe gets its bytes, a terminal sees them as text.
TEST_F(BadInput, AModelCannotCommandATerminal) {
  SmallVocab vocabulary = arithmetic_vocab(64);
  vocabulary.specials.insert(vocabulary.specials.begin(), "\x1b[2J");
  vocabulary.words.pop_back();
  vocabulary.save(model_);
  auto silent = random_model(tiny_recipe());
  for (const Parameter& parameter : silent->parameters()) {
    if (parameter.name != "model.norm.weight") continue;
    std::fill_n(parameter.value().data<float>(), parameter.value().count(), 0.0f);  // all logits equal: id 0
  }
  save_model(model_, *silent, DType::kF32);
  const std::vector<std::string> generate = {"generate", "--model", model(), "--ids", "5", "--max-new-tokens", "2"};
  EXPECT_EQ(expect_success(tenth(generate)), "\x1b[2J\x1b[2J\n");
  EXPECT_EQ(expect_success(tenth(generate, {.terminal = true})), "\\x1b[2J\\x1b[2J\r\n");
  const std::string chat = expect_success(
      tenth({"chat", "--model", model(), "--max-new-tokens", "2"}, {.input = "1+1=?\n", .terminal = true}));
  EXPECT_NE(chat.find("\\x1b[2J\\x1b[2J"), std::string::npos) << chat;
  EXPECT_EQ(chat.find("\x1b[2J"), std::string::npos);
}

TEST_F(BadInput, PlacesThatCannotBeWritten) {
  const std::string ids = write_ids("input_ids", "I64", {1, 4}, {1, 2, 3, 4}).string();
  const Path out = folder_ / "out.safetensors";
  const auto score = [&](const std::string& to, const ProcessOptions& options = {}) {
    return tenth({"score", "--model", model(), "--ids", ids, "--out", to}, options);
  };
  expect_refused(score("/nowhere/out"), "/nowhere/out");
  expect_refused(score("/dev/null"), "got a folder or a device");
  expect_refused(score(folder_.path().string()), "got a folder or a device");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  // A full disk: the old file stays, and nothing lies beside it.
  write_file(out, "the old file");
  const auto files = [&] {
    return std::distance(std::filesystem::directory_iterator(folder_.path()), std::filesystem::directory_iterator());
  };
  const auto before = files();
  expect_refused(score(out.string(), {.file_limit = 1000}), "cannot write: File too large");
  EXPECT_EQ(read_file(out), "the old file");
  EXPECT_EQ(files(), before);
  // A link stays one.
  std::filesystem::create_symlink(out, folder_ / "link");
  expect_success(score((folder_ / "link").string()));
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "link"));
  EXPECT_GT(std::filesystem::file_size(out), 1000u);
}

}  // namespace
}  // namespace tenth::testing
