#include "optim/schedule.h"

#include "base/json.h"
#include "checkpoint/safetensors.h"
#include "shared.h"
#include "tensor_util.h"

namespace tenth {
namespace {

using Kind = Schedule::Kind;
using Decay = Schedule::Decay;

// The number behind a word of a table's name: number("cosine_warmup10_total100", "total") = 100; 0 without the word.
double number(const std::string& name, const std::string& word) {
  const size_t at = name.find(word);
  return at == std::string::npos ? 0 : std::stod(name.substr(at + word.size()));
}

Schedule schedule_of(const std::string& name) {
  Schedule s{.total = int64_t(number(name, "total")), .warmup = int64_t(number(name, "warmup"))};
  if (name.starts_with("wsd")) {
    const double decay = number(name, "decay");
    s.kind = Kind::kWsd;
    s.total = s.warmup + int64_t(number(name, "stable")) + int64_t(decay);
    s.decay_share = decay / double(s.total);
    s.min_share = number(name, "min");
    s.decay = name.find("_linear") != std::string::npos   ? Decay::kLinear
              : name.find("_cosine") != std::string::npos ? Decay::kCosine
                                                          : Decay::kOneMinusSqrt;
  } else {
    s.kind = name.starts_with("linear") ? Kind::kLinear : Kind::kCosine;
  }
  return s;
}

TEST(Schedule, EqualsTheTablesOfTransformers) {
  TENTH_NEEDS_SHARED();
  const Json file = read_json(shared_folder() / "golden/optimizers/lr_schedules.json");
  ASSERT_FALSE(file.at("tables").empty());
  for (const auto& [name, table] : file.at("tables").items()) {
    const Schedule schedule = schedule_of(name);
    for (size_t step = 0; step < table.size(); step++)
      ASSERT_NEAR(learning_rate_factor(schedule, int64_t(step)), table[step].get<double>(), 1e-12)
          << name << " at step " << step;
  }
}

TEST(Schedule, GivesTheRatesOfARecordedTraining) {
  TENTH_NEEDS_SHARED();
  const SafetensorsFile file(shared_folder() / "golden/optimizers/adamw_clip_cosine.safetensors");
  HostDevice host;
  const Tensor rates = file.load("lr", host, DType::kF64);
  const Schedule schedule{.kind = Kind::kCosine, .total = rates.count(), .warmup = 5};
  for (int64_t step = 0; step < rates.count(); step++)
    EXPECT_NEAR(0.003 * learning_rate_factor(schedule, step), testing::read(rates, step), 1e-15) << step;
}

TEST(Schedule, StaysBetweenItsMinimumAndThePeak) {
  for (Kind kind : {Kind::kConstant, Kind::kLinear, Kind::kCosine, Kind::kWsd})
    for (int64_t total : {0, 1, 7, 100})
      for (int64_t warmup : {0, 1, 10})
        for (int64_t step = 0; step <= total; step++) {
          const double factor = learning_rate_factor({kind, total, warmup, 0.1, 0.95}, step);
          EXPECT_GE(factor, 0.1 - 1e-15);
          EXPECT_LE(factor, 1.0);
          if (kind == Kind::kConstant && step >= warmup) {
            EXPECT_EQ(factor, 1.0);
          }
        }
}

TEST(Schedule, WsdFallsInItsLastSteps) {
  const Schedule s{.kind = Kind::kWsd, .total = 100, .warmup = 10, .min_share = 0.1, .decay_share = 0.2};
  EXPECT_EQ(learning_rate_factor(s, 10), 1);
  EXPECT_EQ(learning_rate_factor(s, 80), 1);
  EXPECT_NEAR(learning_rate_factor(s, 90), 0.55, 1e-15);
  EXPECT_NEAR(learning_rate_factor(s, 100), 0.1, 1e-15);
}

TEST(Schedule, WsdDecayBeginsAfterTheWarmup) {
  const Schedule s{.kind = Kind::kWsd, .total = 10, .warmup = 6, .decay_share = 1};
  EXPECT_EQ(learning_rate_factor(s, 6), 1);
  EXPECT_NEAR(learning_rate_factor(s, 8), 0.5, 1e-15);
}

}  // namespace
}  // namespace tenth
