// Parameters under their Hugging Face names, each a view on the Weight that kernels read.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "autograd/weight.h"

namespace tenth {

using WeightPtr = std::shared_ptr<Weight>;

struct Parameter {
  enum class Role {
    kMatrix,     // hidden matrices: what Muon takes
    kEmbedding,  // embed_tokens, lm_head
    kVector,     // norm gains and biases
    kRouter,     // gate.weight
    kBuffer,     // e_score_correction_bias, the indexer of sparse attention: saved, never given a gradient
  };
  std::string name;
  Role role;
  WeightPtr weight;
  int64_t expert = -1;                  // of a stack (E, O, I), or -1
  int64_t row_begin = 0, row_end = -1;  // rows of the matrix, -1: all

  Tensor value() const { return view_of(weight->value); }
  Tensor grad() const { return weight->grad ? view_of(weight->gradient()) : Tensor(); }
  Shape shape() const {
    Shape part = weight->shape;
    if (expert >= 0) part = {part[1], part[2]};
    if (row_end >= 0) part.set(0, row_end - row_begin);
    return part;
  }

  // This parameter's part of a tensor shaped like its weight.
  Tensor view_of(const Tensor& whole) const {
    Tensor part = expert >= 0 ? whole[expert] : whole;
    return row_end >= 0 ? part.slice(0, row_begin, row_end) : part;
  }
};

// Makes weights and keeps the list of their names. Modules take one in their constructors.
class ParameterList {
 public:
  ParameterList(Backend& backend, ComputeType compute) : backend_(backend), compute_(compute) {}

  // A weight of one name. Frozen: matrices and embeddings have a shape alone. Matrices and embeddings get a copy in the
  // compute type; vectors, routers and buffers do not. FP8: matrices take part, but for those with wide = true.
  WeightPtr add(const std::string& name, Shape shape, Parameter::Role role, bool wide = false);
  // gate and up projection as one weight (2 F, D): <prefix>gate_proj.weight over <prefix>up_proj.weight.
  WeightPtr add_gate_up(const std::string& prefix, int64_t width, int64_t inputs);
  // The experts' weights as stacks (E, 2 f, D) and (E, D, f): <prefix>experts.<e>.….
  WeightPtr add_expert_gate_up(const std::string& prefix, int64_t experts, int64_t width, int64_t inputs);
  WeightPtr add_expert_down(const std::string& prefix, int64_t experts, int64_t outputs, int64_t width);

  Backend& backend() const { return backend_; }
  ComputeType compute_type() const { return compute_; }
  std::vector<Parameter>& parameters() { return parameters_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  std::vector<WeightPtr>& weights() { return weights_; }

 private:
  WeightPtr make_weight(Shape shape, bool with_compute, bool fp8);

  Backend& backend_;
  ComputeType compute_;
  std::vector<Parameter> parameters_;
  std::vector<WeightPtr> weights_;
};

}  // namespace tenth
