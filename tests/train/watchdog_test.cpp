// Numbers that went wrong reach nothing, and what they came from is kept.
#include "train/watchdog.h"

#include <unistd.h>

#include <cmath>
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "base/interrupt.h"
#include "checkpoint/safetensors.h"
#include "stage_util.h"

namespace tenth::testing {
namespace {

TEST(NormWatch, JudgesByTheMedianOfTheLastHundred) {
  NormWatch watch(10, {});
  for (int i = 0; i < 49; i++) watch.add(1);
  watch.check(1e6);  // not enough of them to judge
  watch.add(1000);   // one outlier moves no median
  watch.check(10);
  EXPECT_NE(error_of([&] { watch.check(10.1); }).find("10.1 times the median of the last 50"), std::string::npos);
  watch.add(std::nan(""));
  for (int i = 0; i < 100; i++) watch.add(3);
  watch.check(30);
  EXPECT_THROW(watch.check(31), Error);
  for (const double bad : {std::nan(""), double(INFINITY)}) {
    EXPECT_THROW(watch.check(bad), Error);
    EXPECT_THROW(NormWatch().check(bad), Error);
  }
  NormWatch().check(1e300);
  const std::vector<double> history(70, 2.0);
  EXPECT_THROW(NormWatch(10, history).check(21), Error);
  EXPECT_NO_THROW(NormWatch(0, history).check(21));
}

TEST(SkippedSteps, Lists) {
  const SkippedSteps steps("7,10-12", "x");
  for (const int64_t step : {7, 10, 11, 12}) EXPECT_TRUE(steps.contains(step)) << step;
  for (const int64_t step : {0, 6, 8, 9, 13}) EXPECT_FALSE(steps.contains(step)) << step;
  EXPECT_FALSE(SkippedSteps("", "x").contains(1));
  for (const char* text : {",", "7,", "a", "0", "-1", "3-2", "3-", "7;8", "7-9-11", "99999999999999999999", " 7"})
    EXPECT_TRUE(error_of([&] { SkippedSteps(text, "--set: train.skip_steps"); }).starts_with("--set: train.skip_steps"))
        << text;
}

class SomeBatches : public Dataset {
 public:
  Examples batch(int64_t index) const override { return some_examples(2, uint64_t(index), 1); }
};

// Writes a number that is none into a result of the loss or of a backward, once.
class PoisonBackend : public CpuBackend {
 public:
  int64_t calls = 0, poison_at = -1;
  float poison = std::nanf("");
  Rng rng{1};

  void logprobs_forward(const Tensor& logprobs, const Tensor& lse, const Tensor& entropy, const Tensor& logits,
                        const Tensor& targets) override {
    CpuBackend::logprobs_forward(logprobs, lse, entropy, logits, targets);
    spoil(logprobs);
  }
  void linear_backward_weight(const Tensor& dw, const Tensor& dbias, const Tensor& dy, const Tensor& x,
                              const Tensor& offsets, bool assign) override {
    CpuBackend::linear_backward_weight(dw, dbias, dy, x, offsets, assign);
    spoil(dw);
  }
  void linear_backward_input(const Tensor& dx, const Tensor& dy, const Tensor& w, const Tensor& offsets,
                             bool assign) override {
    CpuBackend::linear_backward_input(dx, dy, w, offsets, assign);
    spoil(dx);
  }
  void embedding_backward(const Tensor& dw, const Tensor& dy, const Tensor& ids) override {
    CpuBackend::embedding_backward(dw, dy, ids);
    spoil(dw);
  }
  void rms_norm_backward(const Tensor& dx, const Tensor& dw, const Tensor& dy, const Tensor& dresidual, const Tensor& x,
                         const Tensor& rstd, const Tensor& w) override {
    CpuBackend::rms_norm_backward(dx, dw, dy, dresidual, x, rstd, w);
    spoil(dw);
  }

 private:
  void spoil(const Tensor& t) {
    if (calls++ != poison_at || t.count() == 0) return;
    Tensor row = t;
    while (row.rank() > 1) row = row[int64_t(rng.below(uint64_t(row.dim(0))))];
    row.data<float>()[rng.below(uint64_t(row.count()))] = poison;
  }
};

struct PoisonRun {
  TempFolder folder;
  MetricsWriter metrics{folder.path()};
  PoisonBackend backend;
  std::unique_ptr<Transformer> model;

  explicit PoisonRun(const Recipe& recipe) {
    model = std::make_unique<Transformer>(model_config(recipe, tiny_tokenizer()), backend, DType::kF32);
    initialize(*model, 1, 0.5);
  }
  void run(const StageSettings& settings, CheckpointPolicy policy = {}) {
    run_stage(*model, SomeBatches(), settings, {.run_dir = folder.path(), .metrics = metrics, .checkpoint = policy});
  }
};

// 200 of them, at random calls of the third step. Weights, optimizer and step are those of the run without.
TEST(Watchdog, NoBadNumberReachesTheState) {
  watch_interrupts();
  const Recipe recipe =
      tiny_recipe({"model.hidden_size=16", "model.num_hidden_layers=2", "model.intermediate_size=16", "train.steps=3"});
  const StageSettings settings = stage_settings(recipe, "train");
  PoisonRun clean(recipe);
  clean.run(settings, {.every = 1, .keep = 3});
  const std::string expected = state_of(checkpoint_folder(clean.folder.path(), {"train", 2}));
  const int64_t calls = clean.backend.calls / 3;
  EXPECT_GT(calls, 30);
  Rng rng(7);
  for (int i = 0; i < 200; i++) {
    PoisonRun run(recipe);
    run.backend.rng = Rng(uint64_t(i));
    run.backend.poison_at = 2 * calls + int64_t(rng.below(uint64_t(calls)));
    run.backend.poison = i % 3 ? std::nanf("") : i % 2 ? INFINITY : -INFINITY;
    SCOPED_TRACE(fmt::format("{} at call {}", run.backend.poison, run.backend.poison_at));
    const std::string message = error_of([&] { run.run(settings); });
    ASSERT_TRUE(message.starts_with("train step 3: the ")) << message;
    for (const char* part : {"no weight was changed by it", "bad_batch_train_3.safetensors", "the state before it is",
                             "--resume --set train.skip_steps=3", "optim.lr"})
      ASSERT_NE(message.find(part), std::string::npos) << message;
    ASSERT_EQ(state_of(newest_checkpoint(run.folder.path()).folder), expected);
    const TrainerState after = copy_state(*run.model, Optimizer(run.model->parameters(), settings.optimizer), {});
    for (const TensorToWrite& each : after.model.tensors)
      ASSERT_TRUE(std::isfinite(run.backend.sum_of_squares(each.tensor))) << each.name;
  }
}

TEST(Watchdog, KeepsTheBatchAndGoesOnWithoutIt) {
  watch_interrupts();
  const Recipe recipe = tiny_recipe({"train.steps=4", "train.accumulate=2"});
  const StageSettings settings = stage_settings(recipe, "train");
  PoisonRun run(recipe);
  run.run(stage_settings(tiny_recipe({"train.steps=1", "train.accumulate=2"}), "train"));
  const int64_t calls = run.backend.calls;
  PoisonRun bad(recipe);
  bad.backend.poison_at = calls + calls / 2;
  EXPECT_TRUE(error_of([&] { bad.run(settings); }).starts_with("train step 2: "));
  const SafetensorsFile file(bad.folder / "bad_batch_train_2.safetensors");
  const Examples first = some_examples(2, 2), second = some_examples(2, 3);
  const auto ids = file.load("ids", get_backend("cpu"), DType::kI32).to_host<int32_t>();
  EXPECT_TRUE(std::equal(first.ids.begin(), first.ids.end(), ids.begin()));
  EXPECT_TRUE(std::equal(second.ids.begin(), second.ids.end(), ids.begin() + std::ssize(first.ids)));
  EXPECT_EQ(ids.size(), first.ids.size() + second.ids.size());
  EXPECT_EQ(file.load("lengths", get_backend("cpu"), DType::kI32).to_host<int32_t>(),
            (std::vector<int32_t>{12, 12, 12, 12}));
  EXPECT_EQ(file.load("batch_sequences", get_backend("cpu"), DType::kI32).to_host<int32_t>(),
            (std::vector<int32_t>{2, 2}));
  EXPECT_EQ(file.at("scored").bytes.size(), ids.size());

  bad.backend.poison_at = -1;
  const Checkpoint saved = newest_checkpoint(bad.folder.path());
  EXPECT_EQ(saved.progress.step, 1);
  bad.model = load_model(saved.folder, bad.backend, DType::kF32);
  RunContext context{.run_dir = bad.folder.path(), .metrics = bad.metrics, .resume = saved};
  context.skip = SkippedSteps("2", "x");
  run_stage(*bad.model, SomeBatches(), settings, context);
  EXPECT_EQ(bad.metrics.series("train", "loss").steps, (std::vector<double>{1, 3, 4}));
  EXPECT_EQ(bad.metrics.series("train", "skipped").steps, (std::vector<double>{2}));
  EXPECT_EQ(newest_checkpoint(bad.folder.path()).progress.step, 4);
}

// A gradient far above its history stops the run too; the history outlives a resumed part.
TEST(Watchdog, ASpikeStopsBeforeTheWeights) {
  watch_interrupts();
  const Recipe recipe = tiny_recipe({"train.steps=80", "model.hidden_size=16"});
  const StageSettings settings = stage_settings(recipe, "train");
  PoisonRun run(recipe);
  run.run(stage_settings(tiny_recipe({"train.steps=1", "model.hidden_size=16"}), "train"));
  const int64_t calls = run.backend.calls;
  PoisonRun bad(recipe);
  bad.backend.poison_at = 60 * calls + calls - 1;
  bad.backend.poison = 1e5f;
  RunContext context{.run_dir = bad.folder.path(), .metrics = bad.metrics, .stop_at = 55, .spike_factor = 300};
  EXPECT_TRUE(error_of([&] { run_stage(*bad.model, SomeBatches(), settings, context); }).starts_with("stopped after"));
  context.stop_at.reset();
  context.resume = newest_checkpoint(bad.folder.path());
  const std::string message = error_of([&] { run_stage(*bad.model, SomeBatches(), settings, context); });
  EXPECT_TRUE(message.starts_with("train step 61: the gradient's norm is 1e+05")) << message;
  EXPECT_NE(message.find("times the median of the last 60 steps"), std::string::npos) << message;
  EXPECT_EQ(newest_checkpoint(bad.folder.path()).progress.step, 60);
}

TEST(Heartbeat, IsReplacedAtMostOnceASecond) {
  TempFolder folder;
  Heartbeat heart(folder.path());
  heart.beat("train", 1);
  heart.beat("train", 2);
  const Json json = read_json(Heartbeat::file(folder.path()));
  EXPECT_EQ(json["stage"], "train");
  EXPECT_EQ(json["step"], 1);
  EXPECT_EQ(json["pid"], ::getpid());
  EXPECT_GT(json["time"], 1e9);
  Heartbeat("/proc/nowhere").beat("train", 1);
}

}  // namespace
}  // namespace tenth::testing
