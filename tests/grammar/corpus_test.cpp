// The schemas of jsonschemabench with instances that are valid and invalid (shared/data/jsonschema).
#include <gtest/gtest.h>

#include <set>

#include "data/lines.h"
#include "grammar_util.h"
#include "shared.h"

namespace tenth {
namespace {

std::vector<OrderedJson> corpus() {
  LineReader lines(shared_folder() / "data/jsonschema/visible.jsonl.zst");
  std::vector<OrderedJson> entries;
  std::string line;
  while (lines.next(line) == LineReader::Next::kLine) entries.push_back(parse_ordered_json(line, "corpus"));
  return entries;
}

// What is refused, with a part of the reason.
const std::map<std::string, std::string> kRefused = {
    {"Handwritten---pnmp10", "#/not/anyOf/0/propertyNames cannot be said"},
    {"JsonSchemaStore---github-workflow-template-properties",
     "#/properties/categories/uniqueItems: uniqueItems is not supported"},
    {"Github_medium---o11666", "too many combinations of alternatives"},
    {"JsonSchemaStore---minecraft-recipe", "too many combinations of alternatives"},
};

TEST(SchemaCorpus, AnyOrderAcceptsTheValidAndRefusesTheInvalid) {
  TENTH_NEEDS_SHARED();
  size_t valid = 0, invalid = 0;
  for (const OrderedJson& entry : corpus()) {
    const std::string name = entry.at("name");
    if (const auto refused = kRefused.find(name); refused != kRefused.end()) {
      const std::string error =
          error_of([&] { Grammar::from_json_schema(entry.at("schema"), "schema", MemberOrder::kAny); });
      EXPECT_NE(error.find(refused->second), error.npos) << name << ": " << error;
      continue;
    }
    const Grammar grammar = Grammar::from_json_schema(entry.at("schema"), name, MemberOrder::kAny);
    for (const OrderedJson& test : entry.at("tests")) {
      const bool expected = test.at("valid");
      (expected ? valid : invalid)++;
      // Compact, with a blank behind colons and commas as Python writes it, spread over lines, and with escapes.
      const OrderedJson& data = test.at("data");
      EXPECT_EQ(grammar.accepts(data.dump()), expected) << name << ": " << data;
      EXPECT_EQ(grammar.accepts(data.dump(2)), expected) << name << ": " << data;
      EXPECT_EQ(grammar.accepts(data.dump(1, '\t')), expected) << name << ": " << data;
      EXPECT_EQ(grammar.accepts(data.dump(-1, ' ', true)), expected) << name << ": " << data;
    }
  }
  EXPECT_EQ(valid, 283u);
  EXPECT_EQ(invalid, 593u);
}

// The instances with members in another order than the schema's are the only ones that the order costs.
TEST(SchemaCorpus, OrderAsListedRefusesOnlyOtherOrders) {
  TENTH_NEEDS_SHARED();
  size_t accepted = 0, refused = 0;
  for (const OrderedJson& entry : corpus()) {
    const std::string name = entry.at("name");
    if (kRefused.contains(name)) continue;
    const Grammar grammar = Grammar::from_json_schema(entry.at("schema"), name, MemberOrder::kAsListed);
    for (const OrderedJson& test : entry.at("tests")) {
      const bool accepts = grammar.accepts(test.at("data").dump());
      if (test.at("valid")) {
        (accepts ? accepted : refused)++;
      } else {
        EXPECT_FALSE(accepts) << name << ": " << test.at("data");
      }
    }
  }
  EXPECT_GE(accepted, 265u);
  EXPECT_EQ(accepted + refused, 283u);
}

TEST(SchemaCorpus, TokensOfRealTokenizersAreAllowedOneByOne) {
  TENTH_NEEDS_SHARED();
  const std::vector<OrderedJson> entries = corpus();
  for (const char* name : {"deepseek_v3", "qwen3"}) {
    const Tokenizer tokenizer = Tokenizer::load(shared_folder() / "data/tokenizers" / name);
    const auto vocabulary = vocabulary_of(tokenizer);
    size_t tokens = 0;
    for (size_t i = 0; i < entries.size(); i++) {
      if (kRefused.contains(entries[i].at("name"))) continue;
      const Grammar grammar = Grammar::from_json_schema(entries[i].at("schema"), "schema", MemberOrder::kAny);
      const auto masks = std::make_shared<GrammarMasks>(grammar, vocabulary);
      for (const OrderedJson& test : entries[i].at("tests")) {
        GrammarMatcher matcher(masks);
        bool taken = true;
        for (int32_t id : tokenizer.encode(test.at("data").dump(), false)) {
          if (i % 20 == 0) {  // masks take a while: of some
            std::vector<uint32_t> mask(vocabulary->mask_words());
            matcher.fill_mask(mask);
            taken = taken && allowed(mask, id);
            EXPECT_EQ(allowed(mask, id), GrammarMatcher(matcher).accept(id));
          }
          taken = taken && matcher.accept(id);
          if (!taken) break;
          tokens++;
        }
        EXPECT_EQ(taken && matcher.complete(), test.at("valid").get<bool>())
            << entries[i].at("name") << test.at("data");
      }
    }
    EXPECT_GT(tokens, 30000u);
  }
}

}  // namespace
}  // namespace tenth
