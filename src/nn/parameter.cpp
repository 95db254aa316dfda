#include "nn/parameter.h"

namespace tenth {

WeightPtr ParameterList::make_weight(Shape shape, bool with_compute, bool fp8) {
  const DType type = compute_.dtype, master = gradient_type(type);
  auto weight = std::make_shared<Weight>();
  weight->shape = shape;
  weights_.push_back(weight);
  if (compute_.frozen && with_compute) return weight;  // what loads the model brings its tensors
  weight->value = Tensor::make(backend_, master, shape);
  weight->compute = with_compute && type != master ? Tensor::make(backend_, type, shape) : weight->value;
  if (fp8 && compute_.fp8) {
    weight->fp8 = compute_.fp8;
    weight->compute = Tensor::make(backend_, fp8_product_type(type, *compute_.fp8), shape);
  }
  return weight;
}

WeightPtr ParameterList::add(const std::string& name, Shape shape, Parameter::Role role, bool wide) {
  const bool with_compute = role == Parameter::Role::kMatrix || role == Parameter::Role::kEmbedding;
  parameters_.push_back({name, role, make_weight(shape, with_compute, role == Parameter::Role::kMatrix && !wide)});
  return parameters_.back().weight;
}

WeightPtr ParameterList::add_gate_up(const std::string& prefix, int64_t width, int64_t inputs) {
  WeightPtr weight = make_weight({2 * width, inputs}, true, true);
  parameters_.push_back({prefix + "gate_proj.weight", Parameter::Role::kMatrix, weight, -1, 0, width});
  parameters_.push_back({prefix + "up_proj.weight", Parameter::Role::kMatrix, weight, -1, width, 2 * width});
  return weight;
}

WeightPtr ParameterList::add_expert_gate_up(const std::string& prefix, int64_t experts, int64_t width, int64_t inputs) {
  WeightPtr weight = make_weight({experts, 2 * width, inputs}, true, true);
  for (int64_t e = 0; e < experts; e++) {
    const std::string name = fmt::format("{}experts.{}.", prefix, e);
    parameters_.push_back({name + "gate_proj.weight", Parameter::Role::kMatrix, weight, e, 0, width});
    parameters_.push_back({name + "up_proj.weight", Parameter::Role::kMatrix, weight, e, width, 2 * width});
  }
  return weight;
}

WeightPtr ParameterList::add_expert_down(const std::string& prefix, int64_t experts, int64_t outputs, int64_t width) {
  WeightPtr weight = make_weight({experts, outputs, width}, true, true);
  for (int64_t e = 0; e < experts; e++) {
    parameters_.push_back(
        {fmt::format("{}experts.{}.down_proj.weight", prefix, e), Parameter::Role::kMatrix, weight, e, 0, -1});
  }
  return weight;
}

}  // namespace tenth
