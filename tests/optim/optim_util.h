// A small model's worth of parameters, one of each role, without a model.
#pragma once
#include <string>
#include <vector>

#include "base/threads.h"
#include "nn/parameter.h"
#include "optim/optimizer.h"
#include "tensor_util.h"

namespace tenth::testing {

using Role = Parameter::Role;

// Gives every weight of the list random values and a random gradient.
inline void randomize(ParameterList& list, uint64_t seed) {
  Rng rng(seed);
  for (const WeightPtr& w : list.weights()) {
    set_values(w->value, random_values(rng, w->value.count(), 0.3));
    w->grad = random_tensor(list.backend(), w->value.dtype(), w->value.shape(), rng);
  }
}

inline ParameterList small_model(Backend& backend) {
  ParameterList list(backend, DType::kF32);
  list.add("embed.weight", {50, 24}, Role::kEmbedding);
  list.add("q_proj.weight", {40, 24}, Role::kMatrix);
  list.add("o_proj.weight", {24, 32}, Role::kMatrix);
  list.add("norm.weight", {24}, Role::kVector);
  list.add("gate.weight", {4, 24}, Role::kRouter);
  list.add("gate.bias", {4}, Role::kBuffer);
  list.add_expert_gate_up("", 4, 16, 24);
  list.add_expert_down("", 4, 24, 16);
  list.add_gate_up("shared.", 16, 24);
  randomize(list, 7);
  return list;
}

// Gradients of step n, the same for every run.
inline void set_gradients(ParameterList& list, int64_t n) {
  Rng rng(100 + uint64_t(n));
  for (const WeightPtr& w : list.weights()) set_values(w->grad, random_values(rng, w->grad.count()));
}

inline Values all_values(const ParameterList& list_) {
  auto& list = const_cast<ParameterList&>(list_);
  Values all;
  for (const Parameter& p : list.parameters()) {
    const Values values = values_of(p.value());
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

inline const Parameter& named(ParameterList& list, const std::string& name) {
  for (const Parameter& p : list.parameters())
    if (p.name == name) return p;
  fail(ErrorKind::kInternal, "no parameter {}", name);
}

struct ThreadCount {
  explicit ThreadCount(int count) : before(thread_count()) { set_thread_count(count); }
  ~ThreadCount() { set_thread_count(before); }
  int before;
};

class OnBackend : public ::testing::TestWithParam<const char*> {
 protected:
  Backend& backend() { return get_backend(GetParam()); }
};

inline std::string backend_name(const ::testing::TestParamInfo<const char*>& info) { return info.param; }

}  // namespace tenth::testing
