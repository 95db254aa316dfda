// A level of recursion, counted, so that no template can use up the stack.
#pragma once
#include "base/error.h"

namespace tenth::jinja {

class Deeper {
 public:
  static constexpr int kDeepest = 1500;
  explicit Deeper(int& depth) : depth_(depth) {
    require(depth_ < kDeepest, ErrorKind::kInput, "expected calls and blocks within each other to at most {} levels",
            kDeepest);
    depth_++;
  }
  ~Deeper() { depth_--; }

 private:
  int& depth_;
};

}  // namespace tenth::jinja
