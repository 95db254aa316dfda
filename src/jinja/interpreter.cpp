// Scopes, the budget and statements; expressions are in evaluate.cpp.
#include "jinja/interpreter.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "jinja/deeper.h"

namespace tenth::jinja {

struct Interpreter::InScope {
  Interpreter& run;
  std::shared_ptr<Scope> before;
  InScope(Interpreter& r, std::shared_ptr<Scope> parent) : run(r), before(r.scope_) {
    run.scope_ = std::make_shared<Scope>(Scope{std::move(parent), {}});
  }
  ~InScope() { run.scope_ = std::move(before); }
};

Interpreter::Interpreter(const Variables& variables, const Limits& limits)
    : limits_(limits),
      deadline_(std::chrono::steady_clock::now() + std::chrono::milliseconds(limits.milliseconds)),
      scope_(std::make_shared<Scope>(Scope{nullptr, functions()})) {
  scope_ = std::make_shared<Scope>(Scope{scope_, {}});
  for (const auto& [name, value] : variables) set(name, value);
}

// A macro in a namespace of the scope that the macro knows would keep all three alive.
Interpreter::~Interpreter() {
  for (auto& space : spaces_) space->items.clear();
}

void Interpreter::charge(int64_t steps) {
  steps_ += steps;
  require(steps_ <= limits_.steps, ErrorKind::kInput, "expected a template that ends within {} steps", limits_.steps);
  if (steps_ < next_look_) return;
  next_look_ = steps_ + 1000;
  require(std::chrono::steady_clock::now() <= deadline_, ErrorKind::kInput,
          "expected a template that ends within {} ms", limits_.milliseconds);
}

Value* Interpreter::find(const std::string& name) {
  for (Scope* scope = scope_.get(); scope; scope = scope->parent.get()) {
    charge(int64_t(scope->names.size() / 16));
    for (auto& [n, value] : scope->names)
      if (n == name) return &value;
  }
  return nullptr;
}

void Interpreter::set(const std::string& name, Value value) {
  for (auto& [n, old] : scope_->names)
    if (n == name) return void(old = std::move(value));
  scope_->names.emplace_back(name, std::move(value));
}

void Interpreter::put(const MarkedText& text, MarkedText& out) {
  charge(1 + int64_t(text.size() / 64));
  require(out.size() + text.size() <= limits_.output, ErrorKind::kInput, "expected an output of at most {} bytes",
          limits_.output);
  out.append(text);
}

MarkedText Interpreter::run(const Body& body) {
  MarkedText out;
  run(body, out);
  return out;
}

Interpreter::Flow Interpreter::run(const Body& body, MarkedText& out) {
  const Deeper deeper(depth_);
  for (const Statement& statement : body)
    if (const Flow flow = run(statement, out); flow != Flow::kOn) return flow;
  return Flow::kOn;
}

Interpreter::Flow Interpreter::run(const Statement& statement, MarkedText& out) {
  line_ = statement.line;
  charge(1);
  switch (statement.kind) {
    case Statement::kText: put(MarkedText(statement.text), out); break;
    case Statement::kPrint: {
      const Value value = evaluate(*statement.value);
      charge(value);
      put(to_text(value), out);
      break;
    }
    case Statement::kIf: return run_if(statement, out);
    case Statement::kFor: return run_for(statement, out);
    case Statement::kSet: assign(*statement.target, evaluate(*statement.value)); break;
    case Statement::kSetBlock: assign(*statement.target, captured(statement)); break;
    case Statement::kMacro: set(statement.text, macro(statement, statement.text)); break;
    case Statement::kCallBlock: run_call_block(statement, out); break;
    case Statement::kFilterBlock: put(to_text(captured(statement)), out); break;
    case Statement::kWith: {
      std::vector<Value> values;
      for (const auto& [target, value] : statement.assignments) values.push_back(evaluate(*value));
      const InScope in(*this, scope_);
      for (size_t i = 0; i < values.size(); i++) assign(*statement.assignments[i].first, values[i]);
      return run(statement.branches[0].body, out);
    }
    case Statement::kGroup: {
      const InScope in(*this, scope_);
      return run(statement.branches[0].body, out);
    }
    case Statement::kBreak: return Flow::kBreak;
    case Statement::kContinue: return Flow::kContinue;
  }
  return Flow::kOn;
}

Interpreter::Flow Interpreter::run_if(const Statement& statement, MarkedText& out) {
  for (const auto& branch : statement.branches)
    if (!branch.condition || truth(evaluate(*branch.condition))) return run(branch.body, out);
  return Flow::kOn;
}

std::vector<Value> Interpreter::filtered(const Statement& statement, Items items) {
  std::vector<Value> kept;
  for (const Value& value : *items) {
    charge(1);
    const InScope in(*this, scope_);
    assign(*statement.target, value);
    if (truth(evaluate(*statement.condition))) kept.push_back(value);
  }
  return kept;
}

Interpreter::Flow Interpreter::run_for(const Statement& statement, MarkedText& out) {
  Items items = items_of(evaluate(*statement.value));
  if (statement.condition) items = std::make_shared<const std::vector<Value>>(filtered(statement, std::move(items)));
  if (items->empty()) {
    if (statement.branches.size() < 2) return Flow::kOn;
    const InScope in(*this, scope_);
    return run(statement.branches[1].body, out);
  }
  loop_depth_++;
  for (size_t i = 0; i < items->size(); i++) {
    charge(1);
    const InScope in(*this, scope_);
    assign(*statement.target, (*items)[i]);
    set("loop", std::make_shared<const Loop>(Loop{items, int64_t(i), loop_depth_}));
    if (run(statement.branches[0].body, out) == Flow::kBreak) break;
  }
  loop_depth_--;
  return Flow::kOn;
}

Value Interpreter::captured(const Statement& statement) {
  MarkedText text;
  {
    const InScope in(*this, scope_);
    run(statement.branches[0].body, text);
  }
  captured_ = Value(std::move(text));
  return evaluate(*statement.value);
}

void Interpreter::assign(const Expression& target, const Value& value) {
  if (target.kind == Expression::kName) return set(target.name, value);
  if (target.kind == Expression::kAttribute) {
    const std::string& name = target.kids[0]->name;
    const Value* object = find(name);
    require(object && object->space(), ErrorKind::kInput, "expected {} to be a namespace, got {}", name,
            object ? object->type_name() : "undefined");
    require(value.depth() < Value::kMaxDepth, ErrorKind::kInput, "expected data in a namespace, got a {}",
            value.type_name());
    auto& items = object->space()->items;
    charge(int64_t(items.size() / 16));
    for (auto& [n, old] : items)
      if (n == target.name) return void(old = value);
    items.emplace_back(target.name, value);
    return;
  }
  const Items parts = items_of(value);
  require(parts->size() == target.kids.size(), ErrorKind::kInput, "expected {} values to unpack, got {}",
          target.kids.size(), parts->size());
  for (size_t i = 0; i < parts->size(); i++) assign(*target.kids[i], (*parts)[i]);
}

Value Interpreter::macro(const Statement& statement, std::string name) {
  // The scope owns the macro's value, so the macro must not own the scope.
  const std::weak_ptr<Scope> outer = scope_;
  auto call = [&statement, name, outer](Interpreter& run, Arguments& arguments) {
    auto scope = outer.lock();
    require(scope != nullptr, ErrorKind::kInput, "{}: the block where this macro was made is over", name);
    return run.call_macro(statement, name, std::move(scope), arguments);
  };
  return std::make_shared<const Callable>(Callable{name, std::move(call)});
}

Value Interpreter::call_macro(const Statement& statement, const std::string& name, std::shared_ptr<Scope> outer,
                              Arguments& arguments) {
  const Deeper deeper(depth_);
  const InScope in(*this, std::move(outer));
  const auto& parameters = statement.parameters;
  require(arguments.positional.size() <= parameters.size(), ErrorKind::kInput,
          "{}: expected at most {} arguments, got {}", name, parameters.size(), arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); i++) set(parameters[i].name, arguments.positional[i]);
  for (auto& [given, value] : arguments.named) {
    auto is_given = [&given = given](const Parameter& p) { return p.name == given; };
    const auto it = std::find_if(parameters.begin(), parameters.end(), is_given);
    require(
        given == "caller" || (it != parameters.end() && size_t(it - parameters.begin()) >= arguments.positional.size()),
        ErrorKind::kInput, "{}: unexpected argument {}", name, given);
    set(given, value);
  }
  for (size_t i = arguments.positional.size(); i < parameters.size(); i++) {
    const auto& names = scope_->names;
    if (std::any_of(names.begin(), names.end(), [&](const auto& n) { return n.first == parameters[i].name; })) continue;
    set(parameters[i].name,
        parameters[i].standard ? evaluate(*parameters[i].standard) : Value::undefined(parameters[i].name));
  }
  MarkedText text;
  const int64_t loops = std::exchange(loop_depth_, 0);
  run(statement.branches[0].body, text);
  loop_depth_ = loops;
  return text;
}

void Interpreter::run_call_block(const Statement& statement, MarkedText& out) {
  const Expression& called = *statement.value;
  const Value function = evaluate(*called.kids[0]);
  Arguments given = arguments(called);
  given.named.emplace_back("caller", macro(statement, "caller"));
  put(to_text(call(function, given, called.kids[0]->name)), out);
}

}  // namespace tenth::jinja
