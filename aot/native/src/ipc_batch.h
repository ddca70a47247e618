// The parts of an IPC message: fields of a schema, and the arrays of a record batch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow_c.h"
#include "flatbuffer.h"

namespace qtensor::ipc {

enum Type : uint8_t {
  Null = 1, Int, FloatingPoint, Binary, Utf8, Bool, Decimal, Date, Time, Timestamp, Interval, List, Struct, Union, FixedSizeBinary,
  FixedSizeList, Map, Duration, LargeBinary, LargeUtf8, LargeList, RunEndEncoded, BinaryView, Utf8View, ListView, LargeListView
};

// A column, or a part of one.
struct Field {
  std::string name;
  Type type;
  std::string format;   // of Arrow's C interface; "?" where the engine does not know it
  std::string indices;  // the format of codes, where it is dictionary-encoded
  int64_t dictionary = -1;
  int buffers = 2;  // of an array, without those of its children
  std::vector<Field> children;
};

// An array whose memory is the file's.
struct LoadedArray {
  ArrowArray array{};
  std::vector<const void*> buffers;
  std::vector<int64_t> sizes;  // of a view's buffers
};

// The columns of a schema. Throws Error, as all here.
std::vector<Field> fields_of(const FlatTable& schema);

// Walks the nodes and buffers of a record batch, which lie in the order of the fields.
class Walker {
 public:
  Walker(const FlatTable& batch, const uint8_t* body, size_t size);

  // The next array, of a field's values (`encoded` false: also where it is dictionary-encoded).
  std::unique_ptr<LoadedArray> column(const Field& field, bool encoded);

 private:
  void next_buffer(LoadedArray& column);

  const uint8_t* body_;
  const size_t size_;
  const FlatVector nodes_, buffers_, views_;
  size_t node_ = 0, buffer_ = 0, view_ = 0;
};

[[noreturn]] void malformed_file(const char* why);

}  // namespace qtensor::ipc
