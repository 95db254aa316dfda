// A backend against the reference. A case makes its inputs through a Trial, which gives both backends the same numbers,
// runs one operation, and hands over the results. check_parity compares them and asks for the same bits with 1, 2 and
// 4 threads; outputs lie between guard elements, so that a write past an end is seen.
#pragma once
#include <functional>
#include <memory>

#include "base/threads.h"
#include "tensor_util.h"

namespace tenth::testing {

// How tensors lie: dense and aligned, dense from an odd address on, or rows apart.
enum class Layout { kAligned, kOffset, kRowsApart };
inline constexpr Layout kLayouts[] = {Layout::kAligned, Layout::kOffset, Layout::kRowsApart};
inline constexpr DType kTypes[] = {DType::kF32, DType::kBF16};

// Allowed: |got - want| <= element |want| + sum magnitude. The magnitude of a result is the sum of the absolute values
// of its terms where the case gives it, else the largest |want| of the tensor. Negative: the default for the type,
// which is one unit in the last place of bfloat16 or four of f32, and 2e-6 for f32 sums.
struct Tolerance {
  double element = -1, sum = -1;
};

struct Result {
  std::string name;
  DType dtype;
  Values values, magnitudes;
  Tolerance tolerance;
};

class Trial {
 public:
  Trial(Backend& backend, Layout layout, uint64_t seed) : backend(backend), rng_(seed), seed_(seed), layout_(layout) {}

  Backend& backend;
  bool oracle() const { return backend.name() == "reference"; }
  Rng& rng() { return rng_; }

  Tensor in(DType dtype, Shape shape, double scale = 1) { return in(dtype, shape, draw(shape.count(), scale)); }
  Tensor in(DType dtype, Shape shape, const Values& values) {
    Tensor t = place(dtype, shape);
    set_values(t, values);
    return t;
  }
  // Always dense: for arguments that may not have rows apart.
  Tensor dense(DType dtype, Shape shape, double scale = 1) {
    return tensor_of(backend, dtype, shape, draw(shape.count(), scale));
  }
  Tensor ints(const std::vector<int32_t>& values) { return testing::ints(backend, values); }
  // Outputs: NaN at first, so that what the operation leaves out is seen.
  Tensor out(DType dtype, Shape shape) {
    const bool integer = dtype == DType::kI32;
    return in(dtype, shape, Values(size_t(shape.count()), integer ? -99 : kNaN));
  }
  Tensor dense_out(DType dtype, Shape shape) {
    std::swap(layout_, spare_);
    Tensor t = out(dtype, shape);
    std::swap(layout_, spare_);
    return t;
  }

  void result(const std::string& name, const Tensor& t, Tolerance tolerance = {}, Values magnitudes = {}) {
    results.push_back({name, t.dtype(), values_of(t), std::move(magnitudes), tolerance});
  }
  void result(const std::string& name, double value, Tolerance tolerance = {}) {
    results.push_back({name, DType::kF32, {value}, {}, tolerance});
  }
  void check_guards() const {
    for (const Guard& guard : guards_) {
      const Values now = values_of(guard.base);
      std::vector<bool> inside(now.size());
      const int64_t start = (static_cast<std::byte*>(guard.view.raw()) - static_cast<std::byte*>(guard.base.raw())) /
                            int64_t(size_of(guard.base.dtype()));
      for (int64_t i = 0; i < guard.view.count(); i++) inside[size_t(start + offset_of(guard.view, i))] = true;
      for (size_t i = 0; i < now.size(); i++) {
        if (inside[i]) continue;
        ASSERT_EQ(now[i], kGuard) << "an element outside the tensor " << guard.view.shape().text() << " was written";
      }
    }
  }

  std::vector<Result> results;

 private:
  // Mean 0, variance 1, the sum of two uniform numbers: the tests would otherwise spend their time on logarithms.
  Values draw(int64_t count, double scale) {
    Values values(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); i += 2) {
      const auto block = philox(seed_, 1, draws_++);
      for (size_t j = 0; j < 2 && i + j < values.size(); j++)
        values[i + j] = scale * std::sqrt(6.0) * (double(block[2 * j]) + double(block[2 * j + 1]) - 0x1p32) * 0x1p-32;
    }
    return values;
  }

  static constexpr double kGuard = 77;
  struct Guard {
    Tensor base, view;
  };

  Tensor place(DType dtype, Shape shape) {
    const bool apart = layout_ == Layout::kRowsApart && shape.rank() > 1;
    const int64_t front = layout_ == Layout::kAligned ? 64 : 7, columns = shape[-1];
    Tensor base, view;
    if (apart) {
      Shape wide = shape;
      wide.set(shape.rank() - 1, columns + 9);
      base = full(backend, dtype, wide, kGuard);
      view = base.slice(shape.rank() - 1, 4, 4 + columns);
      base = base.view({-1});
      if (wide.count() == 0) return view;
    } else {
      base = full(backend, dtype, {front + shape.count() + 35}, kGuard);
      view = base.slice(0, front, front + shape.count()).view(shape);
    }
    guards_.push_back({base, view});
    return view;
  }

  Rng rng_;
  uint64_t seed_, draws_ = 0;
  Layout layout_, spare_ = Layout::kOffset;
  std::vector<Guard> guards_;
};

using Case = std::function<void(Trial&)>;

inline Backend& oracle() { return get_backend("reference"); }
inline Backend& subject() { return get_backend("cpu"); }

inline void compare(const Result& got, const Result& want) {
  ASSERT_EQ(got.values.size(), want.values.size()) << want.name;
  double largest = 0;
  for (double value : want.values)
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
  const bool half = want.dtype == DType::kBF16, integer = want.dtype == DType::kI32;
  const double element = want.tolerance.element >= 0 ? want.tolerance.element : integer ? 0 : half ? 0x1p-7 : 0x1p-21;
  const double sum = want.tolerance.sum >= 0 ? want.tolerance.sum : integer ? 0 : 2e-6;
  size_t wrong = 0, first = 0;
  double allowed_at_first = 0, worst = 0;
  for (size_t i = want.values.size(); i-- > 0;) {
    const double a = got.values[i], b = want.values[i];
    const double magnitude = want.magnitudes.empty() ? largest : want.magnitudes[i];
    const double flush = integer ? 0 : double(std::numeric_limits<float>::min());
    const double allowed = element * std::fabs(b) + sum * magnitude + flush;
    const bool good = std::isfinite(b) ? std::fabs(a - b) <= allowed : same_bits(a, b);
    if (std::isfinite(b) && allowed > 0) worst = std::max(worst, std::fabs(a - b) / allowed);
    if (!good) wrong++, first = i, allowed_at_first = allowed;
  }
  EXPECT_EQ(wrong, 0u) << want.name << " (" << want.values.size() << " values): first at " << first << ", got "
                       << got.values[first] << ", reference " << want.values[first] << ", allowed " << allowed_at_first
                       << "; worst " << worst << " times what is allowed";
}

inline void check_parity(const Case& run, Layout layout = Layout::kAligned, uint64_t seed = 1) {
  Trial want(oracle(), layout, seed);
  run(want);
  ASSERT_NO_FATAL_FAILURE(want.check_guards()) << "reference";
  const int threads_before = thread_count();
  std::vector<Result> first;
  for (int threads : {1, 2, 4}) {
    SCOPED_TRACE(std::to_string(threads) + " threads");
    set_thread_count(threads);
    Trial got(subject(), layout, seed);
    run(got);
    got.check_guards();
    EXPECT_EQ(got.results.size(), want.results.size());
    if (threads == 1) {
      first = std::move(got.results);
      for (size_t i = 0; i < first.size(); i++) compare(first[i], want.results[i]);
    } else {
      for (size_t i = 0; i < first.size(); i++)
        expect_same_bits(got.results[i].values, first[i].values, first[i].name + " against one thread");
    }
    if (::testing::Test::HasFailure()) break;
  }
  set_thread_count(threads_before);
}

// Batch invariance: run(begin, end) gives the results of rows [begin, end) of a batch of n, flattened; each row must
// have the same bits alone, in a small batch and in the whole one.
inline void check_rows_alone(int64_t n, const std::function<Values(int64_t, int64_t)>& run) {
  const Values whole = run(0, n);
  const int64_t width = int64_t(whole.size()) / n;
  for (int64_t size : {int64_t(1), int64_t(2), int64_t(3), int64_t(5), int64_t(16), n - 1}) {
    for (int64_t begin : {int64_t(0), n / 2, n - size}) {
      if (size < 1 || begin < 0 || begin + size > n) continue;
      const Values want(whole.begin() + begin * width, whole.begin() + (begin + size) * width);
      expect_same_bits(run(begin, begin + size), want,
                       "rows [" + std::to_string(begin) + ", " + std::to_string(begin + size) + ") of " +
                           std::to_string(n) + " computed apart");
      if (::testing::Test::HasFailure()) return;
    }
  }
}

inline std::string text_of(DType dtype, Layout layout) {
  const char* names[] = {"aligned", "offset", "rows apart"};
  return std::string(name_of(dtype)) + " " + names[int(layout)];
}

}  // namespace tenth::testing
