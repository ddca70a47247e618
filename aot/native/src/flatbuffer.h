// Reading flatbuffers without generated code; every access is within the buffer or throws.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "error.h"

namespace qtensor {

struct FlatVector;

// A table: its fields by number, as the schema of the format counts them.
class FlatTable {
 public:
  FlatTable(const uint8_t* data, size_t size, size_t at) : data_(data), size_(size), at_(at) {}

  static FlatTable root(const uint8_t* data, size_t size) {
    FlatTable buffer(data, size, 0);
    return {data, size, buffer.read<uint32_t>(0)};
  }

  template <class T>
  T scalar(int field, T missing) const {
    const size_t place = place_of(field);
    return place == 0 ? missing : read<T>(place);
  }
  bool has(int field) const { return place_of(field) != 0; }
  FlatTable table(int field) const {
    const size_t place = place_of(field);
    if (place == 0) fail(Code::File, "malformed Arrow data: a part is missing");
    return {data_, size_, target(place)};
  }
  std::string text(int field) const {
    const size_t place = place_of(field);
    if (place == 0) return {};
    const size_t start = target(place);
    const size_t length = read<uint32_t>(start);
    check(start + 4, length);
    return {reinterpret_cast<const char*>(data_) + start + 4, length};
  }
  FlatVector vector(int field) const;

  template <class T>
  T read(size_t place) const {
    check(place, sizeof(T));
    T value;
    std::memcpy(&value, data_ + place, sizeof(T));
    return value;
  }
  size_t target(size_t place) const { return place + read<uint32_t>(place); }
  FlatTable at(size_t place) const { return {data_, size_, place}; }

 private:
  void check(size_t place, size_t bytes) const {
    if (place > size_ || bytes > size_ - place) fail(Code::File, "malformed Arrow data: a part lies outside its message");
  }
  // Where a field is; 0: nowhere.
  size_t place_of(int field) const {
    const int64_t table = static_cast<int64_t>(at_) - read<int32_t>(at_);
    if (table < 0) fail(Code::File, "malformed Arrow data: a part lies outside its message");
    const size_t entry = static_cast<size_t>(table) + 4 + 2 * static_cast<size_t>(field);
    if (entry + 2 > static_cast<size_t>(table) + read<uint16_t>(static_cast<size_t>(table))) return 0;
    const uint16_t offset = read<uint16_t>(entry);
    return offset == 0 ? 0 : at_ + offset;
  }

  const uint8_t* data_;
  size_t size_;
  size_t at_;
};

// A vector of tables, scalars or structs.
struct FlatVector {
  FlatTable owner;
  size_t start;
  size_t length;

  FlatTable table(size_t i) const { return owner.at(owner.target(start + 4 * i)); }
  // Word `word` of element `i`, elements being `words` int64 each.
  int64_t word(size_t i, size_t words, size_t word) const { return owner.read<int64_t>(start + 8 * (i * words + word)); }
};

inline FlatVector FlatTable::vector(int field) const {
  const size_t place = place_of(field);
  if (place == 0) return {*this, 0, 0};
  const size_t start = target(place);
  const size_t length = read<uint32_t>(start);
  if (length > size_ / 4) fail(Code::File, "malformed Arrow data: a list is longer than its message");
  return {*this, start + 4, length};
}

}  // namespace qtensor
