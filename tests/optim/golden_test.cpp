// Replays the recorded gradients of golden/optimizers through the optimizer and compares every weight after every step.
#include "base/json.h"
#include "checkpoint/safetensors.h"
#include "optim_util.h"
#include "shared.h"

namespace tenth {
namespace {

using testing::Role;
using testing::values_of;

// The settings as the manifest tells them, in words. Rates come with each step: peak rates are 1.
OptimizerOptions options_of(const std::string& settings) {
  const auto says = [&](const char* text) { return settings.find(text) != std::string::npos; };
  OptimizerOptions options{.lr = 1, .adam_lr = 1, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0};
  if (says("torch.optim.AdamW")) {
    options.kind = OptimizerOptions::Kind::kAdamW;
  } else if (says("Muon")) {
    options.kind = OptimizerOptions::Kind::kMuon;
    options.muon_products = DType::kF32;  // the traces are
  } else {
    fail(ErrorKind::kInput, "golden/optimizers: which optimizer is \"{}\"?", settings);
  }
  if (says("wd 0.1") || says("weight_decay=0.1")) options.weight_decay = 0.1;
  if (says("match_rms_adamw")) options.scale = MuonScale::kMatchRmsAdamW;
  return options;
}

double largest_error(const testing::Values& got, const testing::Values& want) {
  double error = 0, largest = 0;
  for (size_t i = 0; i < want.size(); i++) {
    error = std::isfinite(got[i]) ? std::max(error, std::fabs(got[i] - want[i])) : testing::kInfinity;
    largest = std::max(largest, std::fabs(want[i]));
  }
  return error / largest;
}

// The largest error after any step, relative to the largest weight.
double replay(Backend& backend, const SafetensorsFile& file, const std::string& settings) {
  ParameterList list(backend, DType::kF32);
  for (int k = 0; file.find(fmt::format("w{}.step0", k)); k++) {
    const Tensor start = file.load(fmt::format("w{}.step0", k), backend, DType::kF32);
    const WeightPtr weight = list.add(fmt::format("w{}", k), start.shape(), Role::kMatrix);
    backend.copy(weight->value, start);
    weight->grad = Tensor::make(backend, DType::kF32, start.shape());
  }
  const bool clips = settings.find("clip_grad_norm_(1.0)") != std::string::npos;
  const testing::Values rates = values_of(file.load("lr", backend, DType::kF64));
  const Tensor norms = clips ? file.load("grad_norm_before_clip", backend, DType::kF32) : Tensor();

  Optimizer optimizer(list.parameters(), options_of(settings));
  double worst = 0;
  for (size_t step = 1; step <= rates.size(); step++) {
    for (const Parameter& p : list.parameters()) file.load_into(fmt::format("{}.grad{}", p.name, step), p.grad());
    const double norm = global_norm(list.parameters());
    if (clips) {
      EXPECT_NEAR(norm, testing::read(norms, int64_t(step) - 1), 1e-6 * norm) << "gradient norm of step " << step;
    }
    optimizer.step(rates[step - 1], clips ? clip_factor(norm, 1.0) : 1.0);
    for (const Parameter& p : list.parameters()) {
      const Tensor want = file.load(fmt::format("{}.step{}", p.name, step), backend, DType::kF32);
      worst = std::max(worst, largest_error(values_of(p.value()), values_of(want)));
    }
  }
  return worst;
}

class OptimizerGolden : public testing::OnBackend {};

TEST_P(OptimizerGolden, EveryTraceOfTheFolder) {
  TENTH_NEEDS_SHARED();
  const Path folder = shared_folder() / "golden/optimizers";
  const Json manifest = read_json(folder / "manifest.json");
  ASSERT_FALSE(manifest.at("traces").empty());
  for (const auto& [name, entry] : manifest.at("traces").items()) {
    SCOPED_TRACE(name);
    const SafetensorsFile file(folder / (name + ".safetensors"));
    const double tolerance = entry.at("suggested_rel_tolerance_replay");
    const double error = replay(backend(), file, entry.at("settings"));
    fmt::print("{}: {} error {:.1e}, tolerance {:.1e}\n", GetParam(), name, error, tolerance);
    EXPECT_LE(error, tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, OptimizerGolden, ::testing::Values("reference", "cpu"), testing::backend_name);

}  // namespace
}  // namespace tenth
