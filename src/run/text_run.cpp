#include "run/text_run.h"

#include "engine/generator.h"
#include "eval/bits_per_byte.h"
#include "eval/graded.h"
#include "run/recipe_model.h"
#include "run/recipe_run.h"
#include "run/run_folder.h"
#include "run/text_data.h"
#include "train/samples.h"

namespace tenth {
namespace {

constexpr int64_t kPromptTokens = 24, kSampleTokens = 96;
constexpr double kSampleTemperature = 0.8;

class TextRun {
 public:
  TextRun(const Recipe& recipe, const RunOptions& options)
      : recipe_(recipe),
        run_(recipe, options),
        data_(open_text(recipe, run_.tokenizer(), tokenizer_folder(recipe),
                        run_.model().config().max_position_embeddings)) {
    run_.begin("text");
  }

  RunSummary run() {
    run_.supervised("train", *data_.training, [&](int64_t step) { return validation_at(step); });
    run_.model().set_training(false);
    if (data_.validation) {
      const TextScore score = score_validation(data_.validation->epoch_rows());
      run_.summary().text = {score.bits_per_byte, score.loss, score.tokens, score.bytes};
      run_.summary().texts = samples();
    }
    run_.save_folder("model");
    const std::string model = run_.folder("model").string();
    run_.summary().written = {{model, "the model (Hugging Face folder)"}};
    run_.summary().next_command =
        recipe_.list("data.conversations").empty()
            ? fmt::format("build/tenth generate --model {} --prompt 'It was' --temperature 0.8", model)
            : fmt::format("build/tenth chat --model {}", model);
    run_.finish();
    return run_.summary();
  }

 private:
  TextScore score_validation(int64_t rows) {
    return score_text(run_.model(), run_.tokenizer(), *data_.validation, rows);
  }

  NamedValues validation_at(int64_t step) {
    const int64_t every = recipe_.integer("train.eval_every");
    const bool due = (every > 0 && step % every == 0) || step == recipe_.integer("train.steps");
    if (!data_.validation || !due) return {};
    const TextScore score = score_validation(recipe_.integer("data.validation_rows"));
    std::vector<RunSample> shown;
    for (TextSample& sample : samples()) shown.push_back({std::move(sample.prompt), std::move(sample.continuation)});
    put_samples(run_.folder(""), "train", step, shown);
    return {{"val_bpb", score.bits_per_byte}, {"val_loss", score.loss}};
  }

  // How the model goes on from the openings of validation rows.
  std::vector<TextSample> samples() {
    const int64_t wanted = recipe_.integer("run.samples_shown"), rows = data_.validation->epoch_rows();
    std::vector<GenerationRequest> requests;
    for (int64_t i = 0; i < std::min(wanted, rows); i++) {
      const TokenRows row = data_.validation->rows(i * rows / std::min(wanted, rows), 1);
      GenerationRequest request;
      request.prompt.assign(row.ids.begin(), row.ids.begin() + std::min<int64_t>(kPromptTokens, row.lengths[0]));
      request.max_new_tokens = int32_t(
          std::min(kSampleTokens, run_.model().config().max_position_embeddings - int64_t(request.prompt.size())));
      request.sampling.temperature = kSampleTemperature;
      request.sampling.seed = run_.seed() + uint64_t(i);
      request.stop_ids = stop_ids(run_.tokenizer(), run_.model().config());
      requests.push_back(std::move(request));
    }
    Generator generator(run_.model(), {.slots = std::max<int64_t>(1, int64_t(requests.size()))});
    std::vector<TextSample> samples;
    const std::vector<Completion> completions = generator.generate(requests);
    for (size_t i = 0; i < requests.size(); i++)
      samples.push_back(
          {run_.tokenizer().decode(requests[i].prompt, true), run_.tokenizer().decode(completions[i].ids, true)});
    return samples;
  }

  const Recipe& recipe_;
  RecipeRun run_;
  TextData data_;
};

}  // namespace

bool has_text(const Recipe& recipe) {
  return !recipe.list("data.path").empty() || !recipe.list("data.conversations").empty();
}

RunSummary run_text(const Recipe& recipe, const RunOptions& options) {
  check_folder(recipe, options);  // before the work of preparing text
  prepare_text(recipe);
  return TextRun(recipe, options).run();
}

}  // namespace tenth
