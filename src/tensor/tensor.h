// A Tensor is a light view: a counted reference to a Storage, an element type, a shape of up to four dimensions and
// strides. The last dimension is always contiguous. Copying a Tensor copies the view, never the data.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/dtype.h"
#include "tensor/storage.h"

namespace tenth {

class Shape {
 public:
  static constexpr int kMaxRank = 4;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[size_t(i < 0 ? i + rank_ : i)]; }
  void set(int i, int64_t dim) { dims_[size_t(i)] = dim; }
  int64_t count() const;  // product of the dimensions; 1 for rank 0
  bool operator==(const Shape& other) const;
  std::string text() const;  // "(2, 3)"

 private:
  int rank_ = 0;
  std::array<int64_t, kMaxRank> dims_{};
};

class Tensor {
 public:
  Tensor() = default;
  Tensor(const Tensor& other);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor other) noexcept;
  ~Tensor();

  // Contents undefined.
  static Tensor make(Device& device, DType dtype, Shape shape);
  template <class T>
  static Tensor from_host(Device& device, std::span<const T> values, Shape shape) {
    Tensor t = make(device, dtype_of<T>, shape);
    require(int64_t(values.size()) == t.count(), ErrorKind::kInternal, "a tensor of shape {} from {} values",
            shape.text(), values.size());
    device.copy_from_host(t.raw(), values.data(), values.size_bytes());
    return t;
  }
  template <class T>
  static Tensor from_host(Device& device, const std::vector<T>& values) {
    return from_host(device, std::span<const T>(values), {int64_t(values.size())});
  }

  bool defined() const { return storage_ != nullptr; }
  explicit operator bool() const { return defined(); }
  Device& device() const { return *storage_->device; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t stride(int i) const { return strides_[i]; }  // in elements
  int64_t count() const { return shape_.count(); }
  size_t bytes() const { return size_t(count()) * size_of(dtype_); }
  bool contiguous() const;
  bool unique() const { return storage_ && storage_->references.load(std::memory_order_acquire) == 1; }
  bool same_storage(const Tensor& other) const { return storage_ == other.storage_; }

  // Views. view() needs a contiguous tensor and an equal count; one dimension may be -1.
  Tensor view(Shape shape) const;
  Tensor slice(int dim, int64_t begin, int64_t end) const;
  Tensor operator[](int64_t index) const;  // of the first dimension, which is dropped
  Tensor insert_dim(int dim) const;        // a new dimension of size 1 before dim

  // The data where the host can read it (CPU devices). T must be the element type.
  template <class T>
  T* data() const {
    require(dtype_ == dtype_of<T>, ErrorKind::kInternal, "a tensor of {} was read as {}", name_of(dtype_),
            name_of(dtype_of<T>));
    return static_cast<T*>(raw());
  }
  void* raw() const { return static_cast<std::byte*>(storage_->data) + offset_ * size_of(dtype_); }

  // A copy on the host; waits for the device.
  template <class T>
  std::vector<T> to_host() const {
    require(dtype_ == dtype_of<T> && contiguous(), ErrorKind::kInternal, "to_host of a {} tensor of shape {}",
            name_of(dtype_), shape_.text());
    std::vector<T> values(static_cast<size_t>(count()));
    if (!values.empty()) device().copy_to_host(values.data(), raw(), bytes());
    return values;
  }

 private:
  Storage* storage_ = nullptr;
  size_t offset_ = 0;  // in elements
  Shape shape_;
  Shape strides_;
  DType dtype_ = DType::kF32;
};

}  // namespace tenth
