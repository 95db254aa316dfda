// The options that every command which runs a model shares.
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "nn/transformer.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

struct ModelOptions {
  std::string model, dtype = "auto", backend = "cpu";
  int threads = 0;

  void add_to(CLI::App& command);
  std::unique_ptr<Transformer> load() const;              // to run it
  std::unique_ptr<Transformer> load_trainable() const;    // with master weights, f32 where dtype is auto
  Tokenizer load_tokenizer(const Transformer& of) const;  // throws kInput where it does not fit the model

 private:
  std::unique_ptr<Transformer> load_as(const ComputeType& compute) const;
};

DType compute_type_of(const std::string& name);  // "f32", "bf16", "f64"; throws kInput

}  // namespace tenth
