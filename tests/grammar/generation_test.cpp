// Random generation under a schema, checked by a validator that is not ours.
#include <gtest/gtest.h>

#include <optional>

#define VALIJSON_USE_EXCEPTIONS 1
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "base/rng.h"
#include "data/lines.h"
#include "grammar_util.h"
#include "shared.h"

namespace tenth {
namespace {

// Random choices under the masks: what comes out parses and satisfies the schema, as another validator sees it.
class RandomText {
 public:
  RandomText() {
    for (int byte = 0; byte < 256; byte++) tokens_.emplace_back(1, char(byte));
    for (const char* text :
         {"\"}", "\",\"", "\":\"", "\": ", "},{", "[]", "{}", "true", "null", "12", "abc", "é", "😀", "\n  "})
      tokens_.emplace_back(text);
    tokens_.emplace_back("<end>");
    const std::vector<int32_t> ends = {int32_t(tokens_.size() - 1)};
    vocabulary_ = std::make_shared<const GrammarVocabulary>(tokens_, ends);
  }

  // Behind `most` tokens it takes what ends things soonest. Empty where it does not end.
  std::string make(const Grammar& grammar, uint64_t seed, int most) const {
    GrammarMatcher matcher(std::make_shared<GrammarMasks>(grammar, vocabulary_));
    Rng rng(seed);
    std::string text;
    std::vector<uint32_t> mask(vocabulary_->mask_words());
    const int32_t end = int32_t(tokens_.size() - 1);
    for (int n = 0; n < most + 3000; n++) {
      if (!matcher.fill_mask(mask)) return "dead end behind " + text;
      int32_t id = -1;
      // Brackets are closed where they end something: where a letter could stand too they are a string's.
      const bool inside = allowed(mask, 'Z');
      if (n >= most && rng.chance(0.75))
        for (char wanted : std::string(inside ? "\"" : "}]\"0a"))
          if (id < 0 && allowed(mask, wanted)) id = wanted;
      if (n >= most && allowed(mask, end)) id = end;
      while (id < 0) {
        const auto drawn = int32_t(rng.below(tokens_.size()));
        if (allowed(mask, drawn)) id = drawn;
      }
      if (!matcher.accept(id)) return "refused an allowed token behind " + text;
      if (id == end) return text;
      text += tokens_[size_t(id)];
    }
    return "no end: " + text.substr(0, 200);
  }

 private:
  std::vector<std::string> tokens_;
  std::shared_ptr<const GrammarVocabulary> vocabulary_;
};

TEST(JsonSchema, RandomTextsSatisfyAnIndependentValidator) {
  TENTH_NEEDS_SHARED();
  const RandomText random;
  LineReader lines(shared_folder() / "data/jsonschema/visible.jsonl.zst");
  std::string line;
  size_t checked = 0, unchecked = 0, unended = 0, schemas = 0;
  while (lines.next(line) == LineReader::Next::kLine) {
    const OrderedJson entry = parse_ordered_json(line, "corpus");
    const std::string name = entry.at("name"), text = entry.at("schema").dump();
    if (text.size() > 20000 || text.find("multipleOf") != text.npos)
      continue;  // compares remainders in binary fractions
    valijson::Schema schema;
    const Json plain = Json::parse(text);
    try {
      valijson::SchemaParser parser;
      parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(plain), schema);
    } catch (const std::exception&) {
      continue;  // a word of a draft that the validator does not know
    }
    // As listed: in any order random keys would seldom be those that are required.
    std::optional<Grammar> grammar;
    try {
      grammar = Grammar::from_json_schema(entry.at("schema"), name, MemberOrder::kAsListed);
    } catch (const Error&) {
      continue;
    }
    schemas++;
    for (uint64_t seed = 0; seed < 3; seed++) {
      const std::string made = random.make(*grammar, seed, 120);
      if (made.rfind("no end", 0) == 0) {
        unended++;
        continue;
      }
      Json value;
      ASSERT_NO_THROW(value = Json::parse(made)) << name << ": " << made;
      valijson::Validator validator;
      valijson::ValidationResults results;
      bool satisfied = false;
      try {
        satisfied = validator.validate(schema, valijson::adapters::NlohmannJsonAdapter(value), &results);
      } catch (const std::runtime_error&) {
        unchecked++;  // the validator gives up where it compares values of different types
        continue;
      }
      if (!satisfied) {
        valijson::ValidationResults::Error error;
        results.popError(error);
        ADD_FAILURE() << name << ": " << error.description << "\n" << made;
      }
      checked++;
    }
  }
  EXPECT_LE(unended, 5u);
  EXPECT_GT(schemas, 130u);
  EXPECT_GT(checked, 300u) << unchecked << " were not checked";
}

}  // namespace
}  // namespace tenth
