#include "tensor/tensor.h"

#include <utility>

namespace tenth {

Shape::Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) : rank_(int(dims.size())) {
  require(dims.size() <= kMaxRank, ErrorKind::kInternal, "a shape of {} dimensions (at most {})", dims.size(),
          int(kMaxRank));
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

int64_t Shape::count() const {
  int64_t n = 1;
  for (int i = 0; i < rank_; i++) n *= dims_[size_t(i)];
  return n;
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(dims_.begin(), dims_.begin() + rank_, other.dims_.begin());
}

std::string Shape::text() const {
  std::string text = "(";
  for (int i = 0; i < rank_; i++) text += (i ? ", " : "") + std::to_string(dims_[size_t(i)]);
  return text + ")";
}

Tensor::Tensor(const Tensor& other)
    : storage_(other.storage_),
      offset_(other.offset_),
      shape_(other.shape_),
      strides_(other.strides_),
      dtype_(other.dtype_) {
  if (storage_) storage_->references.fetch_add(1, std::memory_order_relaxed);
}

Tensor::Tensor(Tensor&& other) noexcept
    : storage_(std::exchange(other.storage_, nullptr)),
      offset_(other.offset_),
      shape_(other.shape_),
      strides_(other.strides_),
      dtype_(other.dtype_) {}

Tensor& Tensor::operator=(Tensor other) noexcept {
  std::swap(storage_, other.storage_);
  offset_ = other.offset_;
  shape_ = other.shape_;
  strides_ = other.strides_;
  dtype_ = other.dtype_;
  return *this;
}

Tensor::~Tensor() {
  if (storage_ && storage_->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
    storage_->device->release(storage_);
}

namespace {

Shape packed_strides(const Shape& shape) {
  Shape strides = shape;
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; i--) {
    strides.set(i, step);
    step *= shape[i];
  }
  return strides;
}

}  // namespace

Tensor Tensor::make(Device& device, DType dtype, Shape shape) {
  Tensor t;
  t.storage_ = device.acquire(size_t(shape.count()) * size_of(dtype));
  t.shape_ = shape;
  t.strides_ = packed_strides(shape);
  t.dtype_ = dtype;
  return t;
}

bool Tensor::contiguous() const {
  int64_t step = 1;
  for (int i = rank() - 1; i >= 0; i--) {
    if (dim(i) != 1 && stride(i) != step) return false;
    step *= dim(i);
  }
  return true;
}

Tensor Tensor::view(Shape shape) const {
  int64_t known = 1, open = -1;
  for (int i = 0; i < shape.rank(); i++) {
    if (shape[i] == -1)
      open = i;
    else
      known *= shape[i];
  }
  if (open >= 0 && known > 0) shape.set(int(open), count() / known);
  if (!contiguous() || shape.count() != count())
    fail(ErrorKind::kInternal, "a view of shape {} on a tensor of shape {}{}", shape.text(), shape_.text(),
         contiguous() ? "" : " that is not contiguous");
  Tensor t = *this;
  t.shape_ = shape;
  t.strides_ = packed_strides(shape);
  return t;
}

Tensor Tensor::slice(int d, int64_t begin, int64_t end) const {
  if (d < 0) d += rank();
  if (d >= rank() || begin < 0 || begin > end || end > dim(d))
    fail(ErrorKind::kInternal, "a slice [{}, {}) of dimension {} of shape {}", begin, end, d, shape_.text());
  Tensor t = *this;
  t.offset_ += size_t(begin * stride(d));
  t.shape_.set(d, end - begin);
  return t;
}

Tensor Tensor::operator[](int64_t index) const {
  Tensor part = slice(0, index, index + 1);
  std::array<int64_t, Shape::kMaxRank> dims{}, steps{};
  for (int i = 1; i < rank(); i++) {
    dims[size_t(i - 1)] = dim(i);
    steps[size_t(i - 1)] = stride(i);
  }
  part.shape_ = Shape(std::span<const int64_t>(dims.data(), size_t(rank() - 1)));
  part.strides_ = Shape(std::span<const int64_t>(steps.data(), size_t(rank() - 1)));
  return part;
}

Tensor Tensor::insert_dim(int d) const {
  std::array<int64_t, Shape::kMaxRank> dims{}, steps{};
  if (rank() >= Shape::kMaxRank)
    fail(ErrorKind::kInternal, "a fifth dimension for a tensor of shape {}", shape_.text());
  for (int i = 0, from = 0; i <= rank(); i++) {
    dims[size_t(i)] = i == d ? 1 : dim(from);
    steps[size_t(i)] = i == d ? (d < rank() ? stride(d) * dim(d) : 1) : stride(from);
    if (i != d) from++;
  }
  Tensor t = *this;
  t.shape_ = Shape(std::span<const int64_t>(dims.data(), size_t(rank() + 1)));
  t.strides_ = Shape(std::span<const int64_t>(steps.data(), size_t(rank() + 1)));
  return t;
}

}  // namespace tenth
