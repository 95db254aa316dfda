// What a recipe says of the model: its config, its tokenizer, the type of its arithmetic.
#pragma once
#include "nn/config.h"
#include "nn/parameter.h"
#include "tokenizer/tokenizer.h"
#include "train/recipe.h"

namespace tenth {

Path start_folder(const Recipe& recipe);  // run.start_from; may be empty

// The tokenizer is that of the model to start from, else that of the text's shards (data.path), else the small
// vocabulary of the tasks, which has no folder.
Path tokenizer_folder(const Recipe& recipe);
Tokenizer recipe_tokenizer(const Recipe& recipe);

ComputeType recipe_compute_type(const Recipe& recipe);

// The model that a recipe's model.* keys describe. Throws kInput, naming the recipe, for one that cannot be.
ModelConfig model_config(const Recipe& recipe, const Tokenizer& tokenizer);
// The same for a recipe that may start from a model folder (run.start_from).
ModelConfig recipe_model(const Recipe& recipe);

}  // namespace tenth
