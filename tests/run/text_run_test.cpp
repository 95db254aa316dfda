// Runs of recipes with text of one's own: from files to bits per byte, and to the same bits wherever they were stopped.
#include <cmath>
#include <numbers>

#include "base/file_lock.h"
#include "eval/bits_per_byte.h"
#include "run/run.h"
#include "run/text_data.h"
#include "tiny_run.h"
#include "train/loss.h"

namespace tenth::testing {
namespace {

// Sentences of a few words, so that there is something to learn.
std::string write_text(const Path& file, uint64_t seed, int documents) {
  const std::vector<std::string> words = {"the ", "cat ", "sat ", "on ", "a ", "mat. ", "Dogs ", "run — ", "fast.\n"};
  Rng rng(seed);
  std::string lines, all;
  for (int i = 0; i < documents; i++) {
    std::string text;
    for (int w = 0; w < 20 + int(rng.below(30)); w++) text += words[rng.below(words.size())];
    all += text;
    lines += Json{{"text", text}}.dump() + "\n";
  }
  write_file(file, lines);
  return all;
}

class TextRunTest : public ::testing::Test {
 protected:
  TextRunTest() {
    write_text(folder_ / "train.jsonl", 1, 60);
    validation_ = write_text(folder_ / "held_out.jsonl", 2, 6);
  }

  Recipe recipe(std::vector<std::string> overrides = {}) const {
    overrides.insert(overrides.begin(), {"train.steps=12", "train.batch_tokens=256"});
    const std::string at = folder_.path().string();
    std::string text(kTinyRecipe);
    text += fmt::format(
        "[data]\nfiles = [\"{0}/train.jsonl\"]\npath = [\"{0}/shards\"]\nvocab_size = 320\ncontext = 32\n"
        "validation_files = [\"{0}/held_out.jsonl\"]\nvalidation = \"{0}/held_out\"\n",
        at);
    return Recipe::parse(text, "text.toml", overrides);
  }
  RunSummary run(const std::string& name, bool resume = false, std::optional<int64_t> stop = {},
                 std::vector<std::string> more = {}) const {
    RunOptions options{.run_dir = folder_ / name, .recipe_file = "text.toml", .resume = resume};
    if (stop) options.stop_at = Progress{"train", *stop};
    more.push_back("train.eval_every=5");
    return run_recipe(recipe(more), options);
  }
  // Model and records of a run that was stopped and resumed, on other numbers of threads, are those of one left alone.
  void expect_same_bits(const std::vector<std::string>& more) const {
    {
      const ThreadCount one(1);
      run("whole", false, {}, more);
    }
    for (const int threads : {2, 4}) {
      const std::string name = fmt::format("cut{}", threads);
      const ThreadCount set(threads);
      EXPECT_TRUE(error_of([&] { run(name, false, 5, more); }).starts_with("stopped after train step 5;"));
      run(name, true, {}, more);
      EXPECT_EQ(read_file(folder_ / name / "model/model.safetensors"),
                read_file(folder_ / "whole/model/model.safetensors"));
      EXPECT_EQ(metrics_of(folder_ / name), metrics_of(folder_ / "whole"));
    }
  }

  TempFolder folder_;
  std::string validation_;
};

TEST_F(TextRunTest, FromFilesToBitsPerByte) {
  const RunSummary summary = run("run");
  ASSERT_TRUE(summary.text);
  EXPECT_EQ(summary.text->bytes, int64_t(validation_.size()));
  EXPECT_LT(summary.text->bits_per_byte, 4);  // letters alone: some 4.1
  EXPECT_NEAR(summary.text->bits_per_byte,
              summary.text->loss * double(summary.text->tokens) / std::numbers::ln2 / double(validation_.size()), 1e-9);
  EXPECT_FALSE(summary.texts.empty());
  const Json json = parse_json(read_file(folder_ / "run/summary.json"), "summary");
  EXPECT_EQ(json["bits_per_byte"], summary.text->bits_per_byte);
  const auto model = load_model(folder_ / "run/model", get_backend("cpu"), DType::kF32);
  EXPECT_EQ(Tokenizer::load(folder_ / "run/model").vocab_size(), model->config().vocab_size);
  // Scored at steps 5, 10 and 12; a measurement is not counted as a step.
  MetricsWriter metrics(folder_ / "run");
  EXPECT_EQ(metrics.series("train", "val_bpb").steps, (std::vector<double>{5, 10, 12}));
  EXPECT_EQ(summary.stages.at(0).steps, 12);
}

TEST_F(TextRunTest, StoppedAndResumedToTheSameBits) {
  run("whole");
  EXPECT_TRUE(error_of([&] { run("cut", false, 5); }).starts_with("stopped after train step 5;"));
  run("cut", true);
  EXPECT_EQ(read_file(folder_ / "cut/model/model.safetensors"), read_file(folder_ / "whole/model/model.safetensors"));
}

TEST_F(TextRunTest, ContextWarmUpResumesToTheSameBits) {
  const std::vector<std::string> warmup = {"train.context_warmup_steps=8", "train.context_warmup_from=8"};
  expect_same_bits(warmup);
  run("without");
  EXPECT_NE(metrics_of(folder_ / "without"), metrics_of(folder_ / "whole"));
}

// The whole of the FP8 mode, both kinds of scales: it learns, close to what bf16 does, and every bit can be had again.
TEST_F(TextRunTest, Fp8LearnsAndResumesToTheSameBits) {
  const RunSummary bf16 = run("bf16", false, {}, {"run.dtype=bf16"});
  for (const char* scales : {"ue8m0", "f32"}) {
    SCOPED_TRACE(scales);
    for (const char* name : {"whole", "cut2", "cut4"}) std::filesystem::remove_all(folder_ / name);
    expect_same_bits({"run.dtype=fp8", fmt::format("run.fp8_scales={}", scales)});
    const Json json = parse_json(read_file(folder_ / "whole/summary.json"), "summary");
    const double got = json["bits_per_byte"];
    EXPECT_NE(got, bf16.text->bits_per_byte);
    EXPECT_NEAR(got, bf16.text->bits_per_byte, 0.02 * bf16.text->bits_per_byte);
  }
}

TEST_F(TextRunTest, ARunHoldsItsFolder) {
  std::filesystem::create_directories(folder_ / "run");
  const auto lock = std::make_unique<FileLock>(folder_ / "run/lock");
  const std::string refused = error_of([&] { run("run"); });
  EXPECT_EQ(refused, fmt::format("{}: process {} is at work here; wait for its end, or name another folder",
                                 (folder_ / "run").string(), ::getpid()));
}

TEST_F(TextRunTest, WindowsScoreEachTokenOnceWithItsContext) {
  run("run");
  const auto model = load_model(folder_ / "run/model", get_backend("cpu"), DType::kF32);
  const Tokenizer tokenizer = Tokenizer::load(folder_ / "run/model");
  // Documents fit into rows of 512 tokens: their losses one by one are the truth.
  const TokenMixture text({.folders = {folder_ / "held_out"}, .context = 512, .shuffle = false});
  ASSERT_GE(model->config().max_position_embeddings, 64);
  double nats = 0;
  const TokenRows rows = text.rows(0, text.epoch_rows());
  size_t at = 0;
  for (const int32_t length : rows.lengths) {
    const std::span<const int32_t> ids(rows.ids.data() + at, size_t(length));
    const std::vector<int32_t> one = {length};
    const LossResult loss = loss_only(*model, all_tokens_scored(ids, one), {});
    nats += loss.loss * double(loss.tokens);
    at += size_t(length);
  }
  const TextScore score = score_text(*model, tokenizer, text, text.epoch_rows());
  EXPECT_EQ(score.bytes, int64_t(validation_.size()));
  EXPECT_NEAR(score.bits_per_byte, nats / std::numbers::ln2 / double(validation_.size()), 1e-6);
}

TEST_F(TextRunTest, WrongDataIsRefusedBeforeTheFolderIsTouched) {
  const auto refused = [&](const std::vector<std::string>& overrides) {
    return error_of([&] { run_recipe(recipe(overrides), {.run_dir = folder_ / "no", .recipe_file = "text.toml"}); });
  };
  EXPECT_NE(refused({"data.context=128"}).find("data.context: expected at most 64"), std::string::npos);
  EXPECT_NE(refused({"train.batch_tokens=16"}).find("train.batch_tokens: expected at least data.context, 32, got 16"),
            std::string::npos);
  EXPECT_NE(refused({"train.context_warmup_steps=2", "train.context_warmup_from=33"})
                .find("train.context_warmup_from: expected at most data.context, 32, got 33"),
            std::string::npos);
  EXPECT_NE(refused({"data.weights=x"}).find("data.weights: expected numbers"), std::string::npos)
      << refused({"data.weights=x"});
  EXPECT_FALSE(std::filesystem::exists(folder_ / "no"));
}

}  // namespace
}  // namespace tenth::testing
