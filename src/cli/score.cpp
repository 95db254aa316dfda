// tenth score, tenth grad: a model on given tokens, from outside (golden/check.py's contract).
#include <cmath>

#include "checkpoint/safetensors.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "train/loss.h"

namespace tenth {
namespace {

struct ScoreOptions {
  ModelOptions model;
  std::string ids, out;
  double mtp_weight = 0;
};

struct Rows {
  std::vector<int32_t> ids;      // row after row
  std::vector<int32_t> lengths;  // all equal
};

Rows read_rows(const std::string& path, const ModelConfig& config) {
  const SafetensorsFile file(path);
  const StoredTensor& stored = file.at("input_ids");
  require(stored.shape.size() == 2 && stored.shape[0] >= 1 && stored.shape[1] >= 1, ErrorKind::kInput,
          "{}: input_ids: expected the shape (rows, tokens), got {} dimensions", path, stored.shape.size());
  require(stored.shape[1] <= config.max_position_embeddings, ErrorKind::kInput,
          "{}: input_ids: expected rows of at most {} tokens (max_position_embeddings), got {}", path,
          config.max_position_embeddings, stored.shape[1]);
  HostDevice host;
  Rows rows;
  rows.lengths.assign(size_t(stored.shape[0]), int32_t(stored.shape[1]));
  for (int64_t id : stored.load(host, DType::kI64).to_host<int64_t>()) {
    require(id >= 0 && id < config.vocab_size, ErrorKind::kInput, "{}: input_ids: expected ids in 0 … {}, got {}", path,
            config.vocab_size - 1, id);
    rows.ids.push_back(int32_t(id));
  }
  return rows;
}

// The rows of a (B T, V) tensor but the last of each sequence: where a next-but-one token could be predicted.
Tensor without_last(const Tensor& logits, const Rows& rows) {
  const int64_t sequences = int64_t(rows.lengths.size()), tokens = rows.lengths[0], vocabulary = logits.dim(1);
  Backend& backend = backend_of(logits);
  Tensor kept = Tensor::make(backend, logits.dtype(), {sequences, tokens - 1, vocabulary});
  const Tensor all = logits.view({sequences, tokens, vocabulary});
  for (int64_t s = 0; s < sequences; s++) backend.copy(kept[s], all[s].slice(0, 0, tokens - 1));
  return kept;
}

void score(const ScoreOptions& options, bool with_gradients) {
  require(std::isfinite(options.mtp_weight), ErrorKind::kInput, "--mtp-weight: expected a finite number, got {}",
          options.mtp_weight);
  auto model = with_gradients ? options.model.load_trainable() : options.model.load();
  const Rows rows = read_rows(options.ids, model->config());
  Backend& backend = model->backend();
  const Examples examples = all_tokens_scored(rows.ids, rows.lengths);
  if (with_gradients) model->set_training(true);

  std::vector<TensorToWrite> out;
  LossSettings settings;
  settings.mtp_weight = model->has_mtp() ? options.mtp_weight : 0;
  const LossResult result =
      with_gradients ? loss_and_gradients(*model, examples, settings) : loss_only(*model, examples, settings);

  NoGrad off;
  Pass pass;
  pass.batch = make_batch(backend, rows.ids, rows.lengths);
  const Var hidden = model->hidden(pass);
  const Tensor logits = model->logits(hidden).value();
  out.push_back({.name = "logits",
                 .tensor = logits.view({int64_t(rows.lengths.size()), int64_t(rows.lengths[0]), -1}),
                 .dtype = "F32"});
  if (model->has_mtp()) {
    const Tensor next = Tensor::from_host(backend, next_ids(examples));
    out.push_back({.name = "mtp_logits",
                   .tensor = without_last(model->logits(model->mtp_hidden(hidden, next, pass)).value(), rows),
                   .dtype = "F32"});
  }
  const float loss = float(result.loss + settings.mtp_weight * result.mtp_loss);
  out.push_back({.name = "loss", .dtype = "F32", .shape = {1}, .bytes = std::as_bytes(std::span(&loss, 1))});
  if (with_gradients) {
    for (const Parameter& parameter : model->parameters()) {
      if (Tensor gradient = parameter.grad())
        out.push_back({.name = parameter.name, .tensor = gradient, .dtype = "F32"});
    }
  }
  write_safetensors(options.out, out);
}

}  // namespace

void add_score_commands(CLI::App& app) {
  for (const bool with_gradients : {false, true}) {
    const char* name = with_gradients ? "grad" : "score";
    CLI::App* command =
        app.add_subcommand(name, with_gradients ? "As score, and the gradient of the loss by every parameter"
                                                : "Logits and loss of a model on given tokens");
    auto options = std::make_shared<ScoreOptions>();
    options->model.add_to(*command);
    command->add_option("--ids", options->ids, "Safetensors file with input_ids (rows, tokens), int64")->required();
    command->add_option("--out", options->out, "Safetensors file to write: logits, loss, mtp_logits, gradients by name")
        ->required();
    command->add_option("--mtp-weight", options->mtp_weight, "Weight of the multi-token prediction loss")
        ->capture_default_str();
    command->footer(
        fmt::format("Example: tenth {} --model runs/demo/model --ids ids.safetensors --out out.safetensors", name));
    command->callback([options, with_gradients] { score(*options, with_gradients); });
  }
}

}  // namespace tenth
