#include "schema.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <unordered_map>

#include "error.h"
#include "suggest.h"

namespace qtensor {
namespace {

struct FieldType {
  Layout layout = Layout::Unsupported;
  Kind kind = Kind::Null;
  int32_t bits = 0, precision = 0, scale = 0;
  std::string text;  // as SQL writes it
};

FieldType integer(Layout layout, int32_t bits, const char* text) {
  return {layout, Kind::Integer, bits, 0, 0, text};
}

FieldType decimal(const char* format) {
  int precision = 0, scale = 0, bits = 128;
  const int read = std::sscanf(format, "d:%d,%d,%d", &precision, &scale, &bits);
  if (read < 2 || scale < 0 || scale > precision || precision > 38) return {};
  Layout layout = bits == 32    ? Layout::Decimal32
                  : bits == 64  ? Layout::Decimal64
                  : bits == 128 ? Layout::Decimal128
                  : bits == 256 ? Layout::Decimal256
                                : Layout::Unsupported;
  return {layout, Kind::Decimal, 0, precision, scale, "DECIMAL(" + std::to_string(precision) + "," + std::to_string(scale) + ")"};
}

FieldType timestamp(const char* format) {
  if (std::strlen(format) != 4 || format[3] != ':') return {};  // a time zone follows
  Layout layout = format[2] == 's'   ? Layout::Seconds
                  : format[2] == 'm' ? Layout::Milliseconds
                  : format[2] == 'u' ? Layout::Microseconds
                  : format[2] == 'n' ? Layout::Nanoseconds
                                     : Layout::Unsupported;
  return {layout, Kind::Timestamp, 0, 0, 0, "TIMESTAMP"};
}

FieldType type_of(const char* format) {
  const std::string_view name = format;
  if (name.substr(0, 2) == "d:") return decimal(format);
  if (name.substr(0, 2) == "ts") return timestamp(format);
  if (name == "tdD") return {Layout::Days, Kind::Date, 0, 0, 0, "DATE"};
  if (name == "tdm") return {Layout::DayMilliseconds, Kind::Date, 0, 0, 0, "DATE"};
  if (name == "vu") return {Layout::TextView, Kind::Varchar, 0, 0, 0, "VARCHAR"};
  if (name.size() != 1) return {};
  switch (name[0]) {
    case 'n':
      return {Layout::Null, Kind::Null, 0, 0, 0, "\"NULL\""};
    case 'b':
      return {Layout::Bits, Kind::Boolean, 0, 0, 0, "BOOLEAN"};
    case 'c':
      return integer(Layout::Int8, 8, "TINYINT");
    case 'C':
      return integer(Layout::UInt8, 8, "UTINYINT");
    case 's':
      return integer(Layout::Int16, 16, "SMALLINT");
    case 'S':
      return integer(Layout::UInt16, 16, "USMALLINT");
    case 'i':
      return integer(Layout::Int32, 32, "INTEGER");
    case 'I':
      return integer(Layout::UInt32, 32, "UINTEGER");
    case 'l':
      return integer(Layout::Int64, 64, "BIGINT");
    case 'L':
      return integer(Layout::UInt64, 64, "UBIGINT");
    case 'e':
      return {Layout::Half, Kind::Float, 32, 0, 0, "FLOAT"};
    case 'f':
      return {Layout::Float, Kind::Float, 32, 0, 0, "FLOAT"};
    case 'g':
      return {Layout::Double, Kind::Float, 64, 0, 0, "DOUBLE"};
    case 'u':
      return {Layout::Text, Kind::Varchar, 0, 0, 0, "VARCHAR"};
    case 'U':
      return {Layout::LargeText, Kind::Varchar, 0, 0, 0, "VARCHAR"};
    default:
      return {};
  }
}

// An integer, or DECIMAL(38,0): that is what Arrow has for HUGEINT.
template <typename Type>
bool is_whole(const Type& type) {
  return type.kind == Kind::Integer || (type.kind == Kind::Decimal && type.precision == 38 && type.scale == 0);
}

// Whether values of one type can stand for the other's: the same, or both integers, whose values are checked.
bool same_kind(const FieldType& found, const SqlType& expected) {
  if (is_whole(found) && is_whole(expected)) return true;
  if (found.kind != expected.kind) return false;
  if (found.kind == Kind::Decimal) return found.precision == expected.precision && found.scale == expected.scale;
  if (found.kind == Kind::Float) return found.bits == expected.bits;
  return true;
}

bool is_integer(Layout layout) { return layout >= Layout::Int8 && layout <= Layout::UInt64; }

std::string quoted(const char* name) { return std::string("column \"") + name + "\""; }

}  // namespace

size_t width_of(Layout layout) {
  switch (layout) {
    case Layout::Int8:
    case Layout::UInt8:
      return 1;
    case Layout::Int16:
    case Layout::UInt16:
    case Layout::Half:
      return 2;
    case Layout::Int32:
    case Layout::UInt32:
    case Layout::Float:
    case Layout::Decimal32:
    case Layout::Days:
      return 4;
    case Layout::Int64:
    case Layout::UInt64:
    case Layout::Double:
    case Layout::Decimal64:
    case Layout::DayMilliseconds:
    case Layout::Seconds:
    case Layout::Milliseconds:
    case Layout::Microseconds:
    case Layout::Nanoseconds:
      return 8;
    case Layout::Decimal128:
      return 16;
    case Layout::Decimal256:
      return 32;
    default:
      return 0;
  }
}

void fail_assumptions(const Query& query, const std::vector<std::string>& problems) {
  std::string message = std::string("the table \"") + query.table + "\" is not what the exported query assumes; export it for such data.";
  for (const std::string& problem : problems) message += "\n  " + problem;
  fail(Code::Assumption, message);
}

InputSchema resolve(const Query& query, const ArrowSchema& schema) {
  if (schema.release == nullptr) fail(Code::Misuse, "the schema has been released");
  if (schema.format == nullptr || std::strcmp(schema.format, "+s") != 0 || schema.n_children < 0) {
    fail(Code::Misuse, "a batch is a struct array (format \"+s\"), its fields the columns");
  }
  if (schema.n_children > 0 && schema.children == nullptr) fail(Code::Misuse, "the schema has no children");
  std::unordered_map<std::string, int64_t> by_name;
  std::vector<std::string> names;
  for (int64_t child = 0; child < schema.n_children; ++child) {
    const ArrowSchema* field = schema.children[child];
    if (field == nullptr || field->format == nullptr) fail(Code::Misuse, "a field of the schema is NULL or has no format");
    names.emplace_back(field->name == nullptr ? "" : field->name);
    // Names that are equal but for case are numbered, as distinct_names of qtensor/types.py does it.
    std::string name = lower(names.back());
    for (int count = 1; by_name.count(name) != 0; ++count) name = lower(names.back()) + "_" + std::to_string(count);
    by_name[name] = child;
  }
  InputSchema result{schema.n_children, {}};
  std::vector<std::string> problems;
  for (size_t i = 0; i < query.column_count; ++i) {
    const Column& column = query.columns[i];
    auto found = by_name.find(lower(column.name));
    if (found == by_name.end()) {
      problems.push_back(quoted(column.name) + " (" + column.type.text + ") is missing." + suggestion(column.name, names));
      continue;
    }
    const ArrowSchema& field = *schema.children[found->second];
    const ArrowSchema* values = field.dictionary == nullptr ? &field : field.dictionary;
    FieldType type = values->format == nullptr ? FieldType{} : type_of(values->format);
    Layout indices = Layout::Unsupported;
    if (field.dictionary != nullptr) {
      indices = type_of(field.format).layout;
      if (!is_integer(indices)) fail(Code::Misuse, quoted(column.name) + ": the codes of a dictionary are integers");
    }
    if (type.layout == Layout::Unsupported) {
      problems.push_back(quoted(column.name) + ": assumed " + column.type.text + ", found Arrow format \"" +
                         (values->format == nullptr ? "" : values->format) + "\", which is not supported");
    } else if (!same_kind(type, column.type)) {
      problems.push_back(quoted(column.name) + ": assumed " + column.type.text + ", found " + type.text);
    }
    result.columns.push_back({found->second, type.layout, indices});
  }
  if (!problems.empty()) fail_assumptions(query, problems);
  return result;
}

}  // namespace qtensor
