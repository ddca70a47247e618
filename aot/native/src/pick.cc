#include <algorithm>
#include <cstring>
#include <string>

#include "error.h"
#include "result.h"

namespace qtensor {
namespace {

using Wide = __int128;

// Which rows are live: the first `count`, or those listed.
struct Live {
  int64_t count = 0;
  bool in_front = true;
  std::vector<int32_t> rows;
};

Live live_rows(const uint8_t* live, int64_t capacity) {
  Live result;
  result.count = std::count_if(live, live + capacity, [](uint8_t one) { return one != 0; });
  result.in_front = std::all_of(live, live + result.count, [](uint8_t one) { return one != 0; });
  if (result.in_front) return result;
  result.rows.reserve(static_cast<size_t>(result.count));
  for (int64_t i = 0; i < capacity; ++i) {
    if (live[i]) result.rows.push_back(static_cast<int32_t>(i));
  }
  return result;
}

// One slot's memory.
struct Source {
  const void* data = nullptr;
  DType type = DType::Bool;
};

class Picker {
 public:
  Picker(const Query& query, const Form& form, const Rows& rows, int64_t first, const void* const* results, Live live)
      : query_(query), form_(form), rows_(rows), first_(first), results_(results), live_(std::move(live)) {}

  int64_t count() const { return live_.count; }

  Picked column(const Output& output) {
    Picked picked;
    if (output.valid.index >= 0) {
      picked.valid = gathered<uint8_t, uint8_t>(at(output.valid).data);
      const uint8_t* valid = picked.valid.as<uint8_t>();
      picked.nulls = std::count(valid, valid + count(), uint8_t{0});
    }
    const uint8_t* valid = picked.nulls > 0 ? picked.valid.as<uint8_t>() : nullptr;
    const SqlType& type = output.type;
    switch (type.kind) {
      case Kind::Null:
        break;
      case Kind::Boolean:
        picked.data = gathered<uint8_t, uint8_t>(at(output.data).data);
        break;
      case Kind::Float:
        picked.data = floats(at(output.data), type.bits);
        break;
      case Kind::Varchar:
        picked.data = narrowed<int32_t>(integers(at(output.data)));
        break;
      case Kind::Array:
        picked.data = arrays(output);
        break;
      case Kind::Decimal:
        picked.data = decimals(output, valid, type.precision);
        break;
      case Kind::Date:
        picked.data = narrowed<int32_t>(checked(output, valid, INT32_MIN, INT32_MAX));
        break;
      case Kind::Timestamp:
        picked.data = narrowed<int64_t>(checked(output, valid, INT64_MIN, INT64_MAX));
        break;
      case Kind::Integer:
        picked.data = type.bits == 128 ? decimals(output, valid, 38) : whole(output, valid);
        break;
    }
    return picked;
  }

 private:
  Source at(const Slot& slot) const {
    if (!slot.of_source) return {results_[slot.index], form_.sink_types[slot.index]};
    const StoredColumn& stored = rows_.columns()[static_cast<size_t>(slot.index)];
    if (slot.validity) return {stored.valid.as<uint8_t>() + first_, DType::Bool};
    if (rows_.keeps_exact(static_cast<size_t>(slot.index))) return {stored.exact.as<double>() + first_, DType::Float64};
    const DType type = query_.columns[slot.index].machine;
    return {stored.data.as<char>() + static_cast<size_t>(first_) * size_of(type), type};
  }

  template <class T, class Out>
  Buffer gathered(const void* data) const {
    Buffer out(static_cast<size_t>(count()) * sizeof(Out) + 1);
    gather(static_cast<const T*>(data), out.as<Out>());
    return out;
  }

  template <class T, class Out>
  void gather(const T* data, Out* out) const {
    if (live_.in_front) {
      for (int64_t i = 0; i < count(); ++i) out[i] = static_cast<Out>(data[i]);
    } else {
      for (int64_t i = 0; i < count(); ++i) out[i] = static_cast<Out>(data[live_.rows[static_cast<size_t>(i)]]);
    }
  }

  Buffer integers(const Source& source) const {
    switch (source.type) {
      case DType::Bool:
        return gathered<uint8_t, int64_t>(source.data);
      case DType::Int8:
        return gathered<int8_t, int64_t>(source.data);
      case DType::Int16:
        return gathered<int16_t, int64_t>(source.data);
      case DType::Int32:
        return gathered<int32_t, int64_t>(source.data);
      case DType::Int64:
        return gathered<int64_t, int64_t>(source.data);
      default:
        fail(Code::Internal, "an integer came as a floating-point number");
    }
  }

  Buffer floats(const Source& source, int32_t bits) const {
    if (source.type == DType::Float32) {
      return bits == 32 ? gathered<float, float>(source.data) : gathered<float, double>(source.data);
    }
    if (source.type != DType::Float64 || bits != 64) fail(Code::Internal, "a floating-point number came as another type");
    return gathered<double, double>(source.data);
  }

  Buffer arrays(const Output& output) const {
    const size_t width = static_cast<size_t>(output.type.bits / 8), length = output.element_count;
    Buffer out(static_cast<size_t>(count()) * length * width + 1);
    for (size_t element = 0; element < length; ++element) {
      const Buffer values = floats(at(output.elements[element]), output.type.bits);
      for (int64_t i = 0; i < count(); ++i) {
        std::memcpy(out.as<char>() + (static_cast<size_t>(i) * length + element) * width,
                    values.as<char>() + static_cast<size_t>(i) * width, width);
      }
    }
    return out;
  }

  // Integers of at most 64 bits, known to be in a range.
  Buffer checked(const Output& output, const uint8_t* valid, Wide minimum, Wide maximum) const {
    Buffer values = integers(at(output.data));
    int64_t* value = values.as<int64_t>();
    if (output.low.index >= 0) {
      const Buffer low = integers(at(output.low));
      check(output, valid, value, INT32_MIN, INT32_MAX);  // of the high part
      for (int64_t i = 0; i < count(); ++i) {
        value[i] = static_cast<int64_t>(static_cast<uint64_t>(value[i]) << 32 | static_cast<uint64_t>(low.as<int64_t>()[i]));
      }
    }
    check(output, valid, value, minimum, maximum);
    return values;
  }

  template <class T>
  void check(const Output& output, const uint8_t* valid, const T* values, Wide minimum, Wide maximum) const {
    if (sizeof(T) == sizeof(int64_t) && minimum <= INT64_MIN && maximum >= INT64_MAX) return;
    for (int64_t i = 0; i < count(); ++i) {
      const bool outside = values[i] < minimum || values[i] > maximum;
      if (outside && (valid == nullptr || valid[i] != 0)) {
        fail(Code::Execution, std::string("overflow: a result of type ") + output.type.text + " is outside " + text(minimum) +
                                  " to " + text(maximum));
      }
    }
  }

  static std::string text(Wide value) {
    const bool negative = value < 0;
    std::string digits;
    for (unsigned __int128 rest = negative ? -static_cast<unsigned __int128>(value) : value; rest != 0 || digits.empty(); rest /= 10) {
      digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(rest % 10)));
    }
    return negative ? "-" + digits : digits;
  }

  template <class Out>
  Buffer narrowed(Buffer values) const {
    if (sizeof(Out) == sizeof(int64_t)) return values;
    Buffer out(static_cast<size_t>(count()) * sizeof(Out) + 1);
    for (int64_t i = 0; i < count(); ++i) out.as<Out>()[i] = static_cast<Out>(values.as<int64_t>()[i]);
    return out;
  }

  Buffer whole(const Output& output, const uint8_t* valid) const {
    const SqlType& type = output.type;
    const Wide minimum = type.is_signed ? -(Wide{1} << (type.bits - 1)) : Wide{0};
    const Wide maximum = (Wide{1} << (type.bits - (type.is_signed ? 1 : 0))) - 1;
    Buffer values = checked(output, valid, minimum, maximum);
    switch (type.bits) {
      case 8:
        return narrowed<int8_t>(std::move(values));
      case 16:
        return narrowed<int16_t>(std::move(values));
      case 32:
        return narrowed<int32_t>(std::move(values));
      default:
        return values;
    }
  }

  Buffer decimals(const Output& output, const uint8_t* valid, int32_t digits) const {
    const Buffer high = integers(at(output.data));
    const Buffer low = output.low.index >= 0 ? integers(at(output.low)) : Buffer();
    Buffer out(static_cast<size_t>(count()) * sizeof(Wide) + 1);
    Wide* values = out.as<Wide>();
    for (int64_t i = 0; i < count(); ++i) {
      values[i] = high.as<int64_t>()[i];
      if (output.low.index >= 0) values[i] = values[i] * (Wide{1} << 32) + low.as<int64_t>()[i];
    }
    Wide maximum = 1;
    for (int32_t digit = 0; digit < digits; ++digit) maximum *= 10;
    check(output, valid, values, 1 - maximum, maximum - 1);
    return out;
  }

  const Query& query_;
  const Form& form_;
  const Rows& rows_;
  const int64_t first_;
  const void* const* results_;
  const Live live_;
};

}  // namespace

Part pick(const Query& query, const Form& form, const Program& program, const Rows& rows, int64_t first, const void* const* results) {
  const auto* flags = static_cast<const uint8_t*>(results[form.sink_count + 1]);
  for (size_t i = 0; i < form.check_count; ++i) {
    if (flags[i]) fail(Code::Execution, form.checks[i]);
  }
  const auto* live = static_cast<const uint8_t*>(results[form.sink_count]);
  const auto capacity = static_cast<int64_t>(program.result_bytes[form.sink_count]);
  Picker picker(query, form, rows, first, results, live_rows(live, capacity));
  Part part{picker.count(), {}};
  for (size_t i = 0; i < form.output_count; ++i) part.columns.push_back(picker.column(form.outputs[i]));
  return part;
}

}  // namespace qtensor
