// What every command takes and gives, on the real binary: the contract for checks from outside.
#include <cmath>

#include "checkpoint/safetensors.h"
#include "cli/process.h"
#include "tiny_run.h"

namespace tenth::testing {
namespace {

const std::vector<std::string> kCommands = {"train",  "eval",     "generate",   "chat",    "score", "grad",
                                            "render", "tokenize", "detokenize", "inspect", "bench"};

TEST(CommandLine, EveryCommandHasHelpWithAnExample) {
  const std::string all = expect_success(tenth({"--help"}));
  for (const std::string& command : kCommands) {
    SCOPED_TRACE(command);
    EXPECT_NE(all.find("\n  " + command + " "), std::string::npos);
    const Result result = tenth({command, "--help"});
    const std::string help = expect_success(result);
    EXPECT_EQ(result.err, "");
    const size_t example = help.find("Example:");
    ASSERT_NE(example, std::string::npos);
    EXPECT_NE(help.find("tenth " + command, example), std::string::npos);
  }
}

class Contract : public ::testing::Test {
 protected:
  static constexpr int64_t kVocabulary = 121;

  Path write_ids(const std::vector<int64_t>& ids, int64_t rows) const {
    const Path path = folder_ / "ids.safetensors";
    write_safetensors(path, std::vector<TensorToWrite>{{.name = "input_ids",
                                                        .tensor = {},
                                                        .dtype = "I64",
                                                        .shape = {rows, int64_t(ids.size()) / rows},
                                                        .bytes = std::as_bytes(std::span(ids))}});
    return path;
  }
  static std::vector<double> values(const SafetensorsFile& file, const std::string& name) {
    static HostDevice host;
    const std::vector<float> read = file.load(name, host, DType::kF32).to_host<float>();
    return {read.begin(), read.end()};
  }
  // - log softmax(row)[target]
  static double surprise(const std::vector<double>& logits, size_t row, int64_t target) {
    const auto begin = logits.begin() + std::ptrdiff_t(row * kVocabulary);
    double sum = 0;
    for (auto x = begin; x != begin + kVocabulary; ++x) sum += std::exp(*x);
    return std::log(sum) - *(begin + target);
  }
  std::string model() const { return model_.string(); }

  TempFolder folder_;
  Path model_ = save_random_model(folder_ / "model");
};

TEST_F(Contract, ScoreGivesLogitsAndLoss) {
  const std::vector<int64_t> ids = {2, 24, 7, 26, 3, 5, 60, 100, 8, 1};
  const Path in = write_ids(ids, 2), out = folder_ / "out.safetensors";
  const auto score = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"score", "--model", model(), "--ids", in.string(), "--out", out.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(expect_success(tenth(arguments)), "");
    return SafetensorsFile(out);
  };
  double plain = 0, main = 0, mtp = 0;
  {
    const SafetensorsFile file = score({});
    ASSERT_EQ(file.tensors().size(), 3u);
    EXPECT_EQ(file.at("logits").shape, (std::vector<int64_t>{2, 5, kVocabulary}));
    EXPECT_EQ(file.at("mtp_logits").shape, (std::vector<int64_t>{2, 4, kVocabulary}));
    EXPECT_EQ(file.at("logits").dtype, "F32");
    const std::vector<double> logits = values(file, "logits"), ahead = values(file, "mtp_logits");
    for (size_t row = 0; row < 2; row++) {
      for (size_t t = 0; t + 1 < 5; t++) main += surprise(logits, row * 5 + t, ids[row * 5 + t + 1]) / 8;
      for (size_t t = 0; t + 2 < 5; t++) mtp += surprise(ahead, row * 4 + t, ids[row * 5 + t + 2]) / 6;
    }
    plain = values(file, "loss").at(0);
    EXPECT_NEAR(plain, main, 1e-5);
  }
  EXPECT_NEAR(values(score({"--mtp-weight", "0.3"}), "loss").at(0), main + 0.3 * mtp, 1e-5);
  EXPECT_NEAR(values(score({"--backend", "reference"}), "loss").at(0), main, 1e-5);
  EXPECT_NEAR(values(score({"--backend", "reference", "--dtype", "f64"}), "loss").at(0), main, 1e-5);
  EXPECT_NEAR(values(score({"--dtype", "bf16"}), "loss").at(0), main, 0.05);
  EXPECT_EQ(values(score({"--threads", "1"}), "loss").at(0), plain);
}

TEST_F(Contract, GradGivesEveryGradientUnderItsName) {
  const Path in = write_ids({2, 24, 7, 26, 3, 5, 60, 100}, 2), out = folder_ / "out.safetensors";
  expect_success(tenth({"grad", "--model", model(), "--ids", in.string(), "--out", out.string(), "--mtp-weight", "1"}));
  const SafetensorsFile gradients(out), weights(model_ / "model.safetensors");
  size_t found = 0;
  for (const StoredTensor& weight : weights.tensors()) {
    const std::string& name = weight.name;
    // Copies and the bias that no gradient moves.
    if (name.ends_with("e_score_correction_bias") || name.starts_with("model.layers.2.embed") ||
        name.starts_with("model.layers.2.shared_head.head"))
      continue;
    ASSERT_NE(gradients.find(name), nullptr) << name;
    EXPECT_EQ(gradients.at(name).shape, weight.shape) << name;
    found++;
  }
  EXPECT_EQ(gradients.tensors().size(), found + 3);
  // The loss falls along the gradient as much as its length says.
  HostDevice host;
  auto model = load_model(model_, get_backend("cpu"), DType::kF32);
  double squares = 0;
  for (const Parameter& parameter : model->parameters()) {
    if (parameter.role == Parameter::Role::kBuffer) continue;
    for (const double g : values(gradients, parameter.name)) squares += g * g;
  }
  const double before = values(gradients, "loss").at(0), step = 1e-3 / std::sqrt(squares);
  for (const Parameter& parameter : model->parameters()) {
    if (parameter.role == Parameter::Role::kBuffer) continue;
    const Tensor delta = gradients.load(parameter.name, host, DType::kF32), whole = parameter.value();
    std::vector<float> moved = Tensor(whole).to_host<float>(), down = delta.to_host<float>();
    for (size_t i = 0; i < moved.size(); i++) moved[i] -= float(step) * down[i];
    model->backend().copy(whole, Tensor::from_host<float>(model->backend(), moved, whole.shape()));
  }
  model->refresh();
  save_model(model_, *model, DType::kF32);
  expect_success(
      tenth({"score", "--model", this->model(), "--ids", in.string(), "--out", out.string(), "--mtp-weight", "1"}));
  const double after = values(SafetensorsFile(out), "loss").at(0);
  EXPECT_NEAR((before - after) / (1e-3 * std::sqrt(squares)), 1, 0.05);
}

TEST_F(Contract, OneTokenRowsHaveLogitsAndNoLoss) {
  const Path in = write_ids({2, 24, 7}, 3), out = folder_ / "out.safetensors";
  expect_success(tenth({"score", "--model", model(), "--ids", in.string(), "--out", out.string()}));
  const SafetensorsFile file(out);
  EXPECT_EQ(file.at("logits").shape, (std::vector<int64_t>{3, 1, kVocabulary}));
  EXPECT_EQ(file.at("mtp_logits").shape, (std::vector<int64_t>{3, 0, kVocabulary}));
  EXPECT_EQ(values(file, "loss").at(0), 0);
}

TEST_F(Contract, GenerateIsGreedyOverTheScores) {
  const auto generate = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"generate", "--model",          model(), "--ids",
                                          "2,24,7",   "--max-new-tokens", "6",     "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return parse_json(expect_success(tenth(arguments)), "generate");
  };
  const Json json = generate({"--ignore-eos"});
  const std::vector<int64_t> ids = json["ids"];
  const std::vector<double> logprobs = json["logprobs"];
  ASSERT_EQ(ids.size(), 6u);
  ASSERT_EQ(logprobs.size(), 6u);
  EXPECT_EQ(json["finish"], "length");
  std::vector<int64_t> all = {2, 24, 7};
  all.insert(all.end(), ids.begin(), ids.end());
  const Path in = write_ids(all, 1), out = folder_ / "out.safetensors";
  expect_success(tenth({"score", "--model", model(), "--ids", in.string(), "--out", out.string()}));
  const std::vector<double> logits = values(SafetensorsFile(out), "logits");
  for (size_t i = 0; i < 6; i++) {
    const auto row = logits.begin() + std::ptrdiff_t((i + 2) * kVocabulary);
    EXPECT_EQ(std::max_element(row, row + kVocabulary) - row, ids[i]);
    EXPECT_NEAR(logprobs[i], -surprise(logits, i + 2, ids[i]), 1e-4);
  }
  EXPECT_EQ(generate({"--ignore-eos", "--threads", "1"}), json);
  const Json speculated = generate({"--ignore-eos", "--speculate"});
  EXPECT_EQ(speculated["ids"], json["ids"]);
  EXPECT_TRUE(speculated.contains("accepted"));
  EXPECT_EQ(generate({"--temperature", "1", "--seed", "5"}), generate({"--temperature", "1", "--seed", "5"}));
  EXPECT_NE(generate({"--temperature", "1", "--seed", "5"})["ids"],
            generate({"--temperature", "1", "--seed", "6"})["ids"]);
  EXPECT_EQ(generate({"--top-k", "1", "--temperature", "1", "--ignore-eos"})["ids"], json["ids"]);
}

TEST_F(Contract, GenerateWithTextAndWithout) {
  const std::string text = expect_success(tenth(
      {"generate", "--model", model(), "--prompt", "<user>3+5=?<think>", "--max-new-tokens", "4", "--ignore-eos"}));
  EXPECT_GE(text.size(), 5u);
  EXPECT_EQ(text.back(), '\n');
  std::filesystem::remove(model_ / "tokenizer.json");
  const std::string ids =
      expect_success(tenth({"generate", "--model", model(), "--ids", "5,6", "--max-new-tokens", "3", "--ignore-eos"}));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), ','), 2);
  EXPECT_EQ(expect_success(tenth({"generate", "--model", model(), "--ids", "5", "--max-new-tokens", "0"})), "\n");
}

TEST_F(Contract, TokenizeDetokenizeRender) {
  const std::string ids = expect_success(
      tenth({"tokenize", "--model", model()}, {.input = "{\"text\": \"<user>3+57=?\"}\n\n{\"text\": \"\"}\n"}));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), '\n'), 2);
  const std::string text = expect_success(tenth({"detokenize", "--model", model()}, {.input = ids}));
  EXPECT_EQ(text, "{\"text\":\"<user>3+57=?\"}\n{\"text\":\"\"}\n");
  const std::string chat =
      R"({"messages": [{"role": "user", "content": "3+5=?"}], "kwargs": {"add_generation_prompt": true}})";
  EXPECT_EQ(expect_success(tenth({"render", "--model", model()}, {.input = chat})),
            "{\"text\":\"<user>3+5=?<think>\"}\n");
}

TEST_F(Contract, InspectSaysWhatItIs) {
  const std::string folder = expect_success(tenth({"inspect", model()}));
  for (const char* part : {"deepseek_v3", "vocabulary 121", "4 routed experts", "multi-token prediction",
                           "parameters:", "FLOPs", "tokenizer: 121 tokens"})
    EXPECT_NE(folder.find(part), std::string::npos) << part;
  const std::string file = expect_success(tenth({"inspect", (model_ / "model.safetensors").string()}));
  EXPECT_NE(file.find("lm_head.weight"), std::string::npos);
  EXPECT_NE(file.find("(121, 32)"), std::string::npos);
}

// A model that has learned to answer 7 to everything, asked for 7 and for 8.
TEST_F(Contract, EvalGradesAndKeepsTranscripts) {
  std::string problems, questions;
  for (int i = 10; i < 60; i++) problems += fmt::format("{{\"question\": \"{}+{}=?\", \"answer\": \"7\"}}\n", i, i % 7);
  write_file(folder_ / "sevens.jsonl", problems);
  const Path run = folder_ / "run";
  // (The options of the sums are unknown to this task.)
  std::string recipe = kTinyRecipe;
  const size_t begin = recipe.find("[task]"), end = recipe.find("[model]");
  recipe.replace(begin, end - begin,
                 fmt::format("[task]\nname = \"jsonl\"\nfile = \"{}\"\n", (folder_ / "sevens.jsonl").string()));
  write_file(folder_ / "sevens.toml", recipe);
  expect_success(tenth({"train", (folder_ / "sevens.toml").string(), "--out", run.string(), "--set", "train.steps=0",
                        "--set", "sft.steps=25", "--set", "rl.steps=0"}));
  for (int i = 10; i < 18; i++)
    questions += fmt::format("{{\"question\": \"{}+1=?\", \"answer\": {}}}\n", i, i % 4 == 0 ? "\"8\"" : "7");
  write_file(folder_ / "q.jsonl", questions);
  const Path transcripts = folder_ / "t.jsonl";
  const std::vector<std::string> eval = {
      "eval", "--model", (run / "model").string(), "--problems", (folder_ / "q.jsonl").string(), "--max-new-tokens",
      "20"};
  std::vector<std::string> arguments = eval;
  for (const char* more : {"--json", "--samples", "2", "--out"}) arguments.push_back(more);
  arguments.push_back(transcripts.string());
  const Json json = parse_json(expect_success(tenth(arguments)), "eval");
  EXPECT_EQ(json["problems"], 8);
  EXPECT_EQ(json["accuracy"], 0.75);
  EXPECT_NEAR(json["standard_error"], std::sqrt(0.75 * 0.25 / 8), 1e-12);
  EXPECT_EQ(json["truncated"], 0);
  EXPECT_EQ(json["mean_length"], 5);  // </think><answer>7</answer><eos>
  const std::string text = read_file(transcripts);
  ASSERT_EQ(std::count(text.begin(), text.end(), '\n'), 16);
  const Json first = parse_json(text.substr(0, text.find('\n')), "transcript");
  EXPECT_EQ(first["question"], "10+1=?");
  EXPECT_EQ(first["answer"], "7");
  EXPECT_EQ(first["completion"], "</think><answer>7</answer>");
  EXPECT_EQ(first["right"], true);
  EXPECT_NE(expect_success(tenth(eval)).find("accuracy 75.0 %"), std::string::npos);
  // The same questions through the chat.
  const std::string chat = expect_success(
      tenth({"chat", "--model", (run / "model").string(), "--max-new-tokens", "20"}, {.input = "10+1=?\n11+1=?\n"}));
  EXPECT_EQ(chat, "<think></think><answer>7</answer>\n<think></think><answer>7</answer>\n");
}

}  // namespace
}  // namespace tenth::testing
