// JSON Schema (2020-12, and the words of drafts 4 to 7 for the same things) to a grammar.
//
// Held exactly, alone or together (allOf and siblings are merged, alternatives multiplied out):
//   type, enum, const, properties, required, additionalProperties, patternProperties, propertyNames, dependentRequired,
//   dependentSchemas, dependencies, minProperties where there are only declared members or it is at most 1,
//   maxProperties, items, prefixItems, additionalItems, minItems, maxItems, uniqueItems: false, minLength, maxLength,
//   pattern (regex.h), minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf of whole numbers up to 1000 and
//   of 0.1, 0.01, …, anyOf, $ref within the schema, $defs, definitions, if/then/else, and format: date, time,
//   date-time, duration, uuid, email, hostname, ipv4, ipv6, uri, uri-reference, json-pointer (other names of formats
//   are notes, as the standard says).
// oneOf: exact where its branches exclude each other, or where "not" of the others can be said.
// not: of types, enum, const, required, properties, bounds, lengths, patterns, and of and/or of these.
// Beside an enum or a const every word is exact: the values are checked one by one.
// All else that would constrain is refused, by name and JSON pointer (uniqueItems, contains, unevaluated…, $dynamicRef,
// a remote $ref): never ignored. Where a "not" cannot be said the text is kept narrower than the schema, never wider.
//
// Also narrower than the schema: members come in the order of the schema (MemberOrder), a declared key comes once,
// others may come again (readers take the last);
// integers are written without fraction or exponent in at most 18 digits, numbers in at most 20 + 20 digits and an
// exponent of two, with bounds with an exponent only below 1. White space: at each place where JSON has it nothing, one
// blank, or one line end and up to 32 blanks or tabs, so that a model cannot write it for ever; none around the whole.
#pragma once
#include <string>
#include <string_view>

#include "base/ordered_json.h"
#include "grammar/network.h"

namespace tenth {

// Throws kUnsupported for a word that is not supported, kInput for a broken schema, one that nothing satisfies, or one
// that is too large; each names where and the JSON pointer of the place.
Network json_schema_network(const OrderedJson& schema, const std::string& where, bool members_as_listed);

// How the members of an object are written where it is not as JSON; texts are spelled (GrammarVocabulary::spelled).
struct ParameterSyntax {
  std::string before_name;         // a name without < > " and line ends, as it is
  std::string before_text;         // behind the name of a string: its text as it is
  std::string before_json;         // behind the name of another value: JSON
  std::string after;               // a value
  std::string between;             // two members
  std::string last;                // behind the last one, and where there is none; not empty
  std::string_view never_in_text;  // a pattern (regex.h): texts with such a part cannot be written
};

// The same for a schema of objects whose members are written so. Throws kUnsupported too for a name that cannot be
// written, and where an enum or a const lists whole objects.
Network parameters_network(const OrderedJson& schema, const std::string& where, bool members_as_listed,
                           const ParameterSyntax& syntax);

}  // namespace tenth
