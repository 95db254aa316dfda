// A build without CUDA links cuda_stub.cpp, which says so.
#pragma once
#include <memory>

#include "backend/backend.h"

namespace tenth {

std::unique_ptr<Backend> make_cuda_backend();

}  // namespace tenth
