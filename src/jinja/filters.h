// Filters over lists: kept apart from those over one value.
#pragma once
#include "jinja/arguments.h"

namespace tenth::jinja {

// value['a']['b'] for "a.b"; digits and numbers are indices.
Value attribute_path(Interpreter& run, const Value& value, const Value& path);

// map, select, reject, selectattr, rejectattr: these take the name of another filter or test, and its arguments.
bool is_selection(const std::string& name);
Value select_filter(Interpreter& run, const std::string& name, const Value& value, const Arguments& arguments);

Value sort_filter(Interpreter& run, const Value& value, const Parameters& given);
Value unique_filter(Interpreter& run, const Value& value, const Parameters& given);
Value least_filter(Interpreter& run, const Value& value, const Parameters& given);
Value greatest_filter(Interpreter& run, const Value& value, const Parameters& given);
Value dictsort_filter(Interpreter& run, const Value& value, const Parameters& given);

}  // namespace tenth::jinja
