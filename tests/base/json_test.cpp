#include "base/json.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace tenth {
namespace {

TEST(Json, TextAfterANulIsNotLeftUnread) {
  EXPECT_EQ(parse_json("{\"a\": \"\\u0000\"}", "x")["a"], std::string(1, '\0'));
  for (std::string_view text :
       {std::string_view("{}\0", 3), std::string_view("{}\0{", 4), std::string_view("\0{}", 3)}) {
    EXPECT_THROW(parse_json(text, "x"), Error);
  }
}

}  // namespace
}  // namespace tenth
