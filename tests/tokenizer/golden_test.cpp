// Ids and texts by the `tokenizers` library, for each fixture in shared/golden/tokenizer (its manifest says how made).
#include <algorithm>
#include <fstream>

#include "base/json.h"
#include "shared.h"
#include "tokenizer/tokenizer.h"

namespace tenth {
namespace {

using Ids = std::vector<int32_t>;

// Texts of the added tokens that are not marked special: the library matches them even where special ones are text.
std::vector<std::string> ordinary_added_tokens(const Path& model) {
  std::vector<std::string> texts;
  const Json json = read_json(model / "tokenizer.json");
  for (const Json& token : json.at("added_tokens"))
    if (!token.at("special").get<bool>()) texts.push_back(token.at("content"));
  return texts;
}

struct Fixture {
  std::string name;
  Path model;
  std::vector<Json> rows;
};

std::vector<Fixture> fixtures() {
  std::vector<Fixture> found;
  for (const auto& file : std::filesystem::directory_iterator(shared_folder() / "golden" / "tokenizer")) {
    if (file.path().extension() != ".jsonl") continue;
    const std::string name = file.path().stem().string();
    found.push_back({name, shared_folder() / "data" / "tokenizers" / name, {}});
    std::ifstream lines(file.path());
    for (std::string line; std::getline(lines, line);)
      if (!line.empty()) found.back().rows.push_back(parse_json(line, name));
  }
  return found;
}

TEST(TokenizerGolden, IdsAndTexts) {
  TENTH_NEEDS_SHARED();
  size_t rows = 0;
  for (const Fixture& fixture : fixtures()) {
    SCOPED_TRACE(fixture.name);
    const Tokenizer tokenizer = Tokenizer::load(fixture.model);
    for (const Json& row : fixture.rows) {
      const auto text = row.at("text").get<std::string>();
      const Ids ids = tokenizer.encode(text, true);
      EXPECT_EQ(ids, row.at("ids_no_special").get<Ids>()) << row.at("text");
      EXPECT_EQ(tokenizer.with_template(ids), row.at("ids").get<Ids>()) << row.at("text");
      const auto decoded = row.at("decoded").get<std::string>();
      EXPECT_EQ(tokenizer.decode(ids, false), decoded);
      EXPECT_EQ(tokenizer.decode(ids, true), row.value("decoded_skip_special", decoded));
      rows++;
    }
  }
  EXPECT_GE(rows, 800u);
}

TEST(TokenizerGolden, SpecialTokensAsText) {
  TENTH_NEEDS_SHARED();
  size_t rows = 0;
  for (const Fixture& fixture : fixtures()) {
    SCOPED_TRACE(fixture.name);
    const Tokenizer tokenizer = Tokenizer::load(fixture.model);
    const auto ordinary = ordinary_added_tokens(fixture.model);
    for (const Json& row : fixture.rows) {
      const auto text = row.at("text").get<std::string>();
      // Where the library still matches a token that is not marked special, this tokenizer does not: it is stricter.
      auto stands_in = [&](const std::string& token) { return text.find(token) != text.npos; };
      if (std::any_of(ordinary.begin(), ordinary.end(), stands_in)) continue;
      const Json& expected = row.contains("ids_special_as_text") ? row["ids_special_as_text"] : row.at("ids");
      EXPECT_EQ(tokenizer.encode(text, false), expected.get<Ids>()) << row.at("text");
      rows += row.contains("ids_special_as_text");
    }
  }
  EXPECT_GE(rows, 10u);
}

// The vectors of reference/formats.md, section 4.1, that need no other file.
TEST(TokenizerGolden, PublicVectors) {
  TENTH_NEEDS_SHARED();
  const Tokenizer v3 = Tokenizer::load(shared_folder() / "data/tokenizers/deepseek_v3");
  const std::string text =
      "Hello! \u6bd5\u8001\u5e08\uff011 + 1 = 2 \u0120\u00d1\u0124\u00d0\u00b2\u00d1\u012c\u00d1\u0122";
  EXPECT_EQ(v3.encode(text, true), (Ids{19923, 3,   223,   5464, 5008, 1175,  19,   940,   223, 19,  438,   223, 20,
                                        6113,  257, 76589, 131,  100,  76032, 1628, 76589, 131, 108, 76589, 131, 98}));
  EXPECT_EQ(v3.encode("<｜User｜>1+1=?<｜Assistant｜><think>\n", true),
            (Ids{128803, 19, 13, 19, 127252, 128804, 30, 37947, 1018}));
  EXPECT_EQ(v3.eos_id(), 1);
  EXPECT_EQ(v3.bos_id(), 0);
  EXPECT_EQ(v3.vocab_size(), 128815);
  const Tokenizer qwen = Tokenizer::load(shared_folder() / "data/tokenizers/qwen3");
  EXPECT_EQ(qwen.encode("<|im_start|>user\nhi<|im_end|>\n<think>\n\n</think>", true),
            (Ids{151644, 872, 198, 6023, 151645, 198, 151667, 271, 151668}));
  EXPECT_EQ(qwen.eos_id(), 151645);
  EXPECT_EQ(qwen.bos_id(), std::nullopt);
}

}  // namespace
}  // namespace tenth
