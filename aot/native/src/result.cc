#include "result.h"

#include <cstring>
#include <memory>
#include <string>

#include "bits.h"
#include "error.h"

namespace qtensor {
namespace {

constexpr int64_t kMostText = INT32_MAX;  // bytes that 32-bit offsets can address

// What an array points at; its own children among it.
struct ArrayOwner {
  std::vector<Buffer> memory;
  std::vector<const void*> buffers;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> pointers;
};

struct SchemaOwner {
  std::string format, name;
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> pointers;
};

template <class Structure, class Owner>
void release(Structure* structure) {
  auto* owner = static_cast<Owner*>(structure->private_data);
  for (Structure& child : owner->children) {
    if (child.release != nullptr) child.release(&child);
  }
  structure->release = nullptr;
  delete owner;
}

ArrowArray array_of(std::unique_ptr<ArrayOwner> owner, int64_t length, int64_t nulls) {
  for (ArrowArray& child : owner->children) owner->pointers.push_back(&child);
  ArrowArray array{};
  array.length = length;
  array.null_count = nulls;
  array.n_buffers = static_cast<int64_t>(owner->buffers.size());
  array.n_children = static_cast<int64_t>(owner->children.size());
  array.buffers = owner->buffers.data();
  array.children = owner->pointers.data();
  array.release = release<ArrowArray, ArrayOwner>;
  array.private_data = owner.release();
  return array;
}

ArrowSchema schema_of(std::string format, std::string name, std::vector<ArrowSchema> children, int64_t flags) {
  auto owner = std::make_unique<SchemaOwner>();
  owner->format = std::move(format);
  owner->name = std::move(name);
  owner->children = std::move(children);
  for (ArrowSchema& child : owner->children) owner->pointers.push_back(&child);
  ArrowSchema schema{};
  schema.format = owner->format.c_str();
  schema.name = owner->name.c_str();
  schema.flags = flags;
  schema.n_children = static_cast<int64_t>(owner->children.size());
  schema.children = owner->pointers.data();
  schema.release = release<ArrowSchema, SchemaOwner>;
  schema.private_data = owner.release();
  return schema;
}

std::string format_of(const SqlType& type) {
  switch (type.kind) {
    case Kind::Null:
      return "n";
    case Kind::Boolean:
      return "b";
    case Kind::Float:
      return type.bits == 32 ? "f" : "g";
    case Kind::Date:
      return "tdD";
    case Kind::Timestamp:
      return "tsu:";
    case Kind::Varchar:
      return "u";
    case Kind::Array:
      return "+w:" + std::to_string(type.length);
    case Kind::Decimal:
      return "d:" + std::to_string(type.precision) + "," + std::to_string(type.scale);
    case Kind::Integer:
      break;
  }
  switch (type.bits) {
    case 8:
      return type.is_signed ? "c" : "C";
    case 16:
      return type.is_signed ? "s" : "S";
    case 32:
      return type.is_signed ? "i" : "I";
    case 64:
      return type.is_signed ? "l" : "L";
    default:
      return "d:38,0";
  }
}

ArrowSchema field_of(const Output& output) {
  std::vector<ArrowSchema> children;
  if (output.type.kind == Kind::Array) {
    children.push_back(schema_of(output.type.bits == 32 ? "f" : "g", "item", {}, ARROW_FLAG_NULLABLE));
  }
  return schema_of(format_of(output.type), output.name, std::move(children), ARROW_FLAG_NULLABLE);
}

// Bytes that a picked row has in `Picked::data`.
size_t picked_width(const SqlType& type) {
  switch (type.kind) {
    case Kind::Null:
      return 0;
    case Kind::Boolean:
      return 1;
    case Kind::Date:
    case Kind::Varchar:
      return 4;
    case Kind::Timestamp:
      return 8;
    case Kind::Decimal:
      return 16;
    case Kind::Array:
      return static_cast<size_t>(type.bits / 8 * type.length);
    case Kind::Float:
    case Kind::Integer:
      return static_cast<size_t>(type.bits / 8);
  }
  return 0;
}

// A column's parts as one.
Picked joined(std::vector<Part>& parts, size_t column, const SqlType& type, int64_t rows) {
  if (parts.size() == 1) return std::move(parts[0].columns[column]);
  const size_t width = picked_width(type);
  Picked result;
  for (const Part& part : parts) result.nulls += part.columns[column].nulls;
  result.data = Buffer(static_cast<size_t>(rows) * width + 1);
  if (result.nulls > 0) result.valid = Buffer(static_cast<size_t>(rows) + 1);
  size_t at = 0;
  for (const Part& part : parts) {
    const Picked& picked = part.columns[column];
    const auto count = static_cast<size_t>(part.rows);
    if (count * width > 0) std::memcpy(result.data.as<char>() + at * width, picked.data.data(), count * width);
    if (result.nulls > 0 && picked.nulls > 0) {
      std::memcpy(result.valid.as<char>() + at, picked.valid.data(), count);
    } else if (result.nulls > 0) {
      std::memset(result.valid.as<char>() + at, 1, count);
    }
    at += count;
  }
  return result;
}

// Offsets and bytes of the strings that codes stand for; nothing for NULL.
void add_text(ArrayOwner& owner, const Picked& picked, const Strings& strings, int64_t rows) {
  const auto* codes = picked.data.as<int32_t>();
  const uint8_t* valid = picked.nulls > 0 ? picked.valid.as<uint8_t>() : nullptr;
  Buffer offsets((static_cast<size_t>(rows) + 1) * sizeof(int32_t));
  int64_t end = 0;
  offsets.as<int32_t>()[0] = 0;
  for (int64_t i = 0; i < rows; ++i) {
    if (valid == nullptr || valid[i] != 0) {
      if (codes[i] < 0 || static_cast<size_t>(codes[i]) >= strings.size()) fail(Code::Internal, "a code is beyond its dictionary");
      end += static_cast<int64_t>(strings[static_cast<size_t>(codes[i])].size());
    }
    if (end > kMostText) fail(Code::Capacity, "a text column of the result has more than 2 GiB; select fewer rows at a time");
    offsets.as<int32_t>()[i + 1] = static_cast<int32_t>(end);
  }
  Buffer text(static_cast<size_t>(end) + 1);
  for (int64_t i = 0; i < rows; ++i) {
    if (valid != nullptr && valid[i] == 0) continue;
    const std::string_view string = strings[static_cast<size_t>(codes[i])];
    if (!string.empty()) std::memcpy(text.as<char>() + offsets.as<int32_t>()[i], string.data(), string.size());
  }
  owner.buffers.push_back(offsets.data());
  owner.buffers.push_back(text.data());
  owner.memory.push_back(std::move(offsets));
  owner.memory.push_back(std::move(text));
}

void add_values(ArrayOwner& owner, Buffer values) {
  owner.buffers.push_back(values.data());
  owner.memory.push_back(std::move(values));
}

Buffer bitmap(const uint8_t* bytes, int64_t rows) {
  Buffer bits(static_cast<size_t>(rows + 7) / 8 + 1);
  pack(bytes, rows, bits.as<uint8_t>());
  return bits;
}

ArrowArray column_of(const Output& output, Picked picked, const HostInputs& host, int64_t rows) {
  auto owner = std::make_unique<ArrayOwner>();
  if (output.type.kind == Kind::Null) return array_of(std::move(owner), rows, rows);
  if (picked.nulls > 0) {
    add_values(*owner, bitmap(picked.valid.as<uint8_t>(), rows));
  } else {
    owner->buffers.push_back(nullptr);
  }
  switch (output.type.kind) {
    case Kind::Boolean:
      add_values(*owner, bitmap(picked.data.as<uint8_t>(), rows));
      break;
    case Kind::Varchar:
      if (output.dictionary < 0) fail(Code::Internal, "a text column of the result has no dictionary");
      add_text(*owner, picked, host.strings(output.dictionary), rows);
      break;
    case Kind::Array: {
      auto values = std::make_unique<ArrayOwner>();
      values->buffers.push_back(nullptr);
      add_values(*values, std::move(picked.data));
      owner->children.push_back(array_of(std::move(values), rows * output.type.length, 0));
      break;
    }
    default:
      add_values(*owner, std::move(picked.data));
  }
  return array_of(std::move(owner), rows, picked.nulls);
}

}  // namespace

void to_arrow(const Form& form, const HostInputs& host, std::vector<Part>& parts, ArrowSchema* schema, ArrowArray* array) {
  int64_t rows = 0;
  for (const Part& part : parts) rows += part.rows;
  auto owner = std::make_unique<ArrayOwner>();
  owner->buffers.push_back(nullptr);
  std::vector<ArrowSchema> fields;
  fields.reserve(form.output_count);
  owner->children.reserve(form.output_count);
  try {
    for (size_t i = 0; i < form.output_count; ++i) {
      const Output& output = form.outputs[i];
      owner->children.push_back(column_of(output, joined(parts, i, output.type, rows), host, rows));
      fields.push_back(field_of(output));
    }
    *schema = schema_of("+s", "", fields, 0);
  } catch (...) {
    for (ArrowArray& child : owner->children) child.release(&child);
    for (ArrowSchema& field : fields) field.release(&field);
    throw;
  }
  *array = array_of(std::move(owner), rows, 0);
}

}  // namespace qtensor
