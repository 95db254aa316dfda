// The sampler: transformers' distributions, draws that follow them, ties, and parameters that are refused.
#include "engine/sampler.h"

#include "nn/golden_models.h"

namespace tenth::testing {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Values filtered(const std::vector<float>& logits, const SamplingParams& params,
                const std::vector<int32_t>& history = {}) {
  std::vector<float> p = logits;
  Sampler().probabilities(p, params, history);
  return {p.begin(), p.end()};
}

TEST(Sampling, DistributionsAreThoseOfTransformers) {
  TENTH_NEEDS_SHARED();
  const Path folder = shared_folder() / "golden" / "sampling";
  const Json manifest = read_json(folder / "manifest.json");
  const SafetensorsFile file(folder / "distributions.safetensors");
  const Values logits = stored_values(file, "logits");
  const std::vector<int32_t> history = stored_ids(file, "history");
  const size_t rows = size_t(file.at("logits").shape[0]), vocabulary = logits.size() / rows,
               past = history.size() / rows;
  Sampler sampler;  // one for all: nothing of a call may stay for the next
  size_t number = 0;
  for (const Json& combination : manifest["combinations"]) {
    SamplingParams params;
    for (const auto& [key, value] : combination.items()) {
      if (key == "temperature")
        params.temperature = value;
      else if (key == "top_k")
        params.top_k = value;
      else if (key == "top_p")
        params.top_p = value;
      else if (key == "min_p")
        params.min_p = value;
      else if (key == "repetition_penalty")
        params.repetition_penalty = value;
      else
        FAIL() << "no such parameter: " << key;
    }
    const Values want = stored_values(file, fmt::format("probs.{:02}", number++));
    for (size_t row = 0; row < rows; row++) {
      std::vector<float> p(logits.begin() + long(row * vocabulary), logits.begin() + long((row + 1) * vocabulary));
      sampler.probabilities(p, params, std::span(history).subspan(row * past, past));
      for (size_t id = 0; id < vocabulary; id++) {
        const double truth = want[row * vocabulary + id];
        ASSERT_EQ(p[id] == 0, truth == 0) << combination << " row " << row << " id " << id;
        ASSERT_NEAR(p[id], truth, 1e-5) << combination << " row " << row << " id " << id;
      }
    }
  }
  EXPECT_EQ(number, manifest["combinations"].size());
}

// Pearson's chi-square against the filtered distribution; the seed is fixed, so the outcome is too.
TEST(Sampling, DrawsFollowTheDistribution) {
  Rng rng(5);
  std::vector<float> logits(20);
  for (float& x : logits) x = float(rng.normal());
  logits[3] = -kInf;
  for (const SamplingParams& params : {SamplingParams{.seed = 1}, SamplingParams{.temperature = 0.5, .seed = 2},
                                       SamplingParams{.top_k = 7, .top_p = 0.9, .seed = 3}}) {
    const Values p = filtered(logits, params);
    constexpr int kDraws = 20000;
    std::vector<int> count(logits.size(), 0);
    Sampler sampler;
    for (int draw = 0; draw < kDraws; draw++) {
      std::vector<float> work = logits;
      count[size_t(sampler.sample(work, params, {}, uint64_t(draw % 100), uint64_t(draw / 100)))]++;
    }
    double chi = 0;
    int kinds = 0;
    for (size_t id = 0; id < p.size(); id++) {
      if (p[id] == 0) {
        EXPECT_EQ(count[id], 0) << id;
        continue;
      }
      kinds++;
      chi += std::pow(count[id] - kDraws * p[id], 2) / (kDraws * p[id]);
    }
    // Mean kinds - 1, variance 2 (kinds - 1): four standard deviations on either side.
    const double freedom = kinds - 1;
    EXPECT_LT(chi, freedom + 4 * std::sqrt(2 * freedom)) << "seed " << params.seed;
    EXPECT_GT(chi, freedom - 4 * std::sqrt(2 * freedom)) << "seed " << params.seed;
  }
}

TEST(Sampling, ADrawIsNamedBySeedSampleAndPlace) {
  const std::vector<float> logits(1000, 0);
  Sampler sampler;
  const auto draw = [&](uint64_t seed, uint64_t sample, uint64_t place) {
    std::vector<float> work = logits;
    return sampler.sample(work, {.seed = seed}, {}, sample, place);
  };
  EXPECT_EQ(draw(1, 2, 3), draw(1, 2, 3));
  EXPECT_NE(draw(1, 2, 3), draw(2, 2, 3));
  EXPECT_NE(draw(1, 2, 3), draw(1, 3, 3));
  EXPECT_NE(draw(1, 2, 3), draw(1, 2, 4));
  EXPECT_NE(draw(1, 2, 3), draw(1, 3, 2));
}

TEST(Sampling, TiesGoToTheLowestId) {
  const std::vector<float> tied{1, 5, 2, 5, 5};
  std::vector<float> work = tied;
  EXPECT_EQ(Sampler().sample(work, {.temperature = 0}, {}, 0, 0), 1);
  EXPECT_EQ(filtered(tied, {.temperature = 0}), (Values{0, 1, 0, 0, 0}));
  // top_k keeps all that equal the k-th, top_p the shortest prefix by id among equals
  EXPECT_EQ(filtered({0, 0, 0, 0}, {.top_k = 2}), Values(4, 0.25));
  EXPECT_EQ(filtered({0, 0, 0, 0}, {.top_p = 0.5}), (Values{0.5, 0.5, 0, 0}));
  EXPECT_EQ(filtered({0, 0, 0, 0}, {.top_p = 0}), (Values{1, 0, 0, 0}));
}

TEST(Sampling, ForbiddenTokensAreNeverDrawn) {
  const std::vector<float> logits{-kInf, 2, -kInf, 1, -kInf};
  for (const SamplingParams& params :
       {SamplingParams{}, SamplingParams{.temperature = 0.1}, SamplingParams{.top_k = 4}, SamplingParams{.top_p = 0.99},
        SamplingParams{.min_p = 0.01}, SamplingParams{.temperature = 0}, SamplingParams{.repetition_penalty = 1.5}}) {
    const Values p = filtered(logits, params, {0, 1, 2});
    EXPECT_EQ(p[0] + p[2] + p[4], 0);
    EXPECT_NEAR(p[1] + p[3], 1, 1e-6);
  }
}

TEST(Sampling, ExtremeLogitsStayProbabilities) {
  expect_close(filtered({1e30f, 0, -1e30f}, {}), {1, 0, 0}, 0, 0, "large");
  expect_close(filtered({1, 2, 3}, {.temperature = 100}), {0.3300, 0.3333, 0.3367}, 0, 1e-4, "hot");
  expect_close(filtered({1, 1.01f}, {.temperature = 1e-5}), {0, 1}, 0, 0, "cold");
  EXPECT_EQ(filtered({-3}, {.top_k = 1, .top_p = 0.1, .min_p = 1}), Values{1});
}

TEST(Sampling, ParametersOutOfRangeAreNamed) {
  const auto text = [](const SamplingParams& params) -> std::string {
    try {
      check_sampling(params);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(text({}), "no error");
  EXPECT_EQ(text({.temperature = -0.1}), "temperature: expected 0 … 100, got -0.1");
  EXPECT_EQ(text({.temperature = kNaN}), "temperature: expected 0 … 100, got nan");
  EXPECT_EQ(text({.top_k = -1}), "top_k: expected 0 … 1073741824, got -1");
  EXPECT_EQ(text({.top_p = 1.01}), "top_p: expected 0 … 1, got 1.01");
  EXPECT_EQ(text({.min_p = -1}), "min_p: expected 0 … 1, got -1");
  EXPECT_EQ(text({.repetition_penalty = 0}), "repetition_penalty: expected 0.01 … 100, got 0");
}

}  // namespace
}  // namespace tenth::testing
