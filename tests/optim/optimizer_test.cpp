#include "optim/optimizer.h"

#include <unistd.h>

#include <map>

#include "checkpoint/safetensors.h"
#include "optim_util.h"

namespace tenth {
namespace {

using testing::all_values;
using testing::named;
using testing::Role;
using testing::small_model;
using testing::values_of;
using Kind = OptimizerOptions::Kind;

constexpr Kind kKinds[] = {Kind::kMuon, Kind::kAdamW};

class OptimizerOn : public testing::OnBackend {
 protected:
  static OptimizerOptions options(Kind kind) { return {.kind = kind, .weight_decay = 0.1}; }
  static void train(ParameterList& list, Optimizer& optimizer, int64_t from, int64_t to) {
    for (int64_t n = from; n < to; n++) {
      testing::set_gradients(list, n);
      optimizer.step(1.0 / double(n + 1), clip_factor(global_norm(list.parameters()), 1.0));
    }
  }
};

TEST_P(OptimizerOn, SameBitsForAnyNumberOfThreads) {
  for (Kind kind : kKinds) {
    std::vector<testing::Values> results;
    for (int threads : {1, 2, 4}) {
      const testing::ThreadCount count(threads);
      ParameterList list = small_model(backend());
      Optimizer optimizer(list.parameters(), options(kind));
      train(list, optimizer, 0, 3);
      results.push_back(all_values(list));
    }
    testing::expect_same_bits(results[1], results[0], "2 threads");
    testing::expect_same_bits(results[2], results[0], "4 threads");
  }
}

TEST_P(OptimizerOn, ContinuesFromASavedStateToTheSameBits) {
  for (Kind kind : kKinds) {
    const Path file =
        Path(::testing::TempDir()) / fmt::format("optim_state_{}_{}_{}", GetParam(), int(kind), ::getpid());
    ParameterList whole = small_model(backend()), stopped = small_model(backend());
    Optimizer uninterrupted(whole.parameters(), options(kind));
    train(whole, uninterrupted, 0, 6);
    int64_t steps = 0;
    {
      Optimizer first(stopped.parameters(), options(kind));
      train(stopped, first, 0, 3);
      std::vector<TensorToWrite> tensors;
      for (const auto& [name, tensor] : first.state()) tensors.push_back({.name = name, .tensor = tensor});
      write_safetensors(file, tensors);
      steps = first.steps();
    }
    Optimizer second(stopped.parameters(), options(kind));
    const SafetensorsFile saved(file);
    EXPECT_EQ(saved.tensors().size(), second.state().size());
    for (const auto& [name, tensor] : second.state()) saved.load_into(name, tensor);
    second.set_steps(steps);
    train(stopped, second, 3, 6);
    testing::expect_same_bits(all_values(stopped), all_values(whole), "weights");
    for (size_t i = 0; i < second.state().size(); i++)
      testing::expect_same_bits(values_of(second.state()[i].tensor), values_of(uninterrupted.state()[i].tensor),
                                second.state()[i].name);
    std::filesystem::remove(file);
  }
}

TEST_P(OptimizerOn, NamesItsStateAfterTheParameters) {
  ParameterList list = small_model(backend());
  std::map<std::string, Shape> muon, adamw;
  for (const auto& [name, tensor] : Optimizer(list.parameters(), options(Kind::kMuon)).state())
    EXPECT_TRUE(muon.emplace(name, tensor.shape()).second) << name;
  for (const auto& [name, tensor] : Optimizer(list.parameters(), options(Kind::kAdamW)).state())
    EXPECT_TRUE(adamw.emplace(name, tensor.shape()).second) << name;
  EXPECT_EQ(muon.at("experts.3.up_proj.weight.momentum"), Shape({16, 24}));
  EXPECT_EQ(muon.at("experts.0.down_proj.weight.momentum"), Shape({24, 16}));
  for (const char* name : {"embed.weight", "norm.weight", "gate.weight"}) {
    EXPECT_TRUE(muon.contains(std::string(name) + ".exp_avg")) << name;
    EXPECT_TRUE(muon.contains(std::string(name) + ".exp_avg_sq")) << name;
  }
  EXPECT_EQ(muon.size(), 2u + 12 + 2 + 2 * 3);
  EXPECT_EQ(adamw.at("experts.3.up_proj.weight.exp_avg_sq"), Shape({16, 24}));
  EXPECT_EQ(adamw.size(), 2u * (2 + 12 + 2 + 3));
}

// A stack of experts moves as its experts would, each a weight of its own.
TEST_P(OptimizerOn, EveryExpertIsItsOwnMatrix) {
  for (Kind kind : kKinds) {
    ParameterList stacked = small_model(backend()), single(backend(), DType::kF32);
    for (const Parameter& p : stacked.parameters()) {
      const WeightPtr w = single.add(p.name, p.shape(), p.role);
      backend().copy(w->value, p.value());
      w->grad = Tensor::make(backend(), DType::kF32, p.shape());
      backend().copy(w->grad, p.grad());
    }
    Optimizer one(stacked.parameters(), options(kind)), other(single.parameters(), options(kind));
    for (int n = 0; n < 3; n++) one.step(), other.step();
    testing::expect_same_bits(all_values(stacked), all_values(single), "weights");
  }
}

TEST_P(OptimizerOn, NeverTouchesBuffersNorUntrainedWeights) {
  for (Kind kind : kKinds) {
    ParameterList list = small_model(backend());
    named(list, "q_proj.weight").weight->grad = Tensor();
    named(list, "norm.weight").weight->grad = Tensor();
    std::map<std::string, testing::Values> before;
    for (const Parameter& p : list.parameters()) before[p.name] = values_of(p.value());
    Optimizer optimizer(list.parameters(), options(kind));
    optimizer.step();
    for (const Parameter& p : list.parameters()) {
      const bool fixed = p.name == "gate.bias" || p.name == "q_proj.weight" || p.name == "norm.weight";
      EXPECT_EQ(values_of(p.value()) == before[p.name], fixed) << p.name;
    }
  }
}

TEST_P(OptimizerOn, DecaysMatricesEmbeddingsAndRoutersOnly) {
  for (Kind kind : kKinds) {
    ParameterList list = small_model(backend());
    std::map<std::string, testing::Values> before;
    for (const Parameter& p : list.parameters()) {
      before[p.name] = values_of(p.value());
      backend().fill(p.weight->grad, 0);
    }
    Optimizer optimizer(list.parameters(), {.kind = kind, .lr = 0.5, .adam_lr = 0.25, .weight_decay = 0.1});
    optimizer.step();
    for (const Parameter& p : list.parameters()) {
      const bool decays = p.role != Role::kVector && p.role != Role::kBuffer;
      const double rate = kind == Kind::kMuon && p.role == Role::kMatrix ? 0.5 : 0.25;
      testing::Values want = before[p.name];
      for (double& w : want) w *= decays ? 1 - rate * 0.1 : 1;
      testing::expect_close(values_of(p.value()), want, 1e-6, 0, p.name);
    }
  }
}

// From zero moments, |delta| = lr / (1 + eps / |g|): the rate itself, whatever the gradient.
TEST_P(OptimizerOn, TheFirstStepOfAdamWIsTheLearningRate) {
  ParameterList list = small_model(backend());
  const testing::Values before = values_of(named(list, "embed.weight").value());
  Optimizer optimizer(list.parameters(), {.kind = Kind::kAdamW, .adam_lr = 0.02});
  optimizer.step(0.5);
  const testing::Values after = values_of(named(list, "embed.weight").value());
  const testing::Values gradient = values_of(named(list, "embed.weight").grad());
  for (size_t i = 0; i < before.size(); i++)
    ASSERT_NEAR(after[i] - before[i], gradient[i] > 0 ? -0.01 : 0.01, 1e-5) << i << " gradient " << gradient[i];
}

TEST_P(OptimizerOn, NormCountsEveryWeightOnceAndNoBuffer) {
  ParameterList list = small_model(backend());
  double sum = 0;
  for (const Parameter& p : list.parameters())
    for (double g : values_of(p.grad())) sum += p.role == Role::kBuffer ? 0 : g * g;
  EXPECT_NEAR(global_norm(list.parameters()), std::sqrt(sum), 1e-6 * std::sqrt(sum));
}

TEST_P(OptimizerOn, RefusesBrokenGradientsBeforeAnythingMoves) {
  ParameterList list = small_model(backend());
  const testing::Values before = all_values(list);
  Optimizer optimizer(list.parameters(), options(Kind::kMuon));
  testing::write(named(list, "norm.weight").grad(), 3, testing::kNaN);
  EXPECT_THROW(clip_factor(global_norm(list.parameters()), 1.0), Error);
  EXPECT_THROW(optimizer.step(testing::kNaN, 1), Error);
  EXPECT_THROW(optimizer.step(1, testing::kInfinity), Error);
  EXPECT_EQ(optimizer.steps(), 0);
  testing::expect_same_bits(all_values(list), before, "weights");
}

TEST_P(OptimizerOn, AsksTheSystemForNoMemoryOnceWarm) {
  for (Kind kind : kKinds) {
    ParameterList list = small_model(backend());
    Optimizer optimizer(list.parameters(), options(kind));
    optimizer.step();
    const size_t before = backend().pool_statistics().system_allocations;
    for (int n = 0; n < 3; n++) optimizer.step();
    EXPECT_EQ(backend().pool_statistics().system_allocations, before);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, OptimizerOn, ::testing::Values("reference", "cpu"), testing::backend_name);

TEST(ClipFactor, IsTheOneOfPyTorch) {
  EXPECT_EQ(clip_factor(0, 1), 1);
  EXPECT_EQ(clip_factor(0.5, 1), 1);
  EXPECT_DOUBLE_EQ(clip_factor(4, 1), 1 / (4 + 1e-6));
  EXPECT_THROW(clip_factor(testing::kInfinity, 1), Error);
  EXPECT_THROW(clip_factor(testing::kNaN, 1), Error);
}

TEST(OptimizerOptions, NamesWhatIsOutOfRange) {
  const auto message = [](const OptimizerOptions& options) -> std::string {
    try {
      Optimizer({}, options);
    } catch (const Error& error) {
      return error.kind() == ErrorKind::kInput ? error.what() : "another kind";
    }
    return "";
  };
  EXPECT_EQ(message({}), "");
  EXPECT_EQ(message({.beta2 = 1}), "optimizer: beta2 is 1, expected a number in [0, 1)");
  EXPECT_EQ(message({.lr = -1}), "optimizer: lr is -1, expected a finite number of at least 0");
  EXPECT_EQ(message({.eps = 0}), "optimizer: eps is 0, expected a finite number above 0");
  EXPECT_EQ(message({.momentum = testing::kNaN}), "optimizer: momentum is nan, expected a number in [0, 1)");
}

}  // namespace
}  // namespace tenth
