// Log-probabilities of given logits, their entropy, and the gradient.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace tenth {

using namespace cpu;

void CpuBackend::logprobs_forward(const Tensor& logprobs, const Tensor& lse, const Tensor& entropy,
                                  const Tensor& logits, const Tensor& targets) {
  const LogprobTask task = {.width = logits.dim(1),
                            .logprobs = data_of<float>(logprobs),
                            .lse = data_of<float>(lse),
                            .entropy = data_of<float>(entropy),
                            .logits = data_of<float>(logits),
                            .targets = targets.data<int32_t>(),
                            .logits_row = logits.stride(0)};
  parallel_for(logits.dim(0), row_grain(task.width + 64, 4),
               [&](int64_t begin, int64_t end) { kernels().rows->logprobs(task, begin, end); });
}

void CpuBackend::logprobs_backward(const Tensor& logits, const Tensor& dlogprobs, const Tensor& lse,
                                   const Tensor& targets, const Tensor& dlse, int64_t first) {
  const LogprobGradTask task = {.first = first,
                                .width = logits.dim(1),
                                .logits = data_of<float>(logits),
                                .dlogprobs = data_of<float>(dlogprobs),
                                .lse = data_of<float>(lse),
                                .dlse = data_of<float>(dlse),
                                .targets = targets.data<int32_t>(),
                                .logits_row = logits.stride(0)};
  parallel_for(logits.dim(0), row_grain(task.width + 16, 3),
               [&](int64_t begin, int64_t end) { kernels().rows->logprobs_grad(task, begin, end); });
}

}  // namespace tenth
