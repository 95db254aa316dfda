#include "eval/bits_per_byte.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "train/loss.h"

namespace tenth {
namespace {

constexpr int64_t kRowsAtOnce = 16;

int64_t text_bytes(const Tokenizer& tokenizer, const Examples& examples) {
  int64_t bytes = 0;
  for (size_t i = 0; i < examples.ids.size(); i++) {
    const int32_t id = examples.ids[i];
    if (examples.scored[i] && !tokenizer.is_special(id)) bytes += int64_t(tokenizer.token_bytes(id).size());
  }
  return bytes;
}

}  // namespace

TextScore score_text(Transformer& model, const Tokenizer& tokenizer, const TokenMixture& text, int64_t rows) {
  rows = std::min(rows, text.epoch_rows());
  TextScore score;
  double nats = 0;
  for (int64_t first = 0; first < rows; first += kRowsAtOnce) {
    const TokenRows batch = text.rows(first, std::min(kRowsAtOnce, rows - first));
    const Examples examples = all_tokens_scored(batch.ids, batch.lengths);
    const LossResult result = loss_only(model, examples, {});
    nats += result.loss * double(result.tokens);
    score.tokens += result.tokens;
    score.bytes += text_bytes(tokenizer, examples);
  }
  score.loss = score.tokens ? nats / double(score.tokens) : 0;
  score.bits_per_byte = score.bytes ? nats / (std::numbers::ln2 * double(score.bytes)) : 0;
  return score;
}

}  // namespace tenth
