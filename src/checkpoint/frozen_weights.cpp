#include "checkpoint/frozen_weights.h"

#include <cstring>
#include <map>

#include "base/pages.h"

namespace tenth {
namespace {

using Role = Parameter::Role;

struct Part {
  const Parameter* parameter;
  const SourceTensor* source;
};

bool stays_in_blocks(const Weight& weight, const std::vector<Part>& parts) {
  if (weight.shape[-1] % BlockWeight::kInputs != 0) return false;
  for (const Part& part : parts) {
    const Parameter& p = *part.parameter;
    if (weight.rows_read && p.role != Role::kEmbedding) return false;  // kv_b_proj, which decoding absorbs
    const bool whole_panels = p.row_end < 0 || p.row_begin % BlockWeight::kOutputs == 0;
    if (!part.source->block || part.source->data.empty() || !whole_panels) return false;
  }
  return true;
}

// The blocks of a tensor in the order of its rows.
std::span<const std::byte> rows_in_order(const SourceTensor& source, std::vector<std::byte>& buffer) {
  if (source.rotary_heads == 0) return source.data;
  const size_t row = source.data.size() / size_t(source.rows());
  buffer.resize(source.data.size());
  for (int64_t r = 0; r < source.rows(); r++)
    std::memcpy(buffer.data() + size_t(r) * row, source.data.data() + size_t(source.stored_row(r)) * row, row);
  return buffer;
}

void load_blocks(Backend& backend, Weight& weight, const std::vector<Part>& parts) {
  BlockWeight::Form form = form_of(*parts[0].source->block);
  for (const Part& part : parts)
    if (form_of(*part.source->block) != form) form = BlockWeight::Form::kInt8;
  const int64_t groups = weight.shape.rank() == 3 ? weight.shape[0] : 1;
  weight.blocks = make_block_weight(backend, form, groups, weight.shape[-2], weight.shape[-1]);
  std::vector<std::byte> buffer;
  for (const Part& part : parts) {
    const Parameter& p = *part.parameter;
    part.source->check_shape(p.shape());
    want_pages(part.source->data);
    pack_rows(weight.blocks, std::max<int64_t>(p.expert, 0), p.row_end < 0 ? 0 : p.row_begin, p.shape()[0],
              *part.source->block, rows_in_order(*part.source, buffer));
    part.source->give_back();
  }
}

void load_dense(Backend& backend, DType type, Weight& weight, const std::vector<Part>& parts) {
  const Tensor whole = Tensor::make(backend, type, weight.shape);
  for (const Part& part : parts) part.source->load_into(part.parameter->view_of(whole));
  weight.compute = whole;
  if (parts[0].parameter->role == Role::kEmbedding && weight.rows_read) return;  // packed if a head reads it too
  weight.packed = backend.pack_weight(whole);
  if (weight.packed && !weight.rows_read) weight.compute = Tensor();
}

}  // namespace

void load_frozen_weights(Transformer& model, const WeightSource& source) {
  std::map<Weight*, std::vector<Part>> parts_of;
  std::vector<Weight*> order;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.weight->value) continue;
    std::vector<Part>& parts = parts_of[parameter.weight.get()];
    if (parts.empty()) order.push_back(parameter.weight.get());
    parts.push_back({&parameter, &source.at(parameter.name)});
  }
  for (Weight* weight : order) {
    const std::vector<Part>& parts = parts_of[weight];
    if (model.keeps_blocks() && stays_in_blocks(*weight, parts))
      load_blocks(model.backend(), *weight, parts);
    else
      load_dense(model.backend(), model.compute_type(), *weight, parts);
  }
}

}  // namespace tenth
