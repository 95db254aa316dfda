// What a GGUF file's metadata say of a model, to and from a ModelConfig. The architectures: llama, qwen2, qwen3,
// qwen3moe, deepseek2 (which is DeepSeek-V2 with softmax scores and DeepSeek-V3 with sigmoid scores).
#pragma once
#include "checkpoint/gguf_write.h"
#include "nn/config.h"

namespace tenth {

// Throws kInput in the words of the file (metadata <key>: expected …) or, where a value reads well but no model can
// have it, of config.json; kUnsupported for another architecture, with the list of those that work.
ModelConfig gguf_model_config(const GgufFile& file);

// The other way: the architecture's name, and the entries under it. What llama.cpp's architectures have no place for
// (dense layers among sparse ones, YaRN with two magnitudes) throws kUnsupported.
std::string gguf_architecture(const ModelConfig& config);
std::vector<GgufEntry> gguf_config_entries(const ModelConfig& config);
std::vector<float> rope_factors(const ModelConfig& config);  // rope_freqs.weight; empty without Llama 3's scaling

// Llama 3's scaling of rotary frequencies from rope_freqs.weight, the factors (dim / 2) by which frequencies are
// divided. Any such table can be had with low_freq_factor 1 (the formula knows the other two numbers relative to it).
// Throws kUnsupported for factors that no such scaling gives. where: for errors.
RopeScaling llama3_scaling(std::span<const float> factors, double rope_theta, const std::string& where);

}  // namespace tenth
