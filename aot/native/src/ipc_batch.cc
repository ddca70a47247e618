#include "ipc_batch.h"

#include <cstdlib>
#include <cstring>

#include "error.h"

namespace qtensor::ipc {
namespace {

constexpr int kDeepest = 64;            // levels of nested fields
constexpr size_t kMostFields = 100000;  // of a schema; tables may stand in many lists, so that few bytes could be many fields

std::string integer_format(const FlatTable& type) {
  const bool is_signed = type.scalar<uint8_t>(1, 0) != 0;
  switch (type.scalar<int32_t>(0, 0)) {
    case 8:
      return is_signed ? "c" : "C";
    case 16:
      return is_signed ? "s" : "S";
    case 32:
      return is_signed ? "i" : "I";
    case 64:
      return is_signed ? "l" : "L";
    default:
      return "?";
  }
}

std::string format_of(Type type, const FlatTable& details) {
  switch (type) {
    case Null:
      return "n";
    case Int:
      return integer_format(details);
    case FloatingPoint: {
      const int precision = details.scalar<int16_t>(0, 0);
      return precision == 0 ? "e" : precision == 1 ? "f" : "g";
    }
    case Utf8:
      return "u";
    case LargeUtf8:
      return "U";
    case Utf8View:
      return "vu";
    case Bool:
      return "b";
    case Decimal:
      return "d:" + std::to_string(details.scalar<int32_t>(0, 0)) + "," + std::to_string(details.scalar<int32_t>(1, 0)) + "," +
             std::to_string(details.scalar<int32_t>(2, 128));
    case Date:
      return details.scalar<int16_t>(0, 1) == 0 ? "tdD" : "tdm";
    case Timestamp: {
      const int unit = details.scalar<int16_t>(0, 0);
      return std::string("ts") + (unit == 0 ? "s:" : unit == 1 ? "m:" : unit == 2 ? "u:" : "n:") + details.text(1);
    }
    default:
      return "?";
  }
}

int buffers_of(Type type, const FlatTable& details) {
  switch (type) {
    case Null:
    case RunEndEncoded:
      return 0;
    case Struct:
    case FixedSizeList:
      return 1;
    case Union:
      return details.scalar<int16_t>(0, 0) == 0 ? 1 : 2;
    case Utf8:
    case LargeUtf8:
    case Binary:
    case LargeBinary:
    case ListView:
    case LargeListView:
      return 3;
    default:
      return 2;
  }
}

Field field_of(const FlatTable& table, int depth, size_t& count) {
  if (depth > kDeepest || ++count > kMostFields) malformed_file("its fields are too many, or nested too deeply");
  Field field;
  field.name = table.text(0);
  field.type = static_cast<Type>(table.scalar<uint8_t>(2, 0));
  const FlatTable details = table.table(3);
  field.format = format_of(field.type, details);
  field.buffers = buffers_of(field.type, details);
  const FlatVector children = table.vector(5);
  for (size_t i = 0; i < children.length; ++i) field.children.push_back(field_of(children.table(i), depth + 1, count));
  if (table.has(4)) {
    const FlatTable encoding = table.table(4);
    field.dictionary = encoding.scalar<int64_t>(0, 0);
    field.indices = encoding.has(1) ? integer_format(encoding.table(1)) : "i";
    field.buffers = 2;
  }
  return field;
}

void release_array(ArrowArray* array) { array->release = nullptr; }

int64_t width_of_format(const std::string& format) {
  if (format == "vu") return 16;
  if (format[0] == 'd') {
    const int bits = std::atoi(format.c_str() + format.rfind(',') + 1);
    return bits == 32 || bits == 64 || bits == 128 || bits == 256 ? bits / 8 : 32;
  }
  if (format == "tdD" || format == "i" || format == "I" || format == "f") return 4;
  if (format == "c" || format == "C") return 1;
  return format == "s" || format == "S" || format == "e" ? 2 : 8;
}

template <class T>
void check_offsets(const LoadedArray& column) {
  const int64_t length = column.array.length;
  if (column.sizes[1] / static_cast<int64_t>(sizeof(T)) <= length) malformed_file("an array is too short");
  T last = 0;
  for (int64_t i = 0; i <= length; ++i) {
    T offset;
    std::memcpy(&offset, static_cast<const char*>(column.buffers[1]) + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    if (offset < last) malformed_file("the offsets of a text column");
    last = offset;
  }
  if (last > column.sizes[2]) malformed_file("the offsets of a text column");
}

// That the buffers hold as many values as the array claims.
void check(LoadedArray& column, const std::string& format) {
  const int64_t length = column.array.length;
  const std::vector<int64_t>& sizes = column.sizes;
  if (format == "n" || length == 0) return;
  if (column.array.null_count != 0 && sizes[0] < (length + 7) / 8) malformed_file("a validity bitmap is too short");
  if (format == "b") {
    if (sizes[1] < (length + 7) / 8) malformed_file("an array is too short");
  } else if (format == "u") {
    check_offsets<int32_t>(column);
  } else if (format == "U") {
    check_offsets<int64_t>(column);
  } else if (sizes[1] / width_of_format(format) < length) {
    malformed_file("an array is too short");
  }
}

void finish(LoadedArray& column, bool view) {
  if (view) {
    column.sizes.erase(column.sizes.begin(), column.sizes.begin() + 2);
    column.buffers.push_back(column.sizes.data());
  } else if (column.buffers.size() > 1 && column.buffers[1] == nullptr && column.array.length == 0) {
    column.buffers[1] = "";
  }
  column.array.n_buffers = static_cast<int64_t>(column.buffers.size());
  column.array.buffers = column.buffers.data();
  column.array.release = release_array;
}

}  // namespace

[[noreturn]] void malformed_file(const char* why) { fail(Code::File, std::string("malformed Arrow data: ") + why); }

std::vector<Field> fields_of(const FlatTable& schema) {
  size_t count = 0;
  std::vector<Field> result;
  const FlatVector fields = schema.vector(1);
  for (size_t i = 0; i < fields.length; ++i) result.push_back(field_of(fields.table(i), 0, count));
  return result;
}

Walker::Walker(const FlatTable& batch, const uint8_t* body, size_t size)
    : body_(body), size_(size), nodes_(batch.vector(1)), buffers_(batch.vector(2)), views_(batch.vector(4)) {
  if (batch.has(3)) fail(Code::File, "the Arrow data is compressed: write it without compression");
}

std::unique_ptr<LoadedArray> Walker::column(const Field& field, bool encoded) {
  auto column = std::make_unique<LoadedArray>();
  if (node_ >= nodes_.length) malformed_file("a batch has fewer arrays than its schema");
  column->array.length = nodes_.word(node_, 2, 0);
  column->array.null_count = nodes_.word(node_, 2, 1);
  ++node_;
  if (column->array.length < 0 || column->array.length > INT64_MAX / 64) malformed_file("an array's length");
  int count = field.buffers;
  if (!encoded && (field.type == Utf8View || field.type == BinaryView)) {
    if (view_ >= views_.length) malformed_file("a view without its count of buffers");
    const int64_t variadic = views_.word(view_++, 1, 0);
    if (variadic < 0 || variadic > static_cast<int64_t>(buffers_.length)) malformed_file("a view's count of buffers");
    count = 2 + static_cast<int>(variadic);
  }
  for (int i = 0; i < count; ++i) next_buffer(*column);
  if (encoded || field.children.empty()) {
    if ((encoded ? field.indices : field.format) != "?") check(*column, encoded ? field.indices : field.format);
  } else {
    for (const Field& child : field.children) (void)this->column(child, child.dictionary >= 0);
  }
  finish(*column, !encoded && field.type == Utf8View);
  return column;
}

void Walker::next_buffer(LoadedArray& column) {
  if (buffer_ >= buffers_.length) malformed_file("a batch has fewer buffers than its schema");
  const int64_t offset = buffers_.word(buffer_, 2, 0), length = buffers_.word(buffer_, 2, 1);
  ++buffer_;
  if (offset < 0 || length < 0 || static_cast<uint64_t>(offset) > size_ || static_cast<uint64_t>(length) > size_ - static_cast<uint64_t>(offset)) {
    malformed_file("a buffer lies outside its message");
  }
  column.buffers.push_back(length == 0 ? nullptr : body_ + offset);
  column.sizes.push_back(length);
}

}  // namespace qtensor::ipc
