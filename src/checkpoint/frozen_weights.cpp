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

// A matrix and the tensors that it is put together from.
struct Matrix {
  Weight* weight;
  std::vector<Part> parts;
};

std::vector<Matrix> matrices_of(Transformer& model, const WeightSource& source) {
  std::map<Weight*, size_t> place;
  std::vector<Matrix> matrices;
  for (const Parameter& parameter : model.parameters()) {
    Weight* weight = parameter.weight.get();
    if (weight->value) continue;
    if (place.emplace(weight, matrices.size()).second) matrices.push_back({weight, {}});
    matrices[place[weight]].parts.push_back({&parameter, &source.at(parameter.name)});
  }
  return matrices;
}

bool may_be_in_blocks(const Matrix& matrix) {
  if (matrix.weight->shape[-1] % BlockWeight::kInputs != 0) return false;
  for (const Part& part : matrix.parts) {
    const Parameter& p = *part.parameter;
    if (matrix.weight->rows_read && p.role != Role::kEmbedding) return false;  // kv_b_proj, which decoding absorbs
    if (p.row_end >= 0 && p.row_begin % BlockWeight::kOutputs != 0) return false;
  }
  return true;
}

// kv_b_proj whose halves a file holds in blocks as decoding absorbs them.
const SourceTensor::LatentExpansion* absorbed_in_blocks(const Matrix& matrix) {
  const auto& halves = matrix.parts[0].source->latent_expansion;
  for (const GgufTensor* half : {halves.keys, halves.values})
    if (!half || !half->type->block || half->shape[2] % block_elements(*half->type->block) != 0) return nullptr;
  return &halves;
}

bool stays_in_blocks(const Matrix& matrix) {
  for (const Part& part : matrix.parts)
    if (!part.source->block || part.source->data.empty()) return false;
  return may_be_in_blocks(matrix);
}

BlockWeight::Form form_of(const Matrix& matrix) {
  const BlockWeight::Form form = form_of(*matrix.parts[0].source->block);
  for (const Part& part : matrix.parts)
    if (form_of(*part.source->block) != form) return BlockWeight::Form::kInt8;
  return form;
}

// The form in which a matrix would be held; none: dense. Exports give a head, and rows that are not whole blocks, at
// least 6 bits (export_gguf.h), which are held in 8.
std::optional<BlockWeight::Form> form_in(const Matrix& matrix, const WeightForm& wanted, bool tied) {
  if (!wanted.in_blocks) {
    if (!wanted.keep_blocks || !stays_in_blocks(matrix)) return std::nullopt;
    return form_of(matrix);
  }
  if (!may_be_in_blocks(matrix)) return std::nullopt;
  const bool head = matrix.parts[0].parameter->role == Role::kEmbedding && (tied || !matrix.weight->rows_read);
  const bool whole = matrix.weight->shape[-1] % block_elements(*wanted.in_blocks) == 0;
  return form_of(whole && !head ? *wanted.in_blocks : BlockFormat::kQ8_0);
}

int64_t groups_of(const Weight& weight) { return weight.shape.rank() == 3 ? weight.shape[0] : 1; }

// The blocks of a tensor in the order of its rows.
std::span<const std::byte> rows_in_order(const SourceTensor& source, std::vector<std::byte>& buffer) {
  if (source.rotary_heads == 0) return source.data;
  const size_t row = source.data.size() / size_t(source.rows());
  buffer.resize(source.data.size());
  for (int64_t r = 0; r < source.rows(); r++)
    std::memcpy(buffer.data() + size_t(r) * row, source.data.data() + size_t(source.stored_row(r)) * row, row);
  return buffer;
}

void load_blocks(Backend& backend, const Matrix& matrix) {
  Weight& weight = *matrix.weight;
  weight.blocks = make_block_weight(backend, form_of(matrix), groups_of(weight), weight.shape[-2], weight.shape[-1]);
  weight.blocks.fine = weight.fine;
  std::vector<std::byte> buffer;
  for (const Part& part : matrix.parts) {
    const Parameter& p = *part.parameter;
    part.source->check_shape(p.shape());
    want_pages(part.source->data);
    pack_rows(weight.blocks, std::max<int64_t>(p.expert, 0), p.row_end < 0 ? 0 : p.row_begin, p.shape()[0],
              *part.source->block, rows_in_order(*part.source, buffer));
    part.source->give_back();
  }
}

BlockWeight shape_of(const GgufTensor& half) {
  return {form_of(*half.type->block), half.shape[0], half.shape[1], half.shape[2], {}};
}

BlockWeight by_heads(Backend& backend, const GgufTensor& half) {
  const BlockWeight shape = shape_of(half);
  BlockWeight w = make_block_weight(backend, shape.form, shape.groups, shape.outputs, shape.inputs);
  const size_t head = half.bytes.size() / size_t(shape.groups);
  for (int64_t h = 0; h < shape.groups; h++)
    pack_rows(w, h, 0, shape.outputs, *half.type->block, half.bytes.subspan(size_t(h) * head, head));
  return w;
}

// An embedding is read by rows; a head packs it once more if it is the same matrix.
bool only_rows_read(const Matrix& matrix) {
  return matrix.parts[0].parameter->role == Role::kEmbedding && matrix.weight->rows_read;
}

void load_dense(Backend& backend, DType type, const Matrix& matrix, bool keep_blocks) {
  Weight& weight = *matrix.weight;
  const auto* halves = keep_blocks ? absorbed_in_blocks(matrix) : nullptr;
  if (halves) {
    weight.absorbed_keys = by_heads(backend, *halves->keys);
    weight.absorbed_values = by_heads(backend, *halves->values);
  }
  const Tensor whole = Tensor::make(backend, type, weight.shape);
  for (const Part& part : matrix.parts) part.source->load_into(part.parameter->view_of(whole));
  weight.compute = whole;
  if (only_rows_read(matrix)) return;
  weight.packed = backend.pack_weight(whole);
  if (weight.packed && (!weight.rows_read || halves)) weight.compute = Tensor();
}

void read_ahead(const Matrix& matrix) {
  for (const Part& part : matrix.parts) want_pages(part.source->data);
}

}  // namespace

void load_frozen_weights(Transformer& model, const WeightSource& source) {
  const std::vector<Matrix> matrices = matrices_of(model, source);
  for (size_t i = 0; i < matrices.size(); i++) {
    const Matrix& matrix = matrices[i];
    if (i + 1 < matrices.size()) read_ahead(matrices[i + 1]);  // the disk reads it meanwhile
    if (model.keeps_blocks() && stays_in_blocks(matrix))
      load_blocks(model.backend(), matrix);
    else
      load_dense(model.backend(), model.compute_type(), matrix, model.keeps_blocks());
  }
}

int64_t frozen_weight_bytes(Transformer& model, const WeightSource& source, const WeightForm& wanted) {
  int64_t bytes = 0;
  for (const Parameter& parameter : model.parameters())
    if (parameter.weight->value) bytes += int64_t(parameter.weight->value.bytes());
  for (const Matrix& matrix : matrices_of(model, source)) {
    const Weight& weight = *matrix.weight;
    const int64_t groups = groups_of(weight), outputs = weight.shape[-2], inputs = weight.shape[-1];
    if (const auto form = form_in(matrix, wanted, model.config().tie_word_embeddings)) {
      bytes += BlockWeight{*form, groups, outputs, inputs, {}}.bytes();
    } else {
      // kv_b_proj, read by rows too, is held in both forms; so is an embedding that is the head.
      const auto* halves = wanted.keep_blocks ? absorbed_in_blocks(matrix) : nullptr;
      for (const GgufTensor* half : {halves ? halves->keys : nullptr, halves ? halves->values : nullptr})
        if (half) bytes += shape_of(*half).bytes();
      const bool twice = weight.rows_read && !halves && (!only_rows_read(matrix) || model.config().tie_word_embeddings);
      bytes += (twice ? 2 : 1) * groups * outputs * inputs * int64_t(size_of(wanted.dense));
    }
  }
  return bytes;
}

DType frozen_cache_type(Transformer& model, const WeightSource& source, const WeightForm& wanted) {
  const ModelConfig& config = model.config();
  for (const Matrix& matrix : matrices_of(model, source))
    if (!config.mla() && form_in(matrix, wanted, config.tie_word_embeddings)) return DType::kBF16;
  return wanted.dense;
}

}  // namespace tenth
