// A JSON Schema as alternatives. A conjunction of schemas (and of negated ones) becomes cases without or: a value
// satisfies the conjunction where it satisfies one of them. What is below an array or object stays a conjunction, to be
// looked at in turn; so recursion by $ref ends in the same conjunctions again.
#pragma once
#include <compare>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "grammar/number_text.h"
#include "grammar/schema_document.h"

namespace tenth {

struct Term {
  const OrderedJson* schema;
  bool negated = false;
  auto operator<=>(const Term&) const = default;
};
using Terms = std::vector<Term>;  // all of them, each once, in the order of the document; none: any value

enum JsonTypes : uint32_t {
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,
  kFraction = 8,  // numbers that are not whole
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAllTypes = 127,
};

struct SchemaCase {
  uint32_t types = kAllTypes;
  std::optional<std::vector<const OrderedJson*>> values;  // enum, const: one of these
  std::vector<const OrderedJson*> excluded;               // not enum, not const: none of these

  NumberLimits number;

  uint64_t min_length = 0, max_length = UINT64_MAX;
  struct Pattern {
    const CharDfa* dfa;
    bool negated;
  };
  std::vector<Pattern> patterns;

  struct ArrayPart {
    const OrderedJson* prefix = nullptr;  // array of schemas
    const OrderedJson* rest = nullptr;
  };
  std::vector<ArrayPart> arrays;
  uint64_t min_items = 0, max_items = UINT64_MAX;

  struct ObjectPart {
    const OrderedJson *properties = nullptr, *patterns = nullptr, *additional = nullptr;
  };
  std::vector<ObjectPart> objects;
  std::vector<std::pair<std::string, Term>> members;  // further ones
  std::vector<Term> names;                            // propertyNames
  std::vector<std::string> required;
  std::set<std::string> forbidden;
  uint64_t min_members = 0, max_members = UINT64_MAX;

  struct Unsupported {
    uint32_t types;  // of values that it constrains
    std::string place, word;
  };
  std::vector<Unsupported> unsupported;
  // From "not": a member that none of these names (additionalProperties: false); what cannot be said, so that without a
  // list of values the case is left out.
  std::vector<std::set<std::string>> outside;
  bool unsaid = false;

  void merge(const SchemaCase& other);
  bool impossible() const { return types == 0 || (values && values->empty()); }
};

class SchemaCases {
 public:
  explicit SchemaCases(const SchemaDocument& document) : document_(document) {}

  // The cases of a conjunction; none where nothing satisfies it. Throws kUnsupported, kInput.
  const std::vector<SchemaCase>& of(const Terms& terms);
  Terms conjunction(Terms terms) const;

  // The places where a "not" could not be said and the text is narrower than the schema.
  const std::vector<std::string>& narrowed() const { return narrowed_; }

  // Members by name, in the order of the schema, then those that are only required.
  static std::vector<std::string> declared_names(const SchemaCase& c);
  // Of a case that allows objects: what the member `name` must satisfy, unless it is forbidden.
  Terms member_terms(const SchemaCase& c, const std::string& name) const;
  // Of a case that allows arrays: what item i must satisfy.
  Terms item_terms(const SchemaCase& c, size_t i) const;
  size_t prefix_length(const SchemaCase& c) const;
  // The text of strings; nullptr where only the lengths bind.
  std::optional<CharDfa> text_dfa(const SchemaCase& c) const;

  const SchemaDocument& document() const { return document_; }

 private:
  struct Chain {  // of the $refs that led to a term
    const OrderedJson* target;
    std::shared_ptr<const Chain> before;
    int length;
  };
  struct Pending {
    Term term;
    std::shared_ptr<const Chain> chain;
  };
  struct Alternative {
    SchemaCase more;
    std::vector<Pending> terms;
  };
  using Choice = std::vector<Alternative>;
  struct State {
    SchemaCase so_far;
    std::deque<Pending> pending;
    std::set<Term> done;
    std::vector<Choice> choices;
  };

  void expand(State state, const Terms& whole, std::vector<SchemaCase>& out);
  void finish(SchemaCase c, const Terms& whole, std::vector<SchemaCase>& out);
  // What a schema says: constraints of its own into state.so_far, the rest as terms and choices.
  void say(const Pending& pending, State& state);
  void say_values(const OrderedJson& schema, SchemaCase& c);
  void say_number(const OrderedJson& schema, SchemaCase& c);
  void say_string(const OrderedJson& schema, SchemaCase& c);
  void say_array(const OrderedJson& schema, SchemaCase& c);
  void say_object(const OrderedJson& schema, const Pending& pending, State& state);
  void say_combined(const OrderedJson& schema, const Pending& pending, State& state);
  void say_one_of(const OrderedJson& list, const Pending& pending, State& state);
  // What its "not" says: one of the alternatives.
  Choice deny(const Pending& pending);
  void deny_values(const OrderedJson& schema, Choice& choice);
  void deny_bounds(const OrderedJson& schema, Choice& choice);
  void deny_members(const OrderedJson& schema, Choice& choice);
  void deny_combined(const OrderedJson& schema, const Pending& pending, Choice& choice);
  Pending follow(const OrderedJson& schema, const Pending& pending) const;

  bool disjoint(const Term& a, const Term& b);
  bool disjoint(const SchemaCase& a, const SchemaCase& b);
  bool empty(const Terms& terms);  // no value satisfies all; false where that is not seen
  bool could_be(const SchemaCase& c, const OrderedJson& object) const;  // c allows it, as far as is seen
  void narrow(const OrderedJson& schema, const char* key, Choice& choice);

  uint64_t size_of(const OrderedJson& schema, const char* key, uint64_t otherwise) const;

  const SchemaDocument& document_;
  std::map<Terms, std::vector<SchemaCase>> known_;
  std::map<std::pair<Term, Term>, bool> disjoint_;
  std::set<Terms> open_;  // being looked at
  std::vector<std::string> narrowed_;
  size_t work_ = 0;
  int depth_ = 0;
};

}  // namespace tenth
