#include "batch.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "bits.h"
#include "error.h"
#include "format.h"
#include "values.h"

namespace qtensor {
namespace {

constexpr int32_t kUnseen = -1;
constexpr int64_t kMostRows = int64_t{1} << 34;

std::string quoted(const Column& column) { return std::string("column \"") + column.name + "\""; }

[[noreturn]] void malformed(const Column& column, const char* why) { fail(Code::Misuse, quoted(column) + ": " + why); }

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
  if (array.null_count > 0 && array.buffers[0] == nullptr) malformed(column, "it has NULLs and no validity bitmap");
  return array.null_count == 0 ? nullptr : static_cast<const uint8_t*>(array.buffers[0]);
}

struct Block {
  alignas(64) int64_t integers[kBlock];
  alignas(64) double doubles[kBlock];
  alignas(64) float floats[kBlock];
  alignas(64) uint8_t valid[kBlock];
};

template <class T>
void store(const int64_t* values, int64_t count, T* out, Found& found) {
  int64_t low = found.low, high = found.high;
  for (int64_t i = 0; i < count; ++i) {
    low = std::min(low, values[i]);
    high = std::max(high, values[i]);
    out[i] = static_cast<T>(values[i]);
  }
  found.low = low;
  found.high = high;
}

void store_integers(DType type, const int64_t* values, int64_t count, void* data, int64_t at, Found& found) {
  switch (type) {
    case DType::Bool:
    case DType::Int8:
      return store(values, count, static_cast<int8_t*>(data) + at, found);
    case DType::Int16:
      return store(values, count, static_cast<int16_t*>(data) + at, found);
    case DType::Int32:
      return store(values, count, static_cast<int32_t*>(data) + at, found);
    case DType::Int64:
      return store(values, count, static_cast<int64_t*>(data) + at, found);
    default:
      fail(Code::Internal, "programs take integers as integers");
  }
}

template <class T, class Out>
void store_floats(const T* values, int64_t count, Out* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<Out>(values[i]);
}

// Notes NaN, and numbers so small that XLA takes them for zero; slots without a value hold zero.
template <class T>
void look_at(const T* values, int64_t count, Found& found) {
  bool nan = false, denormal = false;
  for (int64_t i = 0; i < count; ++i) {
    const T magnitude = std::fabs(values[i]);
    nan |= !(magnitude == magnitude);
    denormal |= (magnitude < std::numeric_limits<T>::min()) & (magnitude != 0);
  }
  found.nan |= nan;
  found.denormal |= denormal;
}

template <class T>
void clear_invalid(T* values, const uint8_t* valid, int64_t count, T instead) {
  for (int64_t i = 0; i < count; ++i) values[i] = valid[i] ? values[i] : instead;
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
  if (array.null_count != 0 && array.n_buffers > 0 && array.buffers != nullptr && array.buffers[0] != nullptr) {
    fail(Code::Misuse, "the batch has rows that are NULL as a whole");
  }
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = query.columns[i];
    const InputColumn& input = schema.columns[i];
    const ArrowArray* child = array.children[input.child];
    if (child == nullptr) malformed(column, "its array is NULL");
    BatchColumn& read = columns_[i];
    read.array = child;
    read.bitmap = checked(column, *child, input.encoded() ? input.indices : input.layout);
    if (child->length - array.offset < array.length) malformed(column, "it has fewer rows than the batch");
    read.offset = child->offset + array.offset;
    if (!input.encoded()) continue;
    read.values = child->dictionary;
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
      const char* why = load_integers(input.layout, *read.values, first, entries, read.valid.data(), read.integers.data());
      if (why != nullptr) fail(Code::Data, quoted(column) + " (" + column.type.text + "): a value " + why);
    }
  }
}

void Batch::write(int64_t first, int64_t count, Rows& rows) {
  std::vector<std::string> problems;
  for (size_t i = 0; i < columns_.size(); ++i) {
    Found found;
    write_column(i, first, count, rows, found);
    for (std::string& problem : problems_of(query_.columns[i], found, rows.columns()[i])) problems.push_back(std::move(problem));
  }
  if (!problems.empty()) fail_assumptions(query_, problems);
  rows.added(count);
}

void Batch::write_column(size_t index, int64_t first, int64_t count, Rows& rows, Found& found) {
  const Column& column = query_.columns[index];
  const InputColumn& input = schema_.columns[index];
  BatchColumn& read = columns_[index];
  StoredColumn& stored = rows.columns()[index];
  const int64_t fill = Rows::fill_value(column);
  const Layout layout = input.encoded() ? input.indices : input.layout;
  Block block;

  for (int64_t done = 0; done < count; done += kBlock) {
    const int64_t size = std::min(kBlock, count - done);
    const int64_t from = read.offset + first + done, at = rows.count() + done;
    const uint8_t* valid = nullptr;  // of the block; nullptr: all are
    if (layout == Layout::Null) {
      std::memset(block.valid, 0, static_cast<size_t>(size));
      valid = block.valid;
    } else if (read.bitmap != nullptr) {
      unpack(read.bitmap, from, size, block.valid);
      if (std::memchr(block.valid, 0, static_cast<size_t>(size)) != nullptr) valid = block.valid;
    }
    if (input.encoded()) {  // from codes to entries; an entry may be NULL
      load_integers(layout, *read.array, from, size, nullptr, block.integers);
      const int64_t entries = static_cast<int64_t>(read.valid.size());
      for (int64_t i = 0; i < size; ++i) {
        const int64_t code = block.integers[i];
        const bool is_valid = valid == nullptr || valid[i] != 0;
        if (is_valid && (code < 0 || code >= entries)) malformed(column, "a code is beyond its dictionary");
        block.valid[i] = is_valid && read.valid[static_cast<size_t>(code)];
        if (!block.valid[i]) block.integers[i] = -1;
      }
      valid = std::memchr(block.valid, 0, static_cast<size_t>(size)) != nullptr ? block.valid : nullptr;
    }
    if (valid != nullptr) found.nulls += size - std::count(valid, valid + size, uint8_t{1});
    if (column.nullable) {
      if (valid != nullptr) {
        std::memcpy(stored.valid.as<uint8_t>() + at, valid, static_cast<size_t>(size));
      } else {
        std::memset(stored.valid.as<uint8_t>() + at, 1, static_cast<size_t>(size));
      }
    }

    if (column.type.kind == Kind::Varchar) {
      int32_t* codes = stored.codes.as<int32_t>() + at;
      const ArrowArray& texts = input.encoded() ? *read.values : *read.array;
      for (int64_t i = 0; i < size; ++i) {
        codes[i] = 0;
        if (valid != nullptr && valid[i] == 0) continue;
        int32_t* known = input.encoded() ? &read.codes[static_cast<size_t>(block.integers[i])] : nullptr;
        if (known == nullptr || *known == kUnseen) {
          const char* text = nullptr;
          int64_t bytes = 0;
          const int64_t slot = input.encoded() ? texts.offset + block.integers[i] : from + i;
          if (!load_text(input.layout, texts, slot, &text, &bytes)) malformed(column, "an offset of its text is wrong");
          codes[i] = stored.words.code({text, static_cast<size_t>(bytes)});
          if (known != nullptr) *known = codes[i];
        } else {
          codes[i] = *known;
        }
      }
    } else if (column.type.kind == Kind::Float && column.type.bits == 32) {
      if (input.encoded()) {
        for (int64_t i = 0; i < size; ++i) {
          block.floats[i] = block.integers[i] < 0 ? 0 : static_cast<float>(read.reals[static_cast<size_t>(block.integers[i])]);
        }
      } else {
        load_floats(input.layout, *read.array, from, size, block.floats);
        if (valid != nullptr) clear_invalid(block.floats, valid, size, 0.0f);
      }
      look_at(block.floats, size, found);
      std::memcpy(stored.data.as<float>() + at, block.floats, static_cast<size_t>(size) * sizeof(float));
    } else if (column.type.kind == Kind::Float) {
      if (input.encoded()) {
        for (int64_t i = 0; i < size; ++i) {
          block.doubles[i] = block.integers[i] < 0 ? 0 : read.reals[static_cast<size_t>(block.integers[i])];
        }
      } else {
        load_doubles(input.layout, *read.array, from, size, block.doubles);
        if (valid != nullptr) clear_invalid(block.doubles, valid, size, 0.0);
      }
      look_at(block.doubles, size, found);
      if (column.machine == DType::Float32) {
        store_floats(block.doubles, size, stored.data.as<float>() + at);
      } else {
        store_floats(block.doubles, size, stored.data.as<double>() + at);
      }
      if (rows.keeps_exact(index)) store_floats(block.doubles, size, stored.exact.as<double>() + at);
    } else {
      if (input.encoded()) {
        for (int64_t i = 0; i < size; ++i) {
          if (block.integers[i] >= 0) block.integers[i] = read.integers[static_cast<size_t>(block.integers[i])];
        }
      } else {
        const char* why = load_integers(layout, *read.array, from, size, valid, block.integers);
        if (why != nullptr) fail(Code::Data, quoted(column) + " (" + column.type.text + "): a value " + why);
      }
      if (valid != nullptr) clear_invalid(block.integers, valid, size, fill);
      store_integers(column.machine, block.integers, size, stored.data.data(), at, found);
    }
  }
}

}  // namespace qtensor
