#include "problems/expression.h"

#include <algorithm>

namespace tenth {
namespace {

// One pass over the text; the first error ends it, for every reader returns nothing once one is set.
class Reader {
 public:
  Reader(std::string_view text, const ExpressionRules& rules) : text_(text), rules_(rules) {}

  Expression read() {
    if (text_.size() > rules_.max_length) {
      refuse("longer than " + std::to_string(rules_.max_length) + " bytes");
    } else if (const auto value = sum()) {
      if (peek() != '\0')
        refuse("something behind the expression");
      else
        result_.value = *value;
    }
    return std::move(result_);
  }

 private:
  using Value = std::optional<Rational>;

  // The next character that is no space, or 0 at the end. A zero byte in the text is read as one more bad character.
  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ') at_++;
    if (at_ == text_.size()) return '\0';
    return text_[at_] == '\0' ? '?' : text_[at_];
  }

  Value refuse(std::string why) {
    if (result_.error.empty()) result_.error = std::move(why);
    return std::nullopt;
  }

  Value checked(Value value) { return value ? value : refuse("the value does not fit into 64 bits"); }

  Value sum() {
    const bool negative = rules_.unary_minus && peek() == '-';
    if (negative) at_++;
    Value left = product();
    if (left && negative) left->num = -left->num;
    while (left && (peek() == '+' || peek() == '-')) {
      const char op = text_[at_++];
      const Value right = product();
      if (!right) return right;
      left = checked(op == '+' ? add(*left, *right) : subtract(*left, *right));
    }
    return left;
  }

  Value product() {
    Value left = atom();
    while (left && (peek() == '*' || peek() == '/')) {
      const char op = text_[at_++];
      const Value right = atom();
      if (!right) return right;
      if (op == '/' && right->num == 0) return refuse("division by zero");
      left = checked(op == '*' ? multiply(*left, *right) : divide(*left, *right));
    }
    return left;
  }

  Value atom() {
    if (peek() != '(') return number();
    if (++depth_ > rules_.max_depth) return refuse("parentheses nested too deep");
    at_++;
    const Value inside = sum();
    if (!inside) return inside;
    if (peek() != ')') return refuse("a parenthesis is not closed");
    at_++, depth_--;
    return inside;
  }

  Value number() {
    peek();
    const size_t begin = at_;
    int64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      if (int(at_ - begin) == std::min(rules_.max_digits, 18)) return refuse("a number has too many digits");
      value = value * 10 + (text_[at_++] - '0');
    }
    if (at_ == begin) return refuse("a number is missing at byte " + std::to_string(begin));
    if (text_[begin] == '0' && at_ - begin > 1) return refuse("a number has a leading zero");
    result_.numbers.push_back(value);
    return Rational{value, 1};
  }

  std::string_view text_;
  const ExpressionRules& rules_;
  size_t at_ = 0;
  int depth_ = 0;
  Expression result_;
};

}  // namespace

Expression evaluate(std::string_view text, const ExpressionRules& rules) { return Reader(text, rules).read(); }

bool solves_countdown(std::string_view text, const std::vector<int64_t>& numbers, int64_t target,
                      const ExpressionRules& rules) {
  const Expression expression = evaluate(text, rules);
  return expression.ok() && expression.value == Rational{target, 1} &&
         std::is_permutation(expression.numbers.begin(), expression.numbers.end(), numbers.begin(), numbers.end());
}

}  // namespace tenth
