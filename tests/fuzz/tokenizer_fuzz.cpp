// libFuzzer: a tokenizer.json and, behind a byte 0xFF, a text. The file is refused, or its tokenizer gives ids that are
// its own, and their text is the same whether decoded at once or streamed.
#include "fuzz.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenth;
  const auto [json, text] = fuzz::two_parts(data, size);
  try {
    const Tokenizer tokenizer = Tokenizer::from_json(parse_json(json, "fuzz"), Json(), "fuzz");
    for (bool special : {true, false}) {
      const std::vector<int32_t> ids = tokenizer.with_template(tokenizer.encode(text, special));
      StreamDecoder stream(tokenizer, false);
      std::string streamed;
      for (int32_t id : ids) {
        fuzz::must(id >= 0 && id < tokenizer.vocab_size());
        streamed += stream.push(id);
      }
      fuzz::must(streamed + stream.finish() == tokenizer.decode(ids, false));
    }
  } catch (const Error& error) {
    fuzz::must_blame_input(error);
  }
  return 0;
}
