// libFuzzer: a config.json is refused, or it is a model that can be: one of a small size is made, run on a few tokens
// and written again, and what was written reads as the same size.
#include "fuzz.h"
#include "nn/arch/architecture.h"
#include "nn/transformer.h"

namespace tenth {
namespace {

bool small(const ModelConfig& c) {
  return model_size(c).parameters < 100'000 && c.num_hidden_layers <= 4 && c.num_attention_heads <= 64;
}

void run(const ModelConfig& config) {
  Backend& backend = get_backend("cpu");
  Transformer model(config, backend, DType::kF32);
  initialize(model, 1, config.initializer_range);
  const std::vector<int32_t> ids = {0, int32_t(config.vocab_size - 1), 0}, lengths = {3};
  if (config.max_position_embeddings < 3) return;
  NoGrad off;
  Pass pass;
  pass.batch = make_batch(backend, ids, lengths);
  const Var hidden = model.hidden(pass);
  fuzz::must(model.logits(hidden).value().count() == 3 * config.vocab_size);
  if (model.has_mtp()) model.mtp_hidden(hidden, pass.batch.ids, pass);
}

}  // namespace
}  // namespace tenth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenth;
  static fuzz::MemoryFile file;
  try {
    const ModelConfig config = read_config(file.path_of({reinterpret_cast<const char*>(data), size}));
    const ModelConfig again = read_config(file.path_of(config_json(config, DType::kF32).dump()));
    fuzz::must(model_size(again).parameters == model_size(config).parameters);
    if (small(config)) run(config);
  } catch (const Error& error) {
    fuzz::must_blame_input(error);
  }
  return 0;
}
