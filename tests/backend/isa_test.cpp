// Every instruction set that this machine has passes the parity tests. A process chooses its set once, so each one is a
// run of this binary of its own, with TENTH_CPU set.
#include "backend/cpu/isa.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace tenth::cpu {
namespace {

class InstructionSet : public ::testing::TestWithParam<Isa> {};

TEST_P(InstructionSet, PassesParity) {
  const std::string isa(name_of(GetParam()));
  if (!isa_available(GetParam())) GTEST_SKIP() << "this machine has no " << isa;
  const std::string binary = std::filesystem::read_symlink("/proc/self/exe");
  const std::string command =
      "TENTH_CPU=" + isa + " '" + binary + "' '--gtest_filter=Parity*:*Fp8Blocks*:Fp8Parity*' --gtest_brief=1 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  char part[4096];
  while (size_t got = fread(part, 1, sizeof part, pipe)) output.append(part, got);
  EXPECT_EQ(pclose(pipe), 0) << output;
  EXPECT_NE(output.find("PASSED"), std::string::npos) << output;
}

INSTANTIATE_TEST_SUITE_P(All, InstructionSet, ::testing::ValuesIn(kIsas),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace tenth::cpu
