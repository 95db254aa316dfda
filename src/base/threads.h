// Loops over all cores. The split of the work never changes a result: bodies write to disjoint places, and a sum over
// items is made in blocks whose size does not depend on the number of threads.
#pragma once
#include <cstdint>

namespace tenth {

// Threads that parallel_for uses: --threads, else TENTH_THREADS, else the cores this process may run on.
int thread_count();
void set_thread_count(int count);

// Calls body(begin, end) on disjoint parts that cover [0, n). A part holds at least grain items (but the last).
template <class Body>
void parallel_for(int64_t n, int64_t grain, const Body& body) {
  if (n <= 0) return;
  const int64_t parts = grain > 0 ? (n + grain - 1) / grain : n;
  const int threads = int(parts < thread_count() ? parts : thread_count());
  if (threads <= 1) return body(int64_t(0), n);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int t = 0; t < threads; t++) body(n * t / threads, n * (t + 1) / threads);
}

// Calls body(i) for every i in [0, n), handed out one at a time: for items of unequal cost.
template <class Body>
void parallel_each(int64_t n, const Body& body) {
  const int threads = int(n < thread_count() ? n : thread_count());
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int64_t i = 0; i < n; i++) body(i);
}

}  // namespace tenth
