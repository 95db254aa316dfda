#include "nn/rope_table.h"

#include <algorithm>
#include <cmath>

namespace tenth {
namespace {

double yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1; }

// low, high: the pairs between which the ramp from "as trained" to "stretched by factor" runs. The index is that of a
// pair, the formula is in units of the whole rope dimension: DeepSeek's code and transformers agree on this mix.
void scale_yarn(std::vector<double>& frequencies, const RopeScaling& s, double theta, double dim) {
  const auto correction = [&](double rotations) {
    return dim * std::log(double(s.original_max_position_embeddings) / (rotations * 2 * M_PI)) / (2 * std::log(theta));
  };
  const double low = std::max(std::floor(correction(s.beta_fast)), 0.0);
  double high = std::min(std::ceil(correction(s.beta_slow)), dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); i++) {
    const double ramp = std::clamp((double(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / s.factor * ramp + frequencies[i] * (1 - ramp);
  }
}

void scale_llama3(std::vector<double>& frequencies, const RopeScaling& s) {
  const double original = double(s.original_max_position_embeddings);
  for (double& f : frequencies) {
    const double wavelength = 2 * M_PI / f;
    if (wavelength < original / s.high_freq_factor) continue;
    if (wavelength > original / s.low_freq_factor) {
      f /= s.factor;
    } else {
      const double smooth = (original / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
      f = (1 - smooth) * f / s.factor + smooth * f;
    }
  }
}

double magnitude(const RopeScaling& s) {
  if (s.type != RopeScaling::Type::kYarn) return 1;
  if (s.attention_factor > 0) return s.attention_factor;
  if (s.mscale != 0 && s.mscale_all_dim != 0)
    return yarn_mscale(s.factor, s.mscale) / yarn_mscale(s.factor, s.mscale_all_dim);
  return yarn_mscale(s.factor, 1);
}

}  // namespace

std::vector<double> rope_frequencies(const ModelConfig& config) {
  const int64_t dim = config.rope_dim();
  std::vector<double> frequencies;
  for (int64_t i = 0; i < dim / 2; i++)
    frequencies.push_back(std::pow(config.rope_theta, -2.0 * double(i) / double(dim)));
  if (config.rope_scaling.type == RopeScaling::Type::kYarn)
    scale_yarn(frequencies, config.rope_scaling, config.rope_theta, double(dim));
  if (config.rope_scaling.type == RopeScaling::Type::kLlama3) scale_llama3(frequencies, config.rope_scaling);
  return frequencies;
}

RopeTable::RopeTable(const ModelConfig& config, Backend& backend)
    : backend_(backend),
      frequencies_(rope_frequencies(config)),
      magnitude_(magnitude(config.rope_scaling)),
      limit_(config.max_position_embeddings) {}

const Tensor& RopeTable::upto(int64_t positions) {
  require(positions <= limit_, ErrorKind::kInput, "a sequence of {} tokens: the model's max_position_embeddings is {}",
          positions, limit_);
  if (table_ && table_.dim(0) >= positions) return table_;
  int64_t size = 256;
  while (size < positions) size *= 2;
  const int64_t half = int64_t(frequencies_.size());
  std::vector<float> values(static_cast<size_t>(size * 2 * half));
  for (int64_t p = 0; p < size; p++) {
    for (int64_t i = 0; i < half; i++) {
      const double angle = double(p) * frequencies_[size_t(i)];
      values[size_t((p * 2) * half + i)] = float(std::cos(angle) * magnitude_);
      values[size_t((p * 2 + 1) * half + i)] = float(std::sin(angle) * magnitude_);
    }
  }
  table_ = Tensor::from_host<float>(backend_, values, {size, 2, half});
  return table_;
}

}  // namespace tenth
