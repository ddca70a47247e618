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
#include "ipc_batch.h"

namespace qtensor {
namespace {

using namespace ipc;

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

void release_array(ArrowArray* array) { array->release = nullptr; }
void release_schema(ArrowSchema* schema) { schema->release = nullptr; }

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
        malformed_file("a message of an unknown kind");
    }
  }
  bool has_schema() const { return has_schema_; }

 private:
  void schema(const FlatTable& table) {
    if (has_schema_) malformed_file("it has two schemas");
    if (table.scalar<int16_t>(0, 0) != 0) fail(Code::File, "the Arrow data is big-endian");
    fields_ = fields_of(table);
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
    if (!has_schema_) malformed_file("a batch stands before the schema");
    Walker walker(table, body, size);
    std::vector<std::unique_ptr<LoadedArray>> columns;
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
  std::map<int64_t, std::unique_ptr<LoadedArray>> dictionaries_;
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
      if (size - at < 4) malformed_file("it is cut off");
      length = word_at(bytes, at);
      at += 4;
    } else if (!reader.has_schema() && length != 0) {
      fail(Code::File, std::string(path) + " is no Arrow IPC file or stream");
    }
    if (length == 0) break;
    if (length > size - at) malformed_file("it is cut off");
    const FlatTable message = FlatTable::root(bytes.data() + at, length);
    at += length;
    const int64_t body = message.scalar<int64_t>(3, 0);
    if (body < 0 || static_cast<uint64_t>(body) > size - at) malformed_file("it is cut off");
    reader.message(message, bytes.data() + at, static_cast<size_t>(body), batch);
    at += static_cast<size_t>(body);
  }
  if (!reader.has_schema()) fail(Code::File, std::string(path) + " is no Arrow IPC file or stream");
}

}  // namespace qtensor
