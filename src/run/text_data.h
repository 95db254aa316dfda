// The data of a recipe with text: prepared, opened and checked.
#pragma once
#include <memory>

#include "data/prepare.h"
#include "data/token_mixture.h"
#include "tokenizer/tokenizer.h"
#include "train/dataset.h"
#include "train/recipe.h"

namespace tenth {

// A progress line for each part of the work; throws kIo at an interrupt.
PrepareProgress progress_lines();

// Prepares data.files and data.validation_files, where the recipe names any, into data.path and data.validation; what
// is there already is kept. Throws as the functions of data/prepare.h do.
void prepare_text(const Recipe& recipe);

struct TextData {
  std::unique_ptr<Dataset> training;
  std::unique_ptr<TokenMixture> validation;  // null without data.validation
};
// tokenizer_folder: of the model. Throws kInput where shards have another tokenizer, and where rows are longer than the
// model's context.
TextData open_text(const Recipe& recipe, const Tokenizer& tokenizer, const Path& tokenizer_folder,
                   int64_t model_context);

}  // namespace tenth
