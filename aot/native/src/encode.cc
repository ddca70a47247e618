#include "encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "bits.h"
#include "error.h"
#include "refuse.h"
#include "values.h"

namespace qtensor {
namespace {

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

// Codes of short strings that were seen last: most columns of text have few and short ones.
class Recent {
 public:
  int32_t code(std::string_view text, Vocabulary& words) {
    if (text.size() > sizeof(uint64_t)) return words.code(text);
    uint64_t word = 0;
    for (size_t i = 0; i < text.size(); ++i) word |= uint64_t{static_cast<unsigned char>(text[i])} << (8 * i);
    Entry& entry = entries_[(word * 0x9E3779B97F4A7C15u + text.size()) >> 56];
    if (entry.word != word || entry.size != text.size() || entry.code < 0) entry = {word, text.size(), words.code(text)};
    return entry.code;
  }

 private:
  struct Entry {
    uint64_t word = 0;
    size_t size = 0;
    int32_t code = -1;
  };
  Entry entries_[256];
};

// Encodes rows of one column, a block at a time.
class Writer {
 public:
  explicit Writer(const Encoding& encoding)
      : column_(encoding.column),
        input_(encoding.input),
        read_(encoding.read),
        stored_(encoding.stored),
        keeps_exact_(encoding.keeps_exact),
        found_(encoding.found) {}

  // Slots [slot, slot + count) of the array become the rows from `row` on.
  void write(int64_t slot, int64_t count, int64_t row) {
    for (int64_t done = 0; done < count; done += kBlock) {
      slot_ = slot + done;
      row_ = row + done;
      size_ = std::min(kBlock, count - done);
      look_at_validity();
      if (input_.encoded()) look_at_entries();
      write_validity();
      if (column_.type.kind == Kind::Varchar) {
        write_text();
      } else if (column_.type.kind != Kind::Float) {
        write_integers();
      } else if (column_.type.bits == 32) {
        write_floats(floats_, load_floats);
      } else {
        write_floats(doubles_, load_doubles);
      }
    }
  }

 private:
  size_t bytes(size_t width) const { return static_cast<size_t>(size_) * width; }
  bool all_valid() const { return std::memchr(bits_, 0, bytes(1)) == nullptr; }

  void look_at_validity() {
    valid_ = nullptr;
    if ((input_.encoded() ? input_.indices : input_.layout) == Layout::Null) {
      std::memset(bits_, 0, bytes(1));
      valid_ = bits_;
    } else if (read_.bitmap != nullptr) {
      unpack(read_.bitmap, slot_, size_, bits_);
      if (!all_valid()) valid_ = bits_;
    }
  }

  // Codes into the dictionary are read to `entries_`, -1 for NULL; an entry may itself be NULL.
  void look_at_entries() {
    load_integers(input_.indices, *read_.array, slot_, size_, nullptr, entries_);
    const auto entries = static_cast<int64_t>(read_.valid.size());
    for (int64_t i = 0; i < size_; ++i) {
      const bool valid = valid_ == nullptr || valid_[i] != 0;
      if (valid && (entries_[i] < 0 || entries_[i] >= entries)) malformed(column_, "a code is beyond its dictionary");
      const uint8_t entry = valid ? read_.valid[static_cast<size_t>(entries_[i])] : 0;
      if (entry == kRefused) refuse(*read_.values, read_.values->offset + entries_[i], 1);
      bits_[i] = entry;
      if (entry == 0) entries_[i] = -1;
    }
    valid_ = all_valid() ? nullptr : bits_;
  }

  void write_validity() {
    if (valid_ != nullptr) found_.nulls += std::count(valid_, valid_ + size_, uint8_t{0});
    if (!column_.nullable) return;
    uint8_t* out = stored_.valid.as<uint8_t>() + row_;
    if (valid_ != nullptr) {
      std::memcpy(out, valid_, bytes(1));
    } else {
      std::memset(out, 1, bytes(1));
    }
  }

  void write_text() {
    int32_t* codes = stored_.codes.as<int32_t>() + row_;
    for (int64_t i = 0; i < size_; ++i) {
      if (valid_ != nullptr && valid_[i] == 0) {
        codes[i] = 0;
      } else if (input_.encoded()) {
        int32_t& known = read_.codes[static_cast<size_t>(entries_[i])];
        if (known == kUnseen) known = code_at(*read_.values, read_.values->offset + entries_[i]);
        codes[i] = known;
      } else {
        codes[i] = code_at(*read_.array, slot_ + i);
      }
    }
  }

  int32_t code_at(const ArrowArray& texts, int64_t slot) {
    const char* text = nullptr;
    int64_t size = 0;
    if (!load_text(input_.layout, texts, slot, &text, &size)) malformed(column_, "an offset of its text is wrong");
    const size_t known = stored_.words.size();
    const int32_t code = recent_.code({text, static_cast<size_t>(size)}, stored_.words);
    if (stored_.words.size() > known && !is_utf8({text, static_cast<size_t>(size)})) malformed(column_, "a text is not UTF-8");
    return code;
  }

  // The error of the first valid slot without an exact value.
  [[noreturn]] void refuse(const ArrowArray& array, int64_t slot, int64_t count) const {
    int64_t value = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (count > 1 && valid_ != nullptr && valid_[i] == 0) continue;
      const char* why = load_integers(input_.layout, array, slot + i, 1, nullptr, &value);
      if (why != nullptr) refuse_value(column_, input_.layout, array, slot + i, why);
    }
    fail(Code::Internal, "a value was refused, and then was not");
  }

  void write_integers() {
    if (input_.encoded()) {
      for (int64_t i = 0; i < size_; ++i) integers_[i] = entries_[i] < 0 ? 0 : read_.integers[static_cast<size_t>(entries_[i])];
    } else {
      const char* why = load_integers(input_.layout, *read_.array, slot_, size_, valid_, integers_);
      if (why != nullptr) refuse(*read_.array, slot_, size_);
    }
    if (valid_ != nullptr) clear_invalid(integers_, valid_, size_, Rows::fill_value(column_));
    store_integers(column_.machine, integers_, size_, stored_.data.data(), row_, found_);
  }

  template <class T>
  void write_floats(T* values, void (*load)(Layout, const ArrowArray&, int64_t, int64_t, T*)) {
    if (input_.encoded()) {
      for (int64_t i = 0; i < size_; ++i) {
        values[i] = entries_[i] < 0 ? 0 : static_cast<T>(read_.reals[static_cast<size_t>(entries_[i])]);
      }
    } else {
      load(input_.layout, *read_.array, slot_, size_, values);
      if (valid_ != nullptr) clear_invalid(values, valid_, size_, T{0});
    }
    if (!column_.may_be_nan) look_at(values, size_, found_);
    if (column_.machine == DType::Float32) {
      store_floats(values, size_, stored_.data.as<float>() + row_);
    } else {
      store_floats(values, size_, stored_.data.as<double>() + row_);
    }
    if (keeps_exact_) store_floats(values, size_, stored_.exact.as<double>() + row_);
  }

  const Column& column_;
  const InputColumn& input_;
  BatchColumn& read_;
  StoredColumn& stored_;
  const bool keeps_exact_;
  Found& found_;
  int64_t slot_ = 0, row_ = 0, size_ = 0;  // of the block
  const uint8_t* valid_ = nullptr;         // nullptr: all of the block's values are
  Recent recent_;
  alignas(64) int64_t integers_[kBlock];
  int64_t entries_[kBlock];
  alignas(64) double doubles_[kBlock];
  alignas(64) float floats_[kBlock];
  alignas(64) uint8_t bits_[kBlock];
};

}  // namespace

void encode(const Encoding& encoding, int64_t slot, int64_t count, int64_t row) { Writer(encoding).write(slot, count, row); }

}  // namespace qtensor
