// One comparison for every task: is this text the right answer to the problem?
#pragma once
#include <string_view>

#include "problems/problem.h"

namespace tenth {

// answer: the text between the tags (or in the box), from a model: any length, any bytes. Answers above 4096 bytes are
// wrong. The rules are those of Compare; an answer that cannot be read by its rule is wrong.
bool is_right(const Problem& problem, std::string_view answer);

}  // namespace tenth
