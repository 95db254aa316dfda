// Memory of a device. A Storage is a reference-counted block; freed blocks go back to their device's pool and are
// handed out again, so that a training step or a decoded token, once warm, asks the system for nothing.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>

namespace tenth {

class Device;

struct Storage {
  Device* device = nullptr;
  void* data = nullptr;
  size_t capacity = 0;  // bytes
  std::atomic<int> references = 0;
  Storage* next_free = nullptr;
};

// What the pool takes for a tensor of so many bytes: sizes grow in quarters of a power of two.
size_t block_bytes(size_t bytes);

// Where tensors live. Every Backend is a Device. A device outlives its tensors.
class Device {
 public:
  virtual ~Device();
  virtual std::string_view name() const = 0;
  virtual void copy_from_host(void* device_data, const void* host_data, size_t bytes) = 0;
  virtual void copy_to_host(void* host_data, const void* device_data, size_t bytes) = 0;  // waits for the device

  Storage* acquire(size_t bytes);  // contents undefined, aligned to 64 bytes, references = 1
  void release(Storage* block);    // back to the pool

  struct PoolStatistics {
    size_t bytes_in_use = 0, peak_bytes_in_use = 0;
    size_t system_allocations = 0;  // how often the pool had to ask the system
  };
  PoolStatistics pool_statistics() const;
  void reset_peak();

 protected:
  virtual void* allocate_raw(size_t bytes) = 0;
  virtual void free_raw(void* data, size_t bytes) = 0;
  void free_pool();  // for the destructors of subclasses, while their free_raw still exists

 private:
  void trim(size_t wanted);  // before so much is asked of the system

  static constexpr int kClasses = 160;  // four sizes a power of two
  mutable std::mutex mutex_;
  std::array<Storage*, kClasses> free_{};
  PoolStatistics statistics_;
};

// A Device whose memory the host reads directly.
class HostDevice : public Device {
 public:
  ~HostDevice() override { free_pool(); }
  std::string_view name() const override { return "host"; }
  void copy_from_host(void* device_data, const void* host_data, size_t bytes) override;
  void copy_to_host(void* host_data, const void* device_data, size_t bytes) override;

 protected:
  void* allocate_raw(size_t bytes) override;
  void free_raw(void* data, size_t bytes) override;
};

}  // namespace tenth
