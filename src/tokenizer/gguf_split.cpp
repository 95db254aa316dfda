// What GGUF files name by tokenizer.ggml.pre instead of saying it.
#include "tokenizer/gguf_split.h"

#include "base/error.h"

namespace tenth {
namespace {

// Letters with a case, as the files of DeepSeek LLM (V2) list them.
constexpr const char* kCasedLetters =
    R"(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF})"
    R"(\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1})"
    R"(\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})"
    R"(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"
    R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC})"
    R"(\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"
    R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134})"
    R"(\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})"
    R"(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})"
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"
    R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943})";
constexpr const char* kIdeographs = R"([一-龥\x{800}-一가-\x{D7FF}]+)";
constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kDeepSeekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr const char* kDigit = R"(\p{N})";

const std::vector<GgufSplit>& splits() {
  static const std::vector<GgufSplit> table = {
      {{"deepseek-llm"},
       {"[\r\n]", std::string("\\s?[") + kCasedLetters + "]+", R"(\s?[!-/:-~！-／：-～‘-‟\x{3000}-。]+)", "\\s+$",
        kIdeographs, kDigit},
       false,
       false,
       true},
      {{"deepseek-coder"}, {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", kIdeographs, kDigit}, false, false, true},
      {{"deepseek-v3"}, {"\\p{N}{1,3}", R"([一-龥\x{3040}-ゟ゠-ヿ]+)", kDeepSeekV3}, false, false, true},
      {{"qwen2", "deepseek-r1-qwen"}, {kQwen2}, true},
      {{"llama-bpe", "llama3", "llama-v3"}, {kLlama3}, false, true, true},
      {{"smollm", "starcoder"}, {kDigit, kGpt2}},
      {{"gpt-2"}, {kGpt2}},
      {{"default", ""}, {R"([\p{P}$+<=>^~|]+)", kGpt2, "\\p{N}+", "[0-9][0-9][0-9]"}}};
  return table;
}

}  // namespace

const GgufSplit& gguf_split_of(const GgufVocabulary& vocabulary) {
  std::string known;
  for (const GgufSplit& split : splits())
    for (const std::string& name : split.names) {
      if (name == vocabulary.pre) return split;
      if (!name.empty()) known += (known.empty() ? "" : ", ") + name;
    }
  fail(ErrorKind::kUnsupported, "{}: tokenizer.ggml.pre: {} is not supported ({} are)", vocabulary.where,
       vocabulary.pre, known);
}

// A digit alone and GPT-2's words have names of their own, by which the models' files call them.
Json pre_tokenizer_json(const GgufSplit& split) {
  Json steps = Json::array();
  const bool words = split.patterns.back() == kGpt2;
  for (const std::string& pattern : split.patterns) {
    if (pattern == kDigit)
      steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
    else if (!words || &pattern != &split.patterns.back())
      steps.push_back(
          {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  }
  steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", words}});
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

}  // namespace tenth
