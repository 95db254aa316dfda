// The golden model folders: every folder under golden/models is a case, so that a new fixture is a new test.
#pragma once
#include <algorithm>
#include <map>

#include "base/json.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/safetensors.h"
#include "shared.h"
#include "tensor_util.h"

namespace tenth::testing {

// Formats that are not there yet: refused when loaded, with the reason. One that loads leaves this list.
inline const std::map<std::string, std::string> kNotYet = {
    {"deepseek_v4", "DeepSeek-V4"},
};

inline Path golden_models() { return shared_folder() / "golden" / "models"; }

inline std::vector<std::string> golden_model_names() {
  std::vector<std::string> names;
  if (std::filesystem::exists(golden_models())) {
    for (const auto& entry : std::filesystem::directory_iterator(golden_models()))
      names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  if (names.empty()) names.push_back("absent");  // a case that skips itself
  return names;
}

// The stored values of a tensor, as doubles.
inline Values stored_values(const SafetensorsFile& file, const std::string& name) {
  static HostDevice host;
  return values_of(file.load(name, host, DType::kF64));
}
inline std::vector<int32_t> stored_ids(const SafetensorsFile& file, const std::string& name) {
  static HostDevice host;
  return file.load(name, host, DType::kI32).to_host<int32_t>();
}

struct GoldenModel {
  explicit GoldenModel(const std::string& name)
      : folder(golden_models() / name),
        reference(folder / "reference.safetensors"),
        manifest(read_json(folder / "manifest.json")) {}

  std::unique_ptr<Transformer> load(Backend& backend, DType compute) const {
    return load_model(folder, backend, compute);
  }
  bool has(const std::string& name) const { return reference.find(name) != nullptr; }
  Values values(const std::string& name) const { return stored_values(reference, name); }
  std::vector<int32_t> ids(const std::string& name) const { return stored_ids(reference, name); }
  // manifest.json's suggested_tolerance
  double tolerance(const char* key, double otherwise) const {
    return manifest["suggested_tolerance"].value(key, otherwise);
  }

  Path folder;
  SafetensorsFile reference;
  Json manifest;
};

inline double largest(const Values& values) {
  double m = 0;
  for (double v : values) m = std::max(m, std::fabs(v));
  return m;
}

// max |got - want|; NaN anywhere gives NaN
inline double distance(const Values& got, const Values& want) {
  if (got.size() != want.size()) return kNaN;
  double m = 0;
  for (size_t i = 0; i < got.size(); i++) {
    const double d = std::fabs(got[i] - want[i]);
    if (!(d <= m)) m = d;
  }
  return m;
}

// |got - want| / |want| in the Euclidean norm
inline double relative_distance(const Values& got, const Values& want) {
  double off = 0, size = 0;
  for (size_t i = 0; i < want.size(); i++) {
    off += (got.at(i) - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  return std::sqrt(off / std::max(size, 1e-300));
}

}  // namespace tenth::testing

// Ends a test of a model whose format is not there yet: checks that loading refuses it, then says so by name.
#define TENTH_SKIP_NOT_YET(name)                                                                                  \
  TENTH_NEEDS_SHARED();                                                                                           \
  if (const auto later = tenth::testing::kNotYet.find(name); later != tenth::testing::kNotYet.end()) {            \
    try {                                                                                                         \
      tenth::load_model(tenth::testing::golden_models() / (name), tenth::get_backend("cpu"), tenth::DType::kF32); \
      FAIL() << (name) << " loads now: take it out of kNotYet";                                                   \
    } catch (const tenth::Error& error) {                                                                         \
      ASSERT_EQ(int(error.kind()), int(tenth::ErrorKind::kUnsupported)) << error.what();                          \
      GTEST_SKIP() << (name) << ": not yet (" << later->second << "): " << error.what();                          \
    }                                                                                                             \
  }
