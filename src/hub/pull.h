// Downloads a model's files from a hub into the shared cache (cache.h).
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "hub/cache.h"

namespace tenth {

struct PullOptions {
  HubName name;
  std::string endpoint;  // "https://huggingface.co"
  std::string token;     // may be empty
  Path cache;
  std::vector<std::string> include;  // patterns (*, ?, […]) of which a file's path must match one; empty: what a model
                                     // in safetensors needs (weights, JSON, templates, text), no other forms of it
  std::function<void(int64_t done, int64_t total)> progress;  // bytes
};

// $HF_ENDPOINT or the hub itself; $HF_TOKEN.
std::string hub_endpoint();
std::string hub_token();

// Returns the snapshot's folder. What is in the cache already is not downloaded again; a part of a file goes on where
// it ends. Every file's hash is checked before it gets its name: one that does not match is deleted, and named in the
// error. Throws kInput for what the hub refuses (no such model, no right to it) and for wrong bytes, kIo where the
// connection or the disk fails or it is interrupted: the next call goes on.
Path pull(const PullOptions& options);

}  // namespace tenth
