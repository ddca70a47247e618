#include "rows.h"

#include <algorithm>
#include <cstring>

#include "error.h"
#include "schema.h"

namespace qtensor {
namespace {

template <class T>
void translate(const int32_t* codes, const std::vector<int32_t>& ranks, T* out, int64_t count) {
  if (count == 0) return;  // and maybe no memory
  if (ranks.empty()) {
    std::memset(out, 0, static_cast<size_t>(count) * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(ranks[codes[i]]);
}

template <class T>
void fill_with(void* data, int64_t from, int64_t to, T value) {
  std::fill(static_cast<T*>(data) + from, static_cast<T*>(data) + to, value);
}

void fill_slots(void* data, DType type, int64_t from, int64_t to, int64_t value) {
  switch (type) {
    case DType::Bool:
    case DType::Int8:
      return fill_with(data, from, to, static_cast<int8_t>(value));
    case DType::Int16:
      return fill_with(data, from, to, static_cast<int16_t>(value));
    case DType::Int32:
      return fill_with(data, from, to, static_cast<int32_t>(value));
    case DType::Int64:
      return fill_with(data, from, to, value);
    case DType::Float32:
      return fill_with(data, from, to, 0.0f);
    case DType::Float64:
      return fill_with(data, from, to, 0.0);
  }
}

void copy_after(Buffer& to, int64_t at, const Buffer& from, int64_t count, size_t width) {
  if (count == 0) return;  // and maybe no memory
  std::memcpy(to.as<char>() + static_cast<size_t>(at) * width, from.data(), static_cast<size_t>(count) * width);
}

}  // namespace

Rows::Rows(const Query& query) : query_(query), columns_(query.column_count), exact_(query.column_count, false) {
  for (size_t f = 0; f < query.form_count; ++f) {
    const Form& form = query.forms[f];
    for (size_t i = 0; i < form.output_count; ++i) {
      const Slot& slot = form.outputs[i].data;
      if (slot.index < 0 || !slot.of_source) continue;
      const Column& column = query.columns[slot.index];
      if (column.machine == DType::Float32 && column.type.bits == 64) exact_[slot.index] = true;
    }
  }
}

void Rows::reserve(int64_t rows) {
  if (rows <= capacity_) return;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = query_.columns[i];
    StoredColumn& stored = columns_[i];
    auto grow = [&](Buffer& buffer, size_t width) {
      buffer.reserve(static_cast<size_t>(rows) * width, static_cast<size_t>(count_) * width);
    };
    grow(stored.data, size_of(column.machine));
    if (column.nullable) grow(stored.valid, 1);
    if (exact_[i]) grow(stored.exact, sizeof(double));
    if (column.type.kind == Kind::Varchar) grow(stored.codes, sizeof(int32_t));
  }
  capacity_ = rows;
}

void Rows::clear() {
  count_ = 0;
  for (StoredColumn& stored : columns_) {
    if (stored.words.size() > 0) stored.words = Vocabulary();
  }
}

void Rows::append(const Rows& other) {
  if (count_ + other.count_ > capacity_) reserve(std::max(count_ + other.count_, 2 * capacity_));
  std::vector<std::string> problems;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = query_.columns[i];
    StoredColumn& stored = columns_[i];
    const StoredColumn& added = other.columns_[i];
    if (column.nullable) copy_after(stored.valid, count_, added.valid, other.count_, 1);
    if (exact_[i]) copy_after(stored.exact, count_, added.exact, other.count_, sizeof(double));
    if (column.type.kind != Kind::Varchar) {
      copy_after(stored.data, count_, added.data, other.count_, size_of(column.machine));
      continue;
    }
    std::vector<int32_t> ranks;
    for (std::string_view text : added.words.strings()) ranks.push_back(stored.words.code(text));
    translate(added.codes.as<int32_t>(), ranks, stored.codes.as<int32_t>() + count_, other.count_);
    if (column.strings >= 0 && static_cast<int64_t>(stored.words.size()) > column.strings) {
      problems.push_back(std::string("column \"") + column.name + "\": assumed at most " + with_commas(column.strings) +
                         " different strings, found " + with_commas(static_cast<int64_t>(stored.words.size())));
    }
  }
  if (!problems.empty()) fail_assumptions(query_, problems);
  count_ += other.count_;
}

void Rows::sort_text() {
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (query_.columns[i].type.kind != Kind::Varchar) continue;
    StoredColumn& stored = columns_[i];
    std::vector<int32_t> ranks;
    stored.strings = sorted(stored.words.strings(), &ranks);
    const int32_t* codes = stored.codes.as<int32_t>();
    switch (query_.columns[i].machine) {
      case DType::Int8:
        translate(codes, ranks, stored.data.as<int8_t>(), count_);
        break;
      case DType::Int16:
        translate(codes, ranks, stored.data.as<int16_t>(), count_);
        break;
      case DType::Int32:
        translate(codes, ranks, stored.data.as<int32_t>(), count_);
        break;
      default:
        fail(Code::Internal, "codes of text are integers of at most 32 bits");
    }
  }
}

void Rows::fill(int64_t chunk) {
  const int64_t end = (std::max<int64_t>(count_, 1) + chunk - 1) / chunk * chunk;
  reserve(end);
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = query_.columns[i];
    StoredColumn& stored = columns_[i];
    fill_slots(stored.data.data(), column.machine, count_, end, fill_value(column));
    if (column.nullable) fill_with(stored.valid.data(), count_, end, uint8_t{0});
    if (exact_[i]) fill_with(stored.exact.data(), count_, end, 0.0);
  }
}

int64_t Rows::fill_value(const Column& column) {
  if (!column.has_range || (column.low <= 0 && 0 <= column.high)) return 0;
  return column.low;
}

}  // namespace qtensor
