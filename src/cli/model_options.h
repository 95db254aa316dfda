// The options that every command which runs a model shares.
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "nn/transformer.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

struct ModelOptions {
  std::string model, dtype = "f32", backend = "cpu";
  int threads = 0;

  void add_to(CLI::App& command);
  std::unique_ptr<Transformer> load() const;
  Tokenizer load_tokenizer(const Transformer& of) const;  // throws kInput where it does not fit the model
};

DType compute_type_of(const std::string& name);  // "f32", "bf16", "f64"; throws kInput

}  // namespace tenth
