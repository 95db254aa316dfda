// A model whose text can be foretold.
#pragma once
#include "nn/tiny_models.h"
#include "optim/optimizer.h"
#include "train/loss.h"

namespace tenth::testing {

// A model that has learned to count modulo 10, and its module to count by two.
inline std::unique_ptr<Transformer> counting_model() {
  Backend& backend = get_backend("cpu");
  ModelConfig config = tiny_config("mla_mtp");
  auto model = std::make_unique<Transformer>(config, backend, DType::kF32);
  initialize(*model, 3, 0.5);
  model->set_training(true);
  Optimizer optimizer(model->parameters(), {.kind = OptimizerOptions::Kind::kAdamW, .adam_lr = 1e-2});
  Examples examples;
  for (int32_t start = 0; start < 10; start++) {
    std::vector<int32_t> count;
    for (int32_t i = 0; i < 16; i++) count.push_back((start + i) % 10);
    examples.add(count, 0);
  }
  for (int step = 0; step < 40; step++) {
    model->zero_gradients();
    loss_and_gradients(*model, examples, {.mtp_weight = 0.5});
    optimizer.step();
    model->refresh();
  }
  model->set_training(false);
  return model;
}

}  // namespace tenth::testing
