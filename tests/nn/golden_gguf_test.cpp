// GGUF files that gguf-py wrote as llama.cpp's converter does: the logits of their weights, on both backends. Every
// .gguf file under golden/gguf is a case.
#include "nn/golden_models.h"

namespace tenth::testing {
namespace {

Path folder() { return shared_folder() / "golden" / "gguf"; }

std::vector<std::string> file_names() {
  std::vector<std::string> names;
  if (std::filesystem::exists(folder())) {
    for (const auto& entry : std::filesystem::directory_iterator(folder())) {
      if (entry.path().extension() == ".gguf") names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  if (names.empty()) names.push_back("absent");
  return names;
}

class GoldenGguf : public ::testing::TestWithParam<std::tuple<std::string, const char*>> {};

TEST_P(GoldenGguf, LogitsAreThoseOfItsWeights) {
  TENTH_NEEDS_SHARED();
  const auto& [name, backend_name] = GetParam();
  const std::string base = name.substr(0, name.rfind('-'));
  const SafetensorsFile reference(folder() / (base + ".reference.safetensors"));
  const Json manifest = read_json(folder() / "manifest.json");
  const double tolerance =
      manifest["models"][base]["files"][name + ".gguf"]["suggested_tolerance_logits_max_abs"].get<double>();

  Backend& backend = get_backend(backend_name);
  const auto model = load_model(folder() / (name + ".gguf"), backend, DType::kF32);
  const std::vector<int32_t> ids = stored_ids(reference, "input_ids"), lengths = {int32_t(ids.size())};
  NoGrad off;
  Pass pass;
  pass.batch = make_batch(backend, ids, lengths);
  const Values got = values_of(model->logits(model->hidden(pass)).value());
  EXPECT_LE(distance(got, stored_values(reference, name + ".logits_f64")), tolerance);
}

std::string case_name(const ::testing::TestParamInfo<GoldenGguf::ParamType>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::get<1>(info.param);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenGguf,
                         ::testing::Combine(::testing::ValuesIn(file_names()), ::testing::Values("reference", "cpu")),
                         case_name);

}  // namespace
}  // namespace tenth::testing
