// Options of a stage: what they do to its steps; and training in FP8.
#include "rl/task_dataset.h"
#include "stage_util.h"
#include "tensor_util.h"
#include "train/step_plan.h"

namespace tenth::testing {
namespace {

class Batches : public Dataset {
 public:
  Examples batch(int64_t index) const override {
    asked.push_back(index);
    return some_examples(2, uint64_t(index));
  }
  mutable std::vector<int64_t> asked;
};

Values weights(Transformer& model) {
  Values all;
  for (const Parameter& p : model.parameters()) {
    const Values values = values_of(p.value());
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

TEST(StepPlan, DefaultsChangeNothing) {
  const StageSettings s = settings_for({"train.steps=10", "train.accumulate=3"});
  for (int64_t step = 0; step < 10; step++) {
    EXPECT_EQ(mtp_weight_at(s, step), 0.3);
    EXPECT_EQ(bias_update_rate_at(s, step), 1e-3);
    EXPECT_EQ(batches_at(s, step), 3);
    EXPECT_EQ(batches_before(s, step), 3 * step);
  }
}

TEST(StepPlan, SwitchesAtTheirShares) {
  const StageSettings s = settings_for({"train.steps=10", "train.mtp_switch=0.7", "train.bias_update_until=0.9"});
  EXPECT_EQ(mtp_weight_at(s, 6), 0.3);
  EXPECT_EQ(mtp_weight_at(s, 7), 0.1);
  EXPECT_EQ(bias_update_rate_at(s, 8), 1e-3);
  EXPECT_EQ(bias_update_rate_at(s, 9), 0);
}

// 2, 3, 4, …: 8 (0.25 + 0.75 step / 6), then 8; every batch is used once, in order.
TEST(StepPlan, TheBatchGrows) {
  const StageSettings s = settings_for({"train.steps=9", "train.accumulate=8", "train.batch_ramp_steps=6"});
  std::vector<int64_t> sizes;
  for (int64_t step = 0; step < 9; step++) sizes.push_back(batches_at(s, step));
  EXPECT_EQ(sizes, (std::vector<int64_t>{2, 3, 4, 5, 6, 7, 8, 8, 8}));
  auto model = random_model(tiny_recipe());
  StageRun run;
  const Batches data;
  run_stage(*model, data, s, run.context);
  std::vector<int64_t> want(51);
  for (size_t i = 0; i < want.size(); i++) want[i] = int64_t(i);
  EXPECT_EQ(data.asked, want);
  EXPECT_EQ(batches_before(s, 9), 51);
}

TEST(StepPlan, TheContextGrows) {
  const StageSettings s =
      settings_for({"train.steps=9", "data.context=32", "train.context_warmup_steps=4", "train.context_warmup_from=8"});
  std::vector<int64_t> contexts;
  for (int64_t step = 0; step < 9; step++) contexts.push_back(context_at(s, step));
  EXPECT_EQ(contexts, (std::vector<int64_t>{8, 14, 20, 26, 0, 0, 0, 0, 0}));
  EXPECT_EQ(context_at(settings_for({}), 0), 0);
}

// Every token stays, in its place; a part sees nothing of the one before, not even as the first target.
TEST(Tricks, SequencesAreCutWithoutLosingATokenOfThem) {
  Examples examples;
  for (const int32_t length : {7, 3, 1, 6}) {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < length; i++) ids.push_back(10 * length + i);
    examples.add(ids, length == 6 ? 3 : 0);
  }
  const std::vector<int32_t> ids = examples.ids;
  cut_sequences(examples, 3);
  EXPECT_EQ(examples.ids, ids);
  EXPECT_EQ(examples.lengths, (std::vector<int32_t>{3, 3, 1, 3, 1, 3, 3}));
  EXPECT_EQ(targets_at(examples, 1),
            (std::vector<int32_t>{71, 72, -1, 74, 75, -1, -1, 31, 32, -1, -1, -1, -1, -1, 64, 65, -1}));
  const Examples once = examples;
  cut_sequences(examples, 3);
  EXPECT_EQ(examples.lengths, once.lengths);
  EXPECT_EQ(examples.scored, once.scored);
}

// As many tokens a step as without, from the same batches, and shorter sequences at first.
TEST(Tricks, ContextWarmUpKeepsTheTokensOfAStep) {
  auto model = random_model(tiny_recipe());
  StageRun run;
  const Batches data;
  run_stage(
      *model, data,
      settings_for({"train.steps=3", "data.context=12", "train.context_warmup_steps=2", "train.context_warmup_from=4"}),
      run.context);
  EXPECT_EQ(data.asked, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(run.metrics.series("train", "tokens").values, (std::vector<double>{24, 24, 24}));
  const std::vector<double> flops = run.metrics.series("train", "flops").values;
  ASSERT_EQ(flops.size(), 3u);
  EXPECT_LT(flops[0], flops[1]);
  EXPECT_LT(flops[1], flops[2]);
}

TEST(Tricks, DecayShapes) {
  for (const auto& [name, shape] :
       std::vector<std::pair<std::string, Schedule::Decay>>{{"linear", Schedule::Decay::kLinear},
                                                            {"cosine", Schedule::Decay::kCosine},
                                                            {"one_minus_sqrt", Schedule::Decay::kOneMinusSqrt}})
    EXPECT_EQ(settings_for({"optim.decay_shape=" + name}).schedule.decay, shape);
  // To zero: the last step has the last rate above it.
  const StageSettings s = settings_for({"train.steps=100", "optim.schedule=wsd", "optim.min_lr_share=0",
                                        "optim.decay_share=0.5", "optim.decay_shape=one_minus_sqrt"});
  EXPECT_EQ(learning_rate_factor(s.schedule, 50), 1);
  EXPECT_GT(learning_rate_factor(s.schedule, 100), 0);
  EXPECT_EQ(learning_rate_factor(s.schedule, 101), 0);
}

TEST(Tricks, ZLossPullsTheLogSumTowardsZero) {
  const Examples examples = some_examples(4, 1);
  const auto z_after = [&](const char* weight) {
    auto model = random_model(tiny_recipe());
    StageRun run;
    run_stage(*model, Batches(), settings_for({"train.steps=25", std::string("train.z_loss=") + weight}), run.context);
    LossSettings settings{.z_weight = 1};
    return loss_only(*model, examples, settings).z_loss;
  };
  EXPECT_LT(z_after("0.1"), 0.7 * z_after("0"));
}

// The stage ends with the mean of the weights, wherever it was stopped on the way; the latest ones stand beside it.
TEST(Tricks, TheMeanIsTheResult) {
  const StageSettings s = settings_for({"train.steps=4", "train.ema_decay=0.9"});
  auto whole = random_model(tiny_recipe()), plain = random_model(tiny_recipe());
  StageRun run, plain_run;
  run_stage(*whole, Batches(), s, run.context);
  run_stage(*plain, Batches(), settings_for({"train.steps=4"}), plain_run.context);
  const Backend& backend = whole->backend();
  const auto raw = load_model(run.folder / "train_raw", const_cast<Backend&>(backend), DType::kF32);
  expect_same_bits(weights(*raw), weights(*plain), "latest weights");
  EXPECT_NE(weights(*whole), weights(*plain));

  auto stopped = random_model(tiny_recipe());
  StageRun first;
  first.context.checkpoint.every = 2;
  struct Ending : Batches {
    Examples batch(int64_t index) const override {
      require(index < 2, ErrorKind::kIo, "the power went off");
      return Batches::batch(index);
    }
  };
  EXPECT_THROW(run_stage(*stopped, Ending(), s, first.context), Error);
  first.context.resume = find_checkpoint(first.folder.path()).newest;
  ASSERT_TRUE(first.context.resume);
  ASSERT_EQ(first.context.resume->progress.step, 2);
  auto resumed = load_model(first.context.resume->folder, get_backend("cpu"), DType::kF32);
  run_stage(*resumed, Batches(), s, first.context);
  expect_same_bits(weights(*resumed), weights(*whole), "mean after a resume");
  const auto saved = load_model(find_checkpoint(first.folder.path()).newest->folder, get_backend("cpu"), DType::kF32);
  expect_same_bits(weights(*saved), weights(*whole), "mean in the checkpoint");
}

double end_of_training(ComputeType compute, const std::vector<std::string>& options) {
  std::vector<std::string> overrides = {"train.steps=120", "task.max_value=20", "task.p_direct=0.6", "task.p_chat=0.25",
                                        "task.p_equations=0.5"};
  overrides.insert(overrides.end(), options.begin(), options.end());
  const Recipe recipe = tiny_recipe(overrides);
  Transformer model(model_config(recipe, tiny_tokenizer()), get_backend("cpu"), compute);
  initialize(model, 1, 0.5);
  const auto task = make_task("chain", recipe.task_numbers());
  const Tokenizer tokenizer = tiny_tokenizer();
  const TaskDataset data(*task, tokenizer, TaskDataset::Kind::kDocuments, 1, 384);
  StageRun run;
  run_stage(model, data, stage_settings(recipe, "train"), run.context);
  const MetricSeries loss = run.metrics.series("train", "loss");
  double end = 0;
  for (size_t i = loss.values.size() - 20; i < loss.values.size(); i++) end += loss.values[i] / 20;
  return end;
}

TEST(Fp8Training, LearnsAsBf16Does) {
  const double bf16 = end_of_training(DType::kBF16, {});
  EXPECT_LT(bf16, 2.0);
  for (Fp8Scale scale : {Fp8Scale::kUe8m0, Fp8Scale::kF32}) {
    const double fp8 = end_of_training({DType::kBF16, scale}, {});
    EXPECT_NEAR(fp8, bf16, 0.03 * bf16) << "scales " << (scale == Fp8Scale::kF32 ? "f32" : "ue8m0");
    EXPECT_NE(fp8, bf16);
  }
}

TEST(Tricks, EachOptionLearns) {
  for (const char* option : {"optim.muon_variant=v4", "optim.muon_variant=polar_express", "optim.normuon=true",
                             "train.ema_decay=0.9", "train.z_loss=0.0001", "train.mtp_switch=0.5"})
    EXPECT_LT(end_of_training(DType::kF32, {option}), 2.1) << option;
}

// The forward loss of one model, in steps of the rounding.
TEST(Fp8Training, TheLossOfAModelMovesLittle) {
  const Recipe recipe = tiny_recipe();
  const Examples examples = some_examples(20, 3);
  const auto loss = [&](ComputeType compute, const char* backend) {
    Transformer model(model_config(recipe, tiny_tokenizer()), get_backend(backend), compute);
    initialize(model, 1, 0.5);
    return loss_only(model, examples, {}).loss;
  };
  const double f32 = loss(DType::kF32, "cpu");
  for (Fp8Scale scale : {Fp8Scale::kUe8m0, Fp8Scale::kF32}) {
    const double cpu = loss({DType::kBF16, scale}, "cpu"), reference = loss({DType::kBF16, scale}, "reference");
    EXPECT_NEAR(cpu, f32, 0.005 * f32);
    EXPECT_NEAR(cpu, reference, 0.001 * f32);
    EXPECT_NE(cpu, f32);
  }
}

}  // namespace
}  // namespace tenth::testing
