// The losses against TRL's (golden/rl), the numeric tests of reference/rl.md section 8, and finite differences.
#include "rl/policy_loss.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "base/rng.h"
#include "shared.h"

namespace tenth {
namespace {

using Ratio = PolicyLossConfig::Ratio;
using Reduction = PolicyLossConfig::Reduction;

std::vector<double> flat(const Json& rows) {
  std::vector<double> values;
  for (const Json& row : rows)
    for (const Json& value : row) values.push_back(value.get<double>());
  return values;
}

struct Golden {
  Json json = read_json(shared_folder() / "golden/rl/grpo_losses.json");
  std::vector<double> policy = flat(json["inputs"]["policy_logprobs"]), old = flat(json["inputs"]["old_logprobs"]),
                      reference = flat(json["inputs"]["reference_logprobs"]), rewards = json["inputs"]["rewards"];
  std::vector<uint8_t> mask;
  std::vector<int64_t> lengths;
  double tolerance = json["tolerance"];
  int group_size = json["group_size"];

  Golden() {
    for (const double value : flat(json["inputs"]["mask"])) mask.push_back(value != 0);
    lengths.assign(rewards.size(), json["length"].get<int64_t>());
  }
};

PolicyLossConfig golden_config(const Json& settings) {
  PolicyLossConfig config;
  config.ratio = settings["ratio"] == "sequence" ? Ratio::kSequence : Ratio::kToken;
  const std::string reduce = settings["reduce"];
  config.reduction = reduce == "sequence_mean" ? Reduction::kSequenceMean
                     : reduce == "token_mean"  ? Reduction::kTokenMean
                                               : Reduction::kConstant;
  config.constant_length = settings.value("constant_length", 0);
  config.advantage = settings["scale"].get<bool>() ? AdvantageScale::kSampleStd : AdvantageScale::kNone;
  config.clip_low = settings["eps_low"];
  config.clip_high = settings["eps_high"];
  config.beta = settings["beta"];
  return config;
}

TEST(PolicyLoss, EqualsTheGoldenValuesAndGradients) {
  TENTH_NEEDS_SHARED();
  const Golden golden;
  int cases = 0;
  for (const Json& entry : golden.json["cases"]) {
    SCOPED_TRACE(entry["variant"].get<std::string>() + (entry["policy_is_old"].get<bool>() ? " on-policy" : ""));
    const PolicyLossConfig config = golden_config(entry["settings"]);
    const Advantages advantages = group_advantages(golden.rewards, golden.group_size, config.advantage);
    const PolicyLoss got = policy_loss(config, {.logprobs = entry["policy_is_old"] ? golden.old : golden.policy,
                                                .old_logprobs = golden.old,
                                                .reference_logprobs = golden.reference,
                                                .row_lengths = golden.lengths,
                                                .advantages = advantages.values,
                                                .mask = golden.mask});
    EXPECT_NEAR(got.loss, entry["loss"].get<double>(), golden.tolerance);
    const std::vector<double> want = flat(entry["grad_policy_logprobs"]);
    ASSERT_EQ(got.dlogprobs.size(), want.size());
    for (size_t i = 0; i < want.size(); i++) ASSERT_NEAR(got.dlogprobs[i], want[i], golden.tolerance) << "token " << i;
    const Json& stats = entry["stats"];
    EXPECT_NEAR(got.metrics.mean_kl, stats["mean_kl"].get<double>(), golden.tolerance);
    EXPECT_NEAR(got.metrics.clip_fraction_low, stats["clip_fraction_low"].get<double>(), golden.tolerance);
    EXPECT_NEAR(got.metrics.clip_fraction_high, stats["clip_fraction_high"].get<double>(), golden.tolerance);
    cases++;
  }
  EXPECT_GE(cases, 12);
}

// The named variants carry the settings of the fixture's cases of the same name.
TEST(PolicyLoss, NamedVariantsAreTheGoldenOnes) {
  TENTH_NEEDS_SHARED();
  const Golden golden;
  int seen = 0;
  for (const Json& entry : golden.json["cases"]) {
    const std::string name = entry["variant"];
    if (name == "grpo_no_kl" || name == "gspo_wide") continue;
    const PolicyLossConfig want = golden_config(entry["settings"]), got = policy_loss_config(name);
    EXPECT_EQ(got.ratio, want.ratio) << name;
    EXPECT_EQ(got.reduction, want.reduction) << name;
    EXPECT_EQ(got.advantage, want.advantage) << name;
    EXPECT_EQ(got.clip_low, want.clip_low) << name;
    EXPECT_EQ(got.clip_high, want.clip_high) << name;
    EXPECT_EQ(got.beta, want.beta) << name;
    seen++;
  }
  EXPECT_EQ(seen, 8);
  try {
    policy_loss_config("dapoo");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean dapo?"), std::string::npos) << error.what();
  }
}

// One token with ratio rho: the objective (minus the loss) and whether a gradient is alive.
PolicyLoss one_token(double rho, double advantage, const PolicyLossConfig& config) {
  const std::vector<double> now = {std::log(rho)}, old = {0.0}, advantages = {advantage};
  const std::vector<int64_t> lengths = {1};
  return policy_loss(config, {.logprobs = now,
                              .old_logprobs = old,
                              .reference_logprobs = {},
                              .row_lengths = lengths,
                              .advantages = advantages});
}

TEST(PolicyLoss, ClippingCases) {  // reference/rl.md section 8
  const PolicyLossConfig config{.clip_low = 0.2, .clip_high = 0.2};
  struct Case {
    double rho, advantage, objective;
    bool alive;
  };
  for (const Case& c : {Case{1.5, 1, 1.2, false}, {0.5, 1, 0.5, true}, {1.5, -1, -1.5, true}, {0.5, -1, -0.8, false}}) {
    const PolicyLoss got = one_token(c.rho, c.advantage, config);
    EXPECT_NEAR(-got.loss, c.objective, 1e-12);
    EXPECT_NEAR(got.dlogprobs[0], c.alive ? -c.rho * c.advantage : 0, 1e-12);
    EXPECT_EQ(got.metrics.clip_fraction_low + got.metrics.clip_fraction_high, c.alive ? 0 : 1);
  }
}

TEST(PolicyLoss, KlEstimator) {  // section 8: ref/pi = 2 -> .3069, ref/pi = .5 -> .1931; section 1.3: gradient 1 - x
  const std::vector<int64_t> lengths = {1};
  const std::vector<double> now = {-1.0}, advantages = {0.0};
  for (const auto& [x, k] : {std::pair{2.0, 1 - std::log(2.0)}, {0.5, std::log(2.0) - 0.5}}) {
    const std::vector<double> reference = {-1.0 + std::log(x)};
    const PolicyLoss got = policy_loss({.beta = 0.1}, {.logprobs = now,
                                                       .old_logprobs = now,
                                                       .reference_logprobs = reference,
                                                       .row_lengths = lengths,
                                                       .advantages = advantages});
    EXPECT_NEAR(got.metrics.mean_kl, k, 1e-12);
    EXPECT_NEAR(got.loss, 0.1 * k, 1e-12);
    EXPECT_NEAR(got.dlogprobs[0], 0.1 * (1 - x), 1e-12);
  }
}

TEST(PolicyLoss, OffPolicyRowsAreLeftOut) {  // section 8: log(old/pi) = .2, .4, .6, delta .3
  const std::vector<double> old(3, -1.0), now = {-1.2, -1.4, -1.6};
  const std::vector<int64_t> lengths = {3};
  PolicyLossConfig config;
  config.off_policy_delta = 0.3;
  const auto with = [&](double advantage) {
    const std::vector<double> advantages = {advantage};
    return policy_loss(config, {.logprobs = now,
                                .old_logprobs = old,
                                .reference_logprobs = {},
                                .row_lengths = lengths,
                                .advantages = advantages});
  };
  EXPECT_EQ(with(-1).loss, 0);
  EXPECT_EQ(with(-1).dlogprobs, std::vector<double>(3, 0.0));
  EXPECT_EQ(with(-1).metrics.off_policy_rows, 1);
  EXPECT_NE(with(1).loss, 0);
  config.off_policy_delta = 0.5;
  EXPECT_NE(with(-1).loss, 0);
}

TEST(PolicyLoss, SequenceRatioIsTheMeanOfTheRow) {  // section 8: sum .3 over 100 tokens -> 1.0030
  const std::vector<double> old(100, -1.0), now(100, -0.997), advantages = {-1.0};
  const std::vector<int64_t> lengths = {100};
  const PolicyLoss got = policy_loss(policy_loss_config("gspo"), {.logprobs = now,
                                                                  .old_logprobs = old,
                                                                  .reference_logprobs = {},
                                                                  .row_lengths = lengths,
                                                                  .advantages = advantages});
  EXPECT_NEAR(got.metrics.mean_ratio, 1.0030, 1e-4);
  EXPECT_NEAR(got.loss, std::exp(0.003), 1e-12);
}

TEST(PolicyLoss, TokenWeights) {  // section 8: lengths 10 and 30 -> 1/40 each; by sequence 1/20 and 1/60
  const std::vector<double> logprobs(40, -1.0), advantages = {1.0, 1.0};
  const std::vector<int64_t> lengths = {10, 30};
  const auto gradient = [&](PolicyLossConfig config) {
    return policy_loss(config, {.logprobs = logprobs,
                                .old_logprobs = logprobs,
                                .reference_logprobs = {},
                                .row_lengths = lengths,
                                .advantages = advantages})
        .dlogprobs;
  };
  EXPECT_NEAR(gradient({.reduction = Reduction::kTokenMean})[0], -1 / 40.0, 1e-15);
  EXPECT_NEAR(gradient({.reduction = Reduction::kTokenMean})[39], -1 / 40.0, 1e-15);
  EXPECT_NEAR(gradient({.reduction = Reduction::kSequenceMean})[0], -1 / 20.0, 1e-15);
  EXPECT_NEAR(gradient({.reduction = Reduction::kSequenceMean})[39], -1 / 60.0, 1e-15);
  EXPECT_NEAR(gradient({.reduction = Reduction::kConstant, .constant_length = 50})[39], -1 / 100.0, 1e-15);
}

// A batch of ragged rows, with holes in the mask and ratios on both sides of the clip range.
struct Batch {
  std::vector<double> now, old, reference, advantages;
  std::vector<int64_t> lengths = {7, 0, 1, 12, 5};
  std::vector<uint8_t> mask;

  explicit Batch(uint64_t seed) {
    Rng rng(seed);
    for (const int64_t length : lengths) {
      advantages.push_back(rng.normal());
      for (int64_t t = 0; t < length; t++) {
        old.push_back(-3 * rng.uniform());
        now.push_back(old.back() + 0.3 * rng.normal());
        reference.push_back(old.back() + 0.3 * rng.normal());
        mask.push_back(!rng.chance(0.2));
      }
    }
  }
  PolicyLossInput input() const {
    return {.logprobs = now,
            .old_logprobs = old,
            .reference_logprobs = reference,
            .row_lengths = lengths,
            .advantages = advantages,
            .mask = mask};
  }
};

std::vector<PolicyLossConfig> all_configs() {
  std::vector<PolicyLossConfig> configs;
  for (const Ratio ratio : {Ratio::kToken, Ratio::kSequence})
    for (const Reduction reduction : {Reduction::kSequenceMean, Reduction::kTokenMean, Reduction::kConstant})
      configs.push_back({.ratio = ratio,
                         .reduction = reduction,
                         .clip_low = 0.15,
                         .clip_high = 0.1,
                         .beta = 0.05,
                         .constant_length = 20});
  return configs;
}

TEST(PolicyLoss, GradientEqualsFiniteDifferences) {
  constexpr double kStep = 1e-6;
  for (uint64_t seed = 0; seed < 5; seed++) {
    Batch batch(seed);
    for (const PolicyLossConfig& config : all_configs()) {
      const PolicyLoss got = policy_loss(config, batch.input());
      for (size_t t = 0; t < batch.now.size(); t++) {
        const double here = batch.now[t];
        batch.now[t] = here + kStep;
        const double above = policy_loss(config, batch.input()).loss;
        batch.now[t] = here - kStep;
        const double below = policy_loss(config, batch.input()).loss;
        batch.now[t] = here;
        ASSERT_NEAR(got.dlogprobs[t], (above - below) / (2 * kStep), 1e-8) << "seed " << seed << " token " << t;
      }
    }
  }
}

// Trap 1 of reference/rl.md section 10: parts of a batch, given the batch's totals, add up to the batch.
TEST(PolicyLoss, PartsAddUpToTheWhole) {
  const Batch batch(7);
  for (const PolicyLossConfig& config : all_configs()) {
    const PolicyLoss whole = policy_loss(config, batch.input());
    double loss = 0;
    size_t begin = 0;
    for (size_t row = 0; row < batch.lengths.size(); row++) {
      const size_t length = size_t(batch.lengths[row]);
      PolicyLossInput part = batch.input();
      for (auto* span : {&part.logprobs, &part.old_logprobs, &part.reference_logprobs})
        *span = span->subspan(begin, length);
      part.mask = part.mask.subspan(begin, length);
      part.row_lengths = part.row_lengths.subspan(row, 1);
      part.advantages = part.advantages.subspan(row, 1);
      part.batch_rows = int64_t(batch.lengths.size());
      part.batch_tokens = whole.metrics.tokens;
      const PolicyLoss got = policy_loss(config, part);
      loss += got.loss;
      for (size_t t = 0; t < length; t++) EXPECT_NEAR(got.dlogprobs[t], whole.dlogprobs[begin + t], 1e-14);
      begin += length;
    }
    EXPECT_NEAR(loss, whole.loss, 1e-13);
  }
}

TEST(PolicyLoss, MaskedTokensMayHoldAnything) {
  Batch batch(3);
  const PolicyLoss before = policy_loss({.beta = 0.1}, batch.input());
  for (size_t t = 0; t < batch.mask.size(); t++) {
    if (!batch.mask[t]) batch.now[t] = batch.old[t] = batch.reference[t] = -std::numeric_limits<double>::infinity();
  }
  const PolicyLoss after = policy_loss({.beta = 0.1}, batch.input());
  EXPECT_EQ(before.loss, after.loss);
  EXPECT_EQ(before.dlogprobs, after.dlogprobs);
}

TEST(PolicyLoss, NamesTheTokenThatIsNotFinite) {
  Batch batch(3);
  std::fill(batch.mask.begin(), batch.mask.end(), 1);
  batch.now[9] = std::nan("");  // rows of 7, 0, 1, 12 tokens: token 1 of row 3
  try {
    policy_loss({}, batch.input());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
    EXPECT_NE(std::string(error.what()).find("row 3 token 1"), std::string::npos) << error.what();
  }
}

TEST(PolicyLoss, RefusesSpansThatDoNotFit) {
  const Batch batch(3);
  PolicyLossInput input = batch.input();
  input.old_logprobs = input.old_logprobs.subspan(1);
  EXPECT_THROW(policy_loss({}, input), Error);
  input = batch.input();
  input.reference_logprobs = {};
  EXPECT_NO_THROW(policy_loss({}, input));
  EXPECT_THROW(policy_loss({.beta = 0.1}, input), Error);
  EXPECT_THROW(policy_loss(policy_loss_config("dr_grpo"), batch.input()), Error);  // constant_length not set
}

TEST(PolicyLoss, NothingToLearnIsZeroEvenWhereTheRatioOverflows) {
  EXPECT_EQ(one_token(1e300, 0, {}).loss, 0);
  const PolicyLoss empty = policy_loss({}, {});
  EXPECT_EQ(empty.loss, 0);
  EXPECT_TRUE(empty.dlogprobs.empty());
}

}  // namespace
}  // namespace tenth
