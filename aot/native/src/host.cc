#include "host.h"

#include <algorithm>
#include <cstring>

#include "error.h"

namespace qtensor {
namespace {

template <class T>
void put(Buffer& out, size_t at, int64_t value) {
  out.as<T>()[at] = static_cast<T>(value);
}

void put(Buffer& out, DType type, size_t at, int64_t value) {
  switch (type) {
    case DType::Bool:
    case DType::Int8:
      return put<int8_t>(out, at, value);
    case DType::Int16:
      return put<int16_t>(out, at, value);
    case DType::Int32:
      return put<int32_t>(out, at, value);
    case DType::Int64:
      return put<int64_t>(out, at, value);
    default:
      fail(Code::Internal, "a table of codes holds integers");
  }
}

}  // namespace

HostInputs::HostInputs(const Query& query, const Form& form, const std::vector<StoredColumn>& columns) : form_(form) {
  for (size_t i = 0; i < form.dictionary_count; ++i) dictionaries_.push_back(resolved(form.dictionaries[i], columns));
  Buffer integers(form.scalar_count * sizeof(int64_t) + 1);
  for (size_t i = 0; i < form.scalar_count; ++i) integers.as<int64_t>()[i] = scalar(form.scalars[i]);
  Buffer reals(form.float_scalar_count * sizeof(double) + 1);
  for (size_t i = 0; i < form.float_scalar_count; ++i) reals.as<double>()[i] = form.literals[form.float_scalars[i]].real;
  buffers_.push_back(std::move(integers));
  buffers_.push_back(std::move(reals));
  for (size_t i = 0; i < form.table_count; ++i) {
    const Table& table = form.tables[i];
    Buffer content(table.size * size_of(table.dtype) + 1);
    std::memset(content.data(), 0, table.size * size_of(table.dtype));
    write(table, content);
    buffers_.push_back(std::move(content));
  }
  for (const Buffer& buffer : buffers_) arguments_.push_back(buffer.data());
  for (size_t i = 0; i < query.weight_count; ++i) arguments_.push_back(query.weights[i].content);
}

Strings HostInputs::resolved(const Dictionary& dictionary, const std::vector<StoredColumn>& columns) const {
  Strings result;
  switch (dictionary.of) {
    case Dictionary::OfColumn:
      return columns[static_cast<size_t>(dictionary.column)].strings;
    case Dictionary::OfLiterals:
      for (size_t i = 0; i < dictionary.member_count; ++i) result.push_back(text(dictionary.members[i]));
      break;
    case Dictionary::OfUnion:
      for (size_t i = 0; i < dictionary.member_count; ++i) {
        const Strings& part = strings(dictionary.members[i]);
        result.insert(result.end(), part.begin(), part.end());
      }
      break;
    case Dictionary::Static:
      for (size_t i = 0; i < dictionary.text_count; ++i) result.push_back({dictionary.texts[i], dictionary.text_bytes[i]});
      break;
  }
  return sorted_distinct(std::move(result));
}

std::string_view HostInputs::text(int32_t literal) const {
  const Literal& found = form_.literals[literal];
  return {found.text, found.text_bytes};
}

int64_t HostInputs::scalar(const Scalar& scalar) const {
  switch (scalar.of) {
    case Scalar::CodeOf:
      return code_of(strings(scalar.dictionary), text(scalar.literal));
    case Scalar::PositionOf:
      return position_of(strings(scalar.dictionary), text(scalar.literal), scalar.inclusive);
    case Scalar::Value:
      break;
  }
  const __int128 value = static_cast<__int128>(form_.literals[scalar.literal].integer) * scalar.factor;
  if (!scalar.clamped) return static_cast<int64_t>(value);
  return static_cast<int64_t>(value < scalar.low ? scalar.low : value > scalar.high ? scalar.high : value);
}

void HostInputs::write(const Table& table, Buffer& out) const {
  if (table.of == Table::Static) {
    std::memcpy(out.data(), table.content, table.size * size_of(table.dtype));
    return;
  }
  const Strings& entries = strings(table.dictionary);
  if (entries.size() > table.size) fail(Code::Internal, "a table is smaller than its dictionary");
  std::vector<std::string_view> members;
  for (size_t i = 0; i < table.literal_count; ++i) members.push_back(text(table.literals[i]));
  std::sort(members.begin(), members.end());
  const bool likes = table.of == Table::Like;
  if (likes && table.ignore_case && !is_ascii(text(table.pattern))) {
    fail(Code::Execution, "ILIKE knows ASCII's letters only in a native library; the pattern has others");
  }
  const Pattern pattern(likes ? text(table.pattern) : std::string_view(),
                        likes && table.escape >= 0 ? text(table.escape) : std::string_view(), table.ignore_case);
  for (size_t i = 0; i < entries.size(); ++i) {
    switch (table.of) {
      case Table::Like:
        put(out, table.dtype, i, pattern.matches(entries[i]));
        break;
      case Table::Member:
        put(out, table.dtype, i, std::binary_search(members.begin(), members.end(), entries[i]));
        break;
      case Table::Remap:
        put(out, table.dtype, i, code_of(strings(table.target), entries[i]));
        break;
      case Table::Static:
        break;
    }
  }
}

}  // namespace qtensor
