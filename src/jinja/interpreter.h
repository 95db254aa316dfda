// One rendering of a template: walks the statements, with a budget.
#pragma once
#include <chrono>
#include <optional>

#include "jinja/syntax.h"
#include "jinja/template.h"

namespace tenth::jinja {

class Interpreter {
 public:
  Interpreter(const Variables& variables, const Limits& limits);
  ~Interpreter();  // empties the namespaces

  MarkedText run(const Body& body);
  int line() const { return line_; }  // of what was done last, for errors

  // For filters, tests, methods and functions:
  void charge(int64_t steps);
  // Takes what a walk over the whole value costs from the budget.
  void charge(const Value& value) { charge(value.weight()); }
  using Items = std::shared_ptr<const std::vector<Value>>;
  // What a loop over the value goes through, to be held while it does: the items may be made for it. Throws kInput
  // where the value has none.
  Items items_of(const Value& value);
  Value attribute(const Value& object, const std::string& name);
  Value item(const Value& object, const Value& key);
  Value call(const Value& callable, Arguments& arguments, const std::string& name);
  void keep(std::shared_ptr<Namespace> space) { spaces_.push_back(std::move(space)); }
  bool contains(const Value& container, const Value& value);  // value in container
  size_t text_limit() const { return limits_.output; }

 private:
  struct Scope {
    std::shared_ptr<Scope> parent;
    std::vector<std::pair<std::string, Value>> names;
  };
  enum class Flow { kOn, kBreak, kContinue };
  struct InScope;  // a scope within the present one, or within another

  Value* find(const std::string& name);
  void set(const std::string& name, Value value);
  void put(const MarkedText& text, MarkedText& out);

  Flow run(const Body& body, MarkedText& out);
  Flow run(const Statement& statement, MarkedText& out);
  Flow run_if(const Statement& statement, MarkedText& out);
  Flow run_for(const Statement& statement, MarkedText& out);
  std::vector<Value> filtered(const Statement& statement, Items items);
  void run_call_block(const Statement& statement, MarkedText& out);
  Value captured(const Statement& statement);
  void assign(const Expression& target, const Value& value);
  Value macro(const Statement& statement, std::string name);
  Value call_macro(const Statement& statement, const std::string& name, std::shared_ptr<Scope> outer,
                   Arguments& arguments);

  Value evaluate(const Expression& e);
  Value evaluate_kind(const Expression& e);
  Value dict_of(const Expression& e);
  Value compare(const Expression& e);

  Value slice(const Expression& e);
  Value call(const Expression& e);
  Arguments arguments(const Expression& e);
  std::vector<Value> evaluate_all(const Expression& e);

  const Limits limits_;
  const std::chrono::steady_clock::time_point deadline_;
  int64_t steps_ = 0, next_look_ = 0;
  int depth_ = 0, line_ = 1;
  int64_t loop_depth_ = 0;
  std::shared_ptr<Scope> scope_;
  Value captured_;
  std::vector<std::shared_ptr<Namespace>> spaces_;
};

// a op b for + - * / // % **. Throws kInput where Python has no such operation, or the result does not fit.
Value binary(Interpreter& run, const std::string& op, const Value& a, const Value& b);

// value[begin:end:step] with Python's meaning of what is missing (none) or negative.
Value slice_of(Interpreter& run, const Value& value, const Value& begin, const Value& end, const Value& step);

Value apply_filter(Interpreter& run, const std::string& name, const Value& value, Arguments& arguments);
bool apply_test(Interpreter& run, const std::string& name, const Value& value, Arguments& arguments);
// The method of a string, list or dict; nullopt where it has none of that name. Those that would change the object are
// refused when they are called.
std::optional<Value> find_method(const Value& object, const std::string& name);
Value loop_attribute(const Loop& loop, const std::string& name);
// range, dict, namespace, raise_exception, strftime_now.
Variables functions();

}  // namespace tenth::jinja
