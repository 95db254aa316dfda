// Architectures: for each model_type of config.json, how its keys map to a ModelConfig and back. One file each; adding
// one is a file with an Architecture and a line in architecture.cpp. Tensor names are those of Hugging Face, which the
// modules of nn register themselves.
#pragma once
#include <span>
#include <string>

#include "base/json.h"
#include "nn/config.h"

namespace tenth {

// Reads typed keys of a config.json; an error names the file, the key, what was expected and what came.
class ConfigReader {
 public:
  ConfigReader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}
  int64_t integer(const char* key) const;                    // required
  int64_t integer(const char* key, int64_t fallback) const;  // absent or null: fallback
  int small(const char* key, int64_t value) const;           // the value read for key; refused outside 0 … 2^20
  double real(const char* key, double fallback) const;
  bool flag(const char* key, bool fallback) const;
  std::string text(const char* key, const std::string& fallback) const;
  std::vector<int64_t> integers(const char* key) const;   // absent or null: empty
  std::vector<std::string> texts(const char* key) const;  // absent or null: empty
  RopeScaling rope_scaling() const;
  double rope_theta(double fallback) const;  // also inside rope_parameters, as newer files have it
  const std::string& where() const { return where_; }

 private:
  const Json* find(const char* key) const;
  const Json& json_;
  std::string where_;
};

struct Architecture {
  const char* model_type;
  const char* class_name;  // "architectures" in config.json
  void (*read)(const ConfigReader& in, ModelConfig& config);
  void (*write)(const ModelConfig& config, OrderedJson& out);  // the keys beyond the common ones
};

extern const Architecture kLlama, kQwen2, kQwen3, kQwen3Moe, kDeepseekV2, kDeepseekV3, kDeepseekV32;

std::span<const Architecture* const> architectures();

// config.json <-> ModelConfig. Reading checks the result (check_config) and refuses an unknown model_type with the list
// of those that work. A quantization_config must be DeepSeek-V3's: e4m3 with a scale for each block of 128 x 128.
ModelConfig read_config(const Path& file);
ModelConfig config_of(const Json& json, const std::string& where);  // where: the file, for errors
OrderedJson config_json(const ModelConfig& config, DType stored);
void write_eos_token_ids(const ModelConfig& config, OrderedJson& out);  // a number, or a list of several; none: nothing

// Shared by the architecture files.
void read_grouped_query_keys(const ConfigReader& in, ModelConfig& config);
void write_grouped_query_keys(const ModelConfig& config, OrderedJson& out);
void read_latent_attention_keys(const ConfigReader& in, ModelConfig& config);
void write_latent_attention_keys(const ModelConfig& config, OrderedJson& out);

}  // namespace tenth
