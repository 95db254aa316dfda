// Loops over all cores, on a pool of our own. The split of the work never changes a result: bodies write to disjoint
// places, and a sum over items is made in blocks whose size does not depend on the number of threads.
//
// Why not OpenMP: its loops end in a barrier of all threads, so a core that other work has taken for a moment stalls
// every loop (measured on a busy 2-core machine: 4 times slower than one thread). Here threads claim parts of the work;
// one that is not there claims none, and the caller does them itself. It is also what thread sanitizers understand.
#pragma once
#include <cstdint>

namespace tenth {

// Threads that parallel_for uses: --threads, else TENTH_THREADS, else the cores this process may run on.
int thread_count();
void set_thread_count(int count);

namespace threads_detail {
// Calls call(context, part) for part = 0 … parts - 1, each once, on any of the threads. Within such a call, or while
// another thread of the process is in one, it runs all parts here. An exception of a part is thrown again at the end.
void run_parts(int64_t parts, void (*call)(const void* context, int64_t part), const void* context);
}  // namespace threads_detail

// Calls body(begin, end) on disjoint parts that cover [0, n). A part holds at least grain items (but the last).
template <class Body>
void parallel_for(int64_t n, int64_t grain, const Body& body) {
  if (n <= 0) return;
  const int64_t most = grain > 0 ? (n + grain - 1) / grain : n;
  const int64_t threads = thread_count();
  const int64_t parts = threads == 1 ? 1 : (most < 2 * threads ? most : 2 * threads);
  if (parts <= 1) return body(int64_t(0), n);
  struct Context {
    const Body* body;
    int64_t n, parts;
  } context{&body, n, parts};
  threads_detail::run_parts(
      parts,
      [](const void* raw, int64_t part) {
        const Context& c = *static_cast<const Context*>(raw);
        (*c.body)(c.n * part / c.parts, c.n * (part + 1) / c.parts);
      },
      &context);
}

// Calls body(i) for every i in [0, n), handed out one at a time: for items of unequal cost.
template <class Body>
void parallel_each(int64_t n, const Body& body) {
  if (n <= 0) return;
  if (n == 1 || thread_count() == 1) {
    for (int64_t i = 0; i < n; i++) body(i);
    return;
  }
  threads_detail::run_parts(
      n, [](const void* raw, int64_t part) { (*static_cast<const Body*>(raw))(part); }, &body);
}

}  // namespace tenth
