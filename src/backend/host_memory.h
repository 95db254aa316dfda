// The memory part of a backend whose tensors live in ordinary memory: the same functions as HostDevice's.
#pragma once
#include "backend/backend.h"

namespace tenth {

class HostBackend : public Backend {
 public:
  ~HostBackend() override { free_pool(); }
  void copy_from_host(void* device_data, const void* host_data, size_t bytes) override {
    memory_.copy_from_host(device_data, host_data, bytes);
  }
  void copy_to_host(void* host_data, const void* device_data, size_t bytes) override {
    memory_.copy_to_host(host_data, device_data, bytes);
  }

 protected:
  void* allocate_raw(size_t bytes) override { return memory_.allocate_raw(bytes); }
  void free_raw(void* data, size_t bytes) override { memory_.free_raw(data, bytes); }

 private:
  struct Memory : HostDevice {
    using HostDevice::allocate_raw;
    using HostDevice::free_raw;
  };
  Memory memory_;
};

}  // namespace tenth
