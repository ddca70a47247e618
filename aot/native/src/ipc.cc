#include "ipc.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "buffer.h"
#include "error.h"
#include "flatbuffer.h"
#include "schema.h"

namespace qtensor {
namespace {

constexpr int kDeepest = 64;  // levels of nested fields

enum Type : uint8_t {
  Null = 1, Int, FloatingPoint, Binary, Utf8, Bool, Decimal, Date, Time, Timestamp, Interval, List, Struct, Union, FixedSizeBinary,
  FixedSizeList, Map, Duration, LargeBinary, LargeUtf8, LargeList, RunEndEncoded, BinaryView, Utf8View, ListView, LargeListView
};

[[noreturn]] void malformed(const char* why) { fail(Code::File, std::string("malformed Arrow data: ") + why); }

// A file's bytes: mapped, or read where it is a pipe.
class Bytes {
 public:
  explicit Bytes(const char* path) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) fail(Code::File, std::string(path) + ": " + std::strerror(errno));
    struct stat status;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
      size_ = static_cast<size_t>(status.st_size);
      void* mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
      if (mapped != MAP_FAILED) mapped_ = mapped;
    }
    const bool read = mapped_ != nullptr || read_all(file);
    const int why = errno;
    close(file);
    if (!read) fail(Code::File, std::string(path) + ": " + std::strerror(why));
  }
  ~Bytes() {
    if (mapped_ != nullptr) munmap(mapped_, size_);
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  const uint8_t* data() const { return mapped_ != nullptr ? static_cast<const uint8_t*>(mapped_) : copy_.as<uint8_t>(); }
  size_t size() const { return size_; }

 private:
  bool read_all(int file) {
    size_ = 0;
    for (;;) {
      copy_.reserve(size_ + (size_t{1} << 16) > copy_.bytes() ? 2 * copy_.bytes() + (size_t{1} << 16) : copy_.bytes(), size_);
      const ssize_t count = read(file, copy_.as<char>() + size_, copy_.bytes() - size_);
      if (count == 0) return true;
      if (count > 0) size_ += static_cast<size_t>(count);
      if (count < 0 && errno != EINTR) return false;
    }
  }

  void* mapped_ = nullptr;
  size_t size_ = 0;
  Buffer copy_;
};

struct Field {
  std::string name;
  Type type;
  std::string format;   // of Arrow's C interface; "?" where the engine does not know it
  std::string indices;  // the format of codes, where it is dictionary-encoded
  int64_t dictionary = -1;
  int buffers = 2;  // of an array, without those of its children
  std::vector<Field> children;
};

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

Field field_of(const FlatTable& table, int depth) {
  if (depth > kDeepest) malformed("its fields are nested too deeply");
  Field field;
  field.name = table.text(0);
  field.type = static_cast<Type>(table.scalar<uint8_t>(2, 0));
  const FlatTable details = table.table(3);
  field.format = format_of(field.type, details);
  field.buffers = buffers_of(field.type, details);
  const FlatVector children = table.vector(5);
  for (size_t i = 0; i < children.length; ++i) field.children.push_back(field_of(children.table(i), depth + 1));
  if (table.has(4)) {
    const FlatTable encoding = table.table(4);
    field.dictionary = encoding.scalar<int64_t>(0, 0);
    field.indices = encoding.has(1) ? integer_format(encoding.table(1)) : "i";
    field.buffers = 2;
  }
  return field;
}

void release_array(ArrowArray* array) { array->release = nullptr; }
void release_schema(ArrowSchema* schema) { schema->release = nullptr; }

// An array whose memory is the file's.
struct Column {
  ArrowArray array{};
  std::vector<const void*> buffers;
  std::vector<int64_t> sizes;  // of a view's buffers
};

// Walks the nodes and buffers of a record batch, which lie in the order of the fields.
class Walker {
 public:
  Walker(const FlatTable& batch, const uint8_t* body, size_t size)
      : batch_(batch), body_(body), size_(size), nodes_(batch.vector(1)), buffers_(batch.vector(2)), views_(batch.vector(4)) {
    if (batch.has(3)) fail(Code::File, "the Arrow data is compressed: write it without compression");
  }

  // The next array, of a field's values (`encoded` false: also where it is dictionary-encoded).
  std::unique_ptr<Column> column(const Field& field, bool encoded) {
    auto column = std::make_unique<Column>();
    if (node_ >= nodes_.length) malformed("a batch has fewer arrays than its schema");
    column->array.length = nodes_.word(node_, 2, 0);
    column->array.null_count = nodes_.word(node_, 2, 1);
    ++node_;
    if (column->array.length < 0 || column->array.length > INT64_MAX / 64) malformed("an array's length");
    int count = field.buffers;
    if (!encoded && (field.type == Utf8View || field.type == BinaryView)) {
      if (view_ >= views_.length) malformed("a view without its count of buffers");
      const int64_t variadic = views_.word(view_++, 1, 0);
      if (variadic < 0 || variadic > static_cast<int64_t>(buffers_.length)) malformed("a view's count of buffers");
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

 private:
  void next_buffer(Column& column) {
    if (buffer_ >= buffers_.length) malformed("a batch has fewer buffers than its schema");
    const int64_t offset = buffers_.word(buffer_, 2, 0), length = buffers_.word(buffer_, 2, 1);
    ++buffer_;
    if (offset < 0 || length < 0 || static_cast<uint64_t>(offset) > size_ || static_cast<uint64_t>(length) > size_ - static_cast<uint64_t>(offset)) {
      malformed("a buffer lies outside its message");
    }
    column.buffers.push_back(length == 0 ? nullptr : body_ + offset);
    column.sizes.push_back(length);
  }

  // That the buffers hold as many values as the array claims.
  static void check(Column& column, const std::string& format) {
    const int64_t length = column.array.length;
    const std::vector<int64_t>& sizes = column.sizes;
    if (format == "n" || length == 0) return;
    if (column.array.null_count != 0 && sizes[0] < (length + 7) / 8) malformed("a validity bitmap is too short");
    if (format == "b") {
      if (sizes[1] < (length + 7) / 8) malformed("an array is too short");
    } else if (format == "u") {
      check_offsets<int32_t>(column);
    } else if (format == "U") {
      check_offsets<int64_t>(column);
    } else if (sizes[1] / width_of_format(format) < length) {
      malformed("an array is too short");
    }
  }

  static int64_t width_of_format(const std::string& format) {
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
  static void check_offsets(const Column& column) {
    const int64_t length = column.array.length;
    if (column.sizes[1] / static_cast<int64_t>(sizeof(T)) <= length) malformed("an array is too short");
    T last = 0;
    for (int64_t i = 0; i <= length; ++i) {
      T offset;
      std::memcpy(&offset, static_cast<const char*>(column.buffers[1]) + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
      if (offset < last) malformed("the offsets of a text column");
      last = offset;
    }
    if (last > column.sizes[2]) malformed("the offsets of a text column");
  }

  static void finish(Column& column, bool view) {
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

  const FlatTable batch_;
  const uint8_t* body_;
  const size_t size_;
  const FlatVector nodes_, buffers_, views_;
  size_t node_ = 0, buffer_ = 0, view_ = 0;
};

// Reads message after message, with the schema and the dictionaries of the moment.
class Reader {
 public:
  using Visit = std::function<void(const ArrowSchema*, const ArrowArray&)>;

  void message(const FlatTable& message, const uint8_t* body, size_t size, const Visit& visit) {
    if (message.scalar<int16_t>(0, 0) < 3) fail(Code::File, "the Arrow data is of a version before 1.0");
    switch (message.scalar<uint8_t>(1, 0)) {
      case 1:
        return schema(message.table(2));
      case 2:
        return dictionary(message.table(2), body, size);
      case 3:
        return batch(message.table(2), body, size, visit);
      default:
        malformed("a message of an unknown kind");
    }
  }
  bool has_schema() const { return has_schema_; }

 private:
  void schema(const FlatTable& table) {
    if (has_schema_) malformed("it has two schemas");
    if (table.scalar<int16_t>(0, 0) != 0) fail(Code::File, "the Arrow data is big-endian");
    const FlatVector fields = table.vector(1);
    for (size_t i = 0; i < fields.length; ++i) fields_.push_back(field_of(fields.table(i), 0));
    described_.resize(2 * fields_.size());
    for (size_t i = 0; i < fields_.size(); ++i) {
      ArrowSchema& values = described_[2 * i + 1];
      values = ArrowSchema{};
      values.format = fields_[i].format.c_str();
      values.name = "";
      values.release = release_schema;
      ArrowSchema& field = described_[2 * i];
      field = values;
      field.name = fields_[i].name.c_str();
      if (fields_[i].dictionary >= 0) {
        field.format = fields_[i].indices.c_str();
        field.dictionary = &values;
      }
      children_.push_back(&field);
    }
    schema_.format = "+s";
    schema_.n_children = static_cast<int64_t>(fields_.size());
    schema_.children = children_.data();
    schema_.release = release_schema;
    has_schema_ = true;
  }

  void dictionary(const FlatTable& table, const uint8_t* body, size_t size) {
    const int64_t id = table.scalar<int64_t>(0, 0);
    if (table.scalar<uint8_t>(2, 0) != 0) fail(Code::File, "the Arrow data has delta dictionaries: write it without");
    for (const Field& field : fields_) {
      if (field.dictionary != id) continue;
      Field values = field;
      values.dictionary = -1;
      if (values.type == Utf8 || values.type == LargeUtf8) values.buffers = 3;
      if (values.type == Null) values.buffers = 0;
      if (!values.children.empty()) return;  // nested: no query reads it
      Walker walker(table.table(1), body, size);
      dictionaries_[id] = walker.column(values, false);
      return;
    }
  }

  void batch(const FlatTable& table, const uint8_t* body, size_t size, const Visit& visit) {
    if (!has_schema_) malformed("a batch stands before the schema");
    Walker walker(table, body, size);
    std::vector<std::unique_ptr<Column>> columns;
    std::vector<ArrowArray*> children;
    for (const Field& field : fields_) {
      columns.push_back(walker.column(field, field.dictionary >= 0));
      children.push_back(&columns.back()->array);
      if (field.dictionary < 0) continue;
      auto found = dictionaries_.find(field.dictionary);
      if (found != dictionaries_.end()) columns.back()->array.dictionary = &found->second->array;
    }
    ArrowArray array{};
    array.length = table.scalar<int64_t>(0, 0);
    array.n_children = static_cast<int64_t>(children.size());
    array.children = children.data();
    array.release = release_array;
    visit(visited_ ? nullptr : &schema_, array);
    visited_ = true;
  }

  bool has_schema_ = false, visited_ = false;
  std::vector<Field> fields_;
  std::vector<ArrowSchema> described_;  // of each field, and of its dictionary's values
  std::vector<ArrowSchema*> children_;
  ArrowSchema schema_{};
  std::map<int64_t, std::unique_ptr<Column>> dictionaries_;
};

uint32_t word_at(const Bytes& bytes, size_t at) {
  uint32_t word;
  std::memcpy(&word, bytes.data() + at, sizeof word);
  return word;
}

}  // namespace

// A file is a stream between "ARROW1" and a footer that repeats where its messages are.
void read_ipc(const char* path, const std::function<void(const ArrowSchema*, const ArrowArray&)>& batch) {
  const Bytes bytes(path);
  const size_t size = bytes.size();
  size_t at = size >= 8 && std::memcmp(bytes.data(), "ARROW1", 6) == 0 ? 8 : 0;
  Reader reader;
  while (size - at >= 4) {
    uint32_t length = word_at(bytes, at);
    at += 4;
    if (length == 0xFFFFFFFF) {
      if (size - at < 4) malformed("it is cut off");
      length = word_at(bytes, at);
      at += 4;
    } else if (!reader.has_schema() && length != 0) {
      fail(Code::File, std::string(path) + " is no Arrow IPC file or stream");
    }
    if (length == 0) break;
    if (length > size - at) malformed("it is cut off");
    const FlatTable message = FlatTable::root(bytes.data() + at, length);
    at += length;
    const int64_t body = message.scalar<int64_t>(3, 0);
    if (body < 0 || static_cast<uint64_t>(body) > size - at) malformed("it is cut off");
    reader.message(message, bytes.data() + at, static_cast<size_t>(body), batch);
    at += static_cast<size_t>(body);
  }
  if (!reader.has_schema()) fail(Code::File, std::string(path) + " is no Arrow IPC file or stream");
}

}  // namespace qtensor
