#include "tokenizer/pre_tokenizer.h"

namespace tenth {
namespace {

// GPT-2's pattern, which ByteLevel applies where use_regex is true.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace

PreTokenizer::PreTokenizer(const Field& field) {
  if (!field.is_null()) add(field, 0);
}

void PreTokenizer::add(const Field& field, int depth) {
  require(depth < 8, ErrorKind::kInput, "{}: expected at most 8 sequences within each other", field.where());
  require(stages_.size() < 32, ErrorKind::kInput, "{}: expected at most 32 steps", field.where());
  require(!byte_level_, ErrorKind::kUnsupported, "{}: a step after ByteLevel is not supported", field.where());
  const std::string& type = field.at("type").string();
  if (type == "Sequence") {
    const Field list = field.at("pretokenizers");
    for (size_t i = 0; i < list.size(); i++) add(list.at(i), depth + 1);
  } else if (type == "Split") {
    add_split(field);
  } else if (type == "Digits") {
    const bool each = field.at("individual_digits").boolean(false);
    stages_.push_back({Pattern(each ? "\\p{N}" : "\\p{N}+", field.where())});
  } else if (type == "ByteLevel") {
    if (field.at("add_prefix_space").boolean(true)) stages_.push_back({std::nullopt});
    if (field.at("use_regex").boolean(true)) stages_.push_back({Pattern(kGpt2Pattern, field.where())});
    byte_level_ = true;
  } else {
    fail(ErrorKind::kUnsupported, "{}: type {} is not supported (Split, Digits, ByteLevel and Sequence are)",
         field.where(), type);
  }
}

void PreTokenizer::add_split(const Field& field) {
  const std::string& behavior = field.at("behavior").string();
  require(behavior == "Isolated", ErrorKind::kUnsupported, "{}: behavior {} is not supported (Isolated is)",
          field.where(), behavior);
  const Field pattern = field.at("pattern");
  if (pattern.has("String"))
    stages_.push_back({Pattern(quote_for_pattern(pattern.at("String").string()), pattern.where())});
  else
    stages_.push_back({Pattern(pattern.at("Regex").string(), pattern.where())});
}

void PreTokenizer::run_stage(size_t index, std::string_view text, const PieceSink& piece) const {
  if (index == stages_.size()) return piece(text);
  const Stage& stage = stages_[index];
  if (stage.cut) {
    stage.cut->isolate(text, [&](std::string_view part) { run_stage(index + 1, part, piece); });
  } else if (text.starts_with(' ')) {
    run_stage(index + 1, text, piece);
  } else {
    run_stage(index + 1, " " + std::string(text), piece);
  }
}

}  // namespace tenth
