#include "cli/model_options.h"

#include "base/threads.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/weight_source.h"
#include "cli/open_model.h"
#include "eval/graded.h"

namespace tenth {

DType compute_type_of(const std::string& name) {
  if (name == "f32") return DType::kF32;
  if (name == "bf16") return DType::kBF16;
  if (name == "f64") return DType::kF64;
  fail(ErrorKind::kInput, "--dtype: expected auto, f32, bf16 or f64, got \"{}\"", name);
}

void ModelOptions::add_to(CLI::App& command) {
  add_model_option(command, model,
                   "Model folder (config.json, model.safetensors), .gguf file, or name that was pulled");
  command
      .add_option("--dtype", dtype,
                  "Arithmetic: auto (weights as stored, those in blocks of few bits too), f32, bf16; f64 on the "
                  "reference backend")
      ->capture_default_str();
  command.add_option("--backend", backend, "cpu, reference (slow, exact) or cuda")->capture_default_str();
  command.add_option("--threads", threads, "Threads; 0: all cores")->capture_default_str()->check(CLI::Range(0, 4096));
}

std::unique_ptr<Transformer> ModelOptions::load() const {
  ComputeType compute = dtype == "auto" ? WeightSource::open(model).compute_type() : compute_type_of(dtype);
  compute.frozen = true;
  compute.keep_blocks = dtype == "auto";
  return load_as(compute);
}

std::unique_ptr<Transformer> ModelOptions::load_trainable() const {
  return load_as(dtype == "auto" ? DType::kF32 : compute_type_of(dtype));
}

std::unique_ptr<Transformer> ModelOptions::load_as(const ComputeType& compute) const {
  require(compute.dtype != DType::kF64 || backend == "reference", ErrorKind::kInput,
          "--dtype f64: only on --backend reference, got {}", backend);
  if (threads > 0) set_thread_count(threads);
  return load_model(model, get_backend(backend), compute);
}

Tokenizer ModelOptions::load_tokenizer(const Transformer& of) const {
  Tokenizer tokenizer = open_tokenizer(model);
  check_vocabulary(tokenizer, of.config(), model);
  return tokenizer;
}

}  // namespace tenth
