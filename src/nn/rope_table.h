// Cosines and sines of rotary positions, with YaRN and Llama-3 frequency scaling (architecture: Su et al., arXiv
// 2104.09864; YaRN: Peng et al., arXiv 2309.00071, as in DeepSeek's model.py and transformers' modeling_rope_utils).
#pragma once
#include <vector>

#include "nn/config.h"

namespace tenth {

// Angle per position of each pair: dr / 2 values.
std::vector<double> rope_frequencies(const ModelConfig& config);

// A table (P, 2, dr / 2) f32 on a device that grows to the longest position asked for.
class RopeTable {
 public:
  RopeTable(const ModelConfig& config, Backend& backend);
  // A table that holds at least `positions` positions. Throws kInput beyond max_position_embeddings.
  const Tensor& upto(int64_t positions);

 private:
  Backend& backend_;
  std::vector<double> frequencies_;
  double magnitude_;  // factor on cosine and sine: YaRN's attention factor
  int64_t limit_;
  Tensor table_;
};

}  // namespace tenth
