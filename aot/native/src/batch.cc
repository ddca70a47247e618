#include "batch.h"

#include <algorithm>
#include <cstring>

#include "bits.h"
#include "encode.h"
#include "error.h"
#include "format.h"
#include "refuse.h"
#include "values.h"

namespace qtensor {
namespace {

constexpr int64_t kMostRows = int64_t{1} << 34;

std::string quoted(const Column& column) { return std::string("column \"") + column.name + "\""; }

// That an array has the memory which its layout needs, as far as can be seen. Returns its bitmap.
const uint8_t* checked(const Column& column, const ArrowArray& array, Layout layout) {
  if (array.release == nullptr) malformed(column, "its array has been released");
  if (array.length < 0 || array.offset < 0 || array.length > kMostRows || array.offset > kMostRows) {
    malformed(column, "its length or offset is negative or too large");
  }
  if (layout == Layout::Null) return nullptr;
  const bool views = layout == Layout::TextView;
  const int64_t buffers = layout == Layout::Text || layout == Layout::LargeText || views ? 3 : 2;
  if (views ? array.n_buffers < buffers : array.n_buffers != buffers) malformed(column, "it has not the buffers of its type");
  if (array.buffers == nullptr) malformed(column, "it has no buffers");
  if (array.length > 0 && array.buffers[1] == nullptr) malformed(column, "it has no values");
  if (views && array.n_buffers > buffers && array.buffers[array.n_buffers - 1] == nullptr) malformed(column, "it has no sizes");
  if (array.null_count < -1 || array.null_count > array.length) malformed(column, "its number of NULLs is out of range");
  if (array.null_count > 0 && array.buffers[0] == nullptr) malformed(column, "it has NULLs and no validity bitmap");
  return array.null_count == 0 ? nullptr : static_cast<const uint8_t*>(array.buffers[0]);
}

std::vector<std::string> problems_of(const Column& column, const Found& found, const StoredColumn& stored) {
  std::vector<std::string> problems;
  auto add = [&](const std::string& problem) { problems.push_back(quoted(column) + ": " + problem); };
  if (found.nulls > 0 && !column.nullable) add("assumed no NULL, found " + with_commas(found.nulls));
  if (column.type.kind == Kind::Varchar) {
    const int64_t strings = static_cast<int64_t>(stored.words.size());
    if (column.strings >= 0 && strings > column.strings) {
      add("assumed at most " + with_commas(column.strings) + " different strings, found " + with_commas(strings));
    }
    return problems;
  }
  if (column.has_range && found.low <= found.high && (found.low < column.low || found.high > column.high)) {
    const int64_t outside = found.low < column.low ? found.low : found.high;
    add("assumed values from " + format_value(column.low, column.type) + " to " + format_value(column.high, column.type) +
        ", found " + format_value(outside, column.type));
  }
  if (!column.may_be_nan && (found.nan || found.denormal)) {
    add(std::string("assumed no NaN and no denormal number, found ") + (found.nan ? "NaN" : "a denormal number"));
  }
  return problems;
}

}  // namespace

Batch::Batch(const Query& query, const InputSchema& schema, const ArrowArray& array)
    : query_(query), schema_(schema), array_(array), columns_(query.column_count) {
  if (array.length < 0 || array.offset < 0 || array.length > kMostRows || array.offset > kMostRows) {
    fail(Code::Misuse, "the batch's length or offset is negative or too large");
  }
  if (array.n_children != schema.children) fail(Code::Misuse, "the batch has not the columns of its schema");
  if (array.n_children > 0 && array.children == nullptr) fail(Code::Misuse, "the batch has no children");
  if (array.null_count != 0 && array.n_buffers > 0 && array.buffers != nullptr && array.buffers[0] != nullptr &&
      !all_set(static_cast<const uint8_t*>(array.buffers[0]), array.offset, array.length)) {
    fail(Code::Misuse, "the batch has rows that are NULL as a whole");
  }
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = query.columns[i];
    const InputColumn& input = schema.columns[i];
    const ArrowArray* child = array.children[input.child];
    if (child == nullptr) malformed(column, "its array is NULL");
    columns_[i].array = child;
    columns_[i].bitmap = checked(column, *child, input.encoded() ? input.indices : input.layout);
    if (child->length - array.offset < array.length) malformed(column, "it has fewer rows than the batch");
    columns_[i].offset = child->offset + array.offset;
    if (input.encoded()) read_dictionary(i);
  }
}

void Batch::read_dictionary(size_t index) {
  const Column& column = query_.columns[index];
  const InputColumn& input = schema_.columns[index];
  BatchColumn& read = columns_[index];
  read.values = read.array->dictionary;
  if (read.values == nullptr) malformed(column, "its dictionary is missing");
  const uint8_t* bitmap = checked(column, *read.values, input.layout);
  const int64_t entries = read.values->length, first = read.values->offset;
  read.valid.assign(static_cast<size_t>(entries), input.layout == Layout::Null ? 0 : 1);
  if (bitmap != nullptr) unpack(bitmap, first, entries, read.valid.data());
  const size_t size = static_cast<size_t>(entries);
  if (input.is_text()) {
    read.codes.assign(size, kUnseen);
  } else if (column.type.kind == Kind::Float) {
    read.reals.resize(size);
    load_doubles(input.layout, *read.values, first, entries, read.reals.data());
  } else {
    read.integers.resize(size);
    for (size_t i = 0; i < size; ++i) {
      if (read.valid[i] == 0) continue;
      const int64_t slot = first + static_cast<int64_t>(i);
      if (load_integers(input.layout, *read.values, slot, 1, nullptr, &read.integers[i]) != nullptr) read.valid[i] = kRefused;
    }
  }
}

void Batch::write(int64_t first, int64_t count, Rows& rows) {
  std::vector<Found> found(columns_.size());
  encode_rows(first, count, rows, found);
  if (!problems_with(found, rows).empty()) {
    // What is said of a batch is said of all of it, in however many pieces it is taken.
    for (int64_t next = first + count; next < array_.length; next += count) {
      encode_rows(next, std::min(count, array_.length - next), rows, found);
    }
    fail_assumptions(query_, problems_with(found, rows));
  }
  rows.added(count);
}

void Batch::encode_rows(int64_t first, int64_t count, Rows& rows, std::vector<Found>& found) {
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Encoding encoding{query_.columns[i], schema_.columns[i], columns_[i], rows.columns()[i], rows.keeps_exact(i), found[i]};
    encode(encoding, columns_[i].offset + first, count, rows.count());
  }
}

std::vector<std::string> Batch::problems_with(const std::vector<Found>& found, Rows& rows) const {
  std::vector<std::string> problems;
  for (size_t i = 0; i < columns_.size(); ++i) {
    for (std::string& problem : problems_of(query_.columns[i], found[i], rows.columns()[i])) problems.push_back(std::move(problem));
  }
  return problems;
}

}  // namespace qtensor
