// libFuzzer: a chat template and, behind a byte 0xFF, the variables that it sees, an object. The template is refused,
// or what it makes of them is UTF-8 within the limit, with a mark for every byte.
#include "base/ordered_json.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "jinja/template.h"

namespace tenth {
namespace {

constexpr jinja::Limits kLimits = {.steps = 200'000, .output = size_t(1) << 16, .milliseconds = 1000};

jinja::Variables variables_of(std::string_view text) {
  jinja::Variables variables;
  const OrderedJson json = parse_ordered_json(text.empty() ? "{}" : text, "fuzz");
  if (!json.is_object()) return variables;
  for (const auto& [name, value] : json.items())
    variables.emplace_back(name, jinja::Value::from_json(value, Origin::kUser));
  return variables;
}

void check(const MarkedText& text) {
  fuzz::must(text.size() <= kLimits.output && well_formed_prefix(text.text()) == text.size());
  size_t begin = 0;
  for (const MarkedText::Run& run : text.runs()) {
    fuzz::must(run.end > begin);
    begin = run.end;
  }
  fuzz::must(begin == text.size());
}

}  // namespace
}  // namespace tenth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenth;
  const auto [source, json] = fuzz::two_parts(data, size);
  try {
    const jinja::Template parsed(source, "fuzz");
    check(parsed.render(variables_of(json), kLimits));
  } catch (const Error& error) {
    fuzz::must_blame_input(error);
  }
  return 0;
}
