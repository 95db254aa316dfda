// libFuzzer: a recipe and, behind a byte 0xFF, one --set option. They are refused, or what to_toml writes reads back to
// the same text.
#include "fuzz.h"
#include "train/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenth;
  const auto [text, option] = fuzz::two_parts(data, size);
  std::vector<std::string> overrides;
  if (!option.empty()) overrides.emplace_back(option);
  try {
    const std::string written = Recipe::parse(text, "fuzz", overrides).to_toml();
    try {
      fuzz::must(Recipe::parse(written, "written").to_toml() == written);
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n%s\n", error.what(), written.c_str());
      std::abort();
    }
  } catch (const Error& error) {
    fuzz::must_blame_input(error);
  }
  return 0;
}
