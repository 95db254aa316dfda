// Where the shared fixtures are: the environment variable TENTH_SHARED, else ../shared beside the checkout.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace tenth {

inline std::filesystem::path shared_folder() {
  if (const char* folder = std::getenv("TENTH_SHARED")) return folder;
  return std::filesystem::path(TENTH_SOURCE_DIR) / ".." / "shared";
}

}  // namespace tenth

// For tests that read fixtures: says so, once a test, where they are absent.
#define TENTH_NEEDS_SHARED() \
  if (!std::filesystem::exists(tenth::shared_folder())) GTEST_SKIP() << "no fixtures at " << tenth::shared_folder()
