// Attention over whole sequences: splits the work into tasks for the kernels.
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/scratch.h"

namespace tenth {
namespace {

using namespace cpu;

constexpr int64_t kTaskRows = 128;    // queries times heads that share one packing of the keys
constexpr int64_t kSerialWork = 1e6;  // multiply-adds below which one thread is enough (about 20 microseconds)

struct AttentionItem {
  int64_t place, length;   // first token of a sequence
  int64_t head;            // of the keys
  int64_t first, queries;  // within the sequence
};

// This thread's list, empty.
std::vector<AttentionItem>& empty_items() {
  thread_local std::vector<AttentionItem> items;
  items.clear();
  return items;
}

template <class Body>
void run_items(const std::vector<AttentionItem>& items, int64_t work, const Body& body) {
  if (work < kSerialWork) {
    for (const AttentionItem& item : items) body(item);
  } else {
    parallel_each(int64_t(items.size()), [&](int64_t i) { body(items[size_t(i)]); });
  }
}

int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

template <class T>
int64_t attend_floats(const AttendTask<T>& t) {
  const int64_t d = t.side.dk + t.side.dr, wide = padded(t.side.dv), rows = padded(t.rows.queries * t.rows.heads);
  return kAttentionKeys * (d + wide + kAttentionFewRows) + rows * (d + 2 * wide + 4) + 128;
}

template <class T>
int64_t attend_grad_floats(const AttendGradTask<T>& t) {
  const int64_t wide_k = padded(t.side.dk + t.side.dr), wide_v = padded(t.side.dv), length = padded(t.length);
  return kAttentionKeys * (3 * wide_k + 2 * wide_v + 2 * kAttentionKeys) + length * (2 * wide_k + wide_v + 1) + 32;
}

template <class T>
AttentionSide<T> side_of(const AttentionArgs& a, int64_t token, int64_t head) {
  const bool rope = a.k_rope.defined();
  return {.k = data_of<T>(a.k) + token * a.k.stride(0) + head * a.k.stride(1),
          .k_rope = rope ? data_of<T>(a.k_rope) + token * a.k_rope.stride(0) : nullptr,
          .v = data_of<T>(a.v) + token * a.v.stride(0) + head * a.v.stride(1),
          .k_row = a.k.stride(0),
          .k_rope_row = rope ? a.k_rope.stride(0) : 0,
          .v_row = a.v.stride(0),
          .dk = a.k.dim(2),
          .dr = rope ? a.k_rope.dim(1) : 0,
          .dv = a.v.dim(2),
          .scale = float(a.scale)};
}

// x[token, head] of (N, H, d).
template <class T>
T* at(const Tensor& x, int64_t token, int64_t head) {
  return data_of<T>(x) + token * x.stride(0) + head * x.stride(1);
}

}  // namespace

void CpuBackend::attention_forward(const Tensor& out, const Tensor& lse, const AttentionArgs& args) {
  const int64_t key_heads = args.k.dim(1), sharing = args.q.dim(1) / key_heads;
  const int64_t block = std::max<int64_t>(8, kTaskRows / sharing / 8 * 8), window = attention_window(args.sight.window);
  const int32_t* segments = args.segments.data<int32_t>();
  std::vector<AttentionItem>& items = empty_items();
  int64_t work = 0;
  for (int64_t s = 0; s + 1 < args.segments.dim(0); s++) {
    const int64_t begin = segments[s], length = segments[s + 1] - begin;
    for (int64_t first = (length - 1) / block * block; length > 0 && first >= 0; first -= block)  // the longest first
      for (int64_t g = 0; g < key_heads; g++)
        items.push_back({begin, length, g, first, std::min(block, length - first)});
    work += length * std::min(length / 2, window) * args.q.dim(1) * (args.q.dim(2) + args.v.dim(2));
  }
  with_type(args.q, "attention", [&]<class T>(T) {
    run_items(items, work, [&](const AttentionItem& item) {
      const int64_t token = item.place + item.first, head = item.head * sharing;
      const AttendTask<T> task = {.side = side_of<T>(args, item.place, item.head),
                                  .rows = {.q = at<T>(args.q, token, head),
                                           .out = at<T>(out, token, head),
                                           .lse = at<float>(lse, token, head),
                                           .q_row = args.q.stride(0),
                                           .q_head = args.q.stride(1),
                                           .out_row = out.stride(0),
                                           .out_head = out.stride(1),
                                           .lse_row = lse.stride(0),
                                           .first = item.first,
                                           .queries = item.queries,
                                           .heads = sharing,
                                           .window = window,
                                           .selected = selected_of(args.sight.selected, token),
                                           .selected_row = selected_row(args.sight.selected)}};
      pick<T>(*kernels().attention).attend(task, scratch(attend_floats(task)));
    });
  });
}

void CpuBackend::attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dk_rope, const Tensor& dv,
                                    const Tensor& dout, const Tensor& out, const Tensor& lse,
                                    const AttentionArgs& args) {
  const int64_t tokens = args.q.dim(0), key_heads = args.k.dim(1), sharing = args.q.dim(1) / key_heads;
  const int64_t dr = args.k_rope.defined() ? args.k_rope.dim(1) : 0, window = attention_window(args.sight.window);
  const int32_t* segments = args.segments.data<int32_t>();
  std::vector<AttentionItem>& items = empty_items();
  int64_t work = 0;
  for (int64_t s = 0; s + 1 < args.segments.dim(0); s++) {
    const int64_t begin = segments[s], length = segments[s + 1] - begin;
    for (int64_t g = 0; length > 0 && g < key_heads; g++) items.push_back({begin, length, g, 0, length});
    work += length * std::min(length, window) * args.q.dim(1) * (args.q.dim(2) + args.v.dim(2));
  }
  const Tensor rope_parts = dr > 0 ? Tensor::make(*this, DType::kF32, {key_heads, tokens, dr}) : Tensor();
  float* parts = data_of<float>(rope_parts);
  with_type(args.q, "attention", [&]<class T>(T) {
    run_items(items, work, [&](const AttentionItem& item) {
      const int64_t begin = item.place, head = item.head * sharing;
      const AttendGradTask<T> task = {.side = side_of<T>(args, begin, item.head),
                                      .q = at<T>(args.q, begin, head),
                                      .dout = at<T>(dout, begin, head),
                                      .out = at<T>(out, begin, head),
                                      .lse = at<float>(lse, begin, head),
                                      .dq = at<T>(dq, begin, head),
                                      .dk = at<T>(dk, begin, item.head),
                                      .dv = at<T>(dv, begin, item.head),
                                      .dk_rope = dr > 0 ? parts + (item.head * tokens + begin) * dr : nullptr,
                                      .q_row = args.q.stride(0),
                                      .q_head = args.q.stride(1),
                                      .dout_row = dout.stride(0),
                                      .dout_head = dout.stride(1),
                                      .out_row = out.stride(0),
                                      .out_head = out.stride(1),
                                      .lse_row = lse.stride(0),
                                      .dq_row = dq.stride(0),
                                      .dq_head = dq.stride(1),
                                      .dk_row = dk.stride(0),
                                      .dv_row = dv.stride(0),
                                      .length = item.length,
                                      .heads = sharing,
                                      .window = window,
                                      .selected = selected_of(args.sight.selected, begin),
                                      .selected_row = selected_row(args.sight.selected)};
      pick<T>(*kernels().attention).attend_grad(task, scratch(attend_grad_floats(task)));
    });
  });
  if (dr == 0) return;
  for (int64_t g = 1; g < key_heads; g++) kernels().rows->f32.accumulate(parts, parts + g * tokens * dr, tokens * dr);
  copy(dk_rope, rope_parts[0]);
}

}  // namespace tenth
