#include "values.h"

#include <cmath>
#include <cstring>

#include "bits.h"

namespace qtensor {
namespace {

constexpr int64_t kMillisecondsPerDay = 86400000;

template <class T>
T read(const void* base, int64_t at) {
  T value;  // Arrow's memory need not be aligned
  std::memcpy(&value, static_cast<const char*>(base) + at * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <class T, class Out>
void widen(const void* base, int64_t at, int64_t count, Out* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<Out>(read<T>(base, at + i));
}

// Each value by a function that says whether it has an exact result; all are computed before any is looked at.
template <class Function>
bool convert(int64_t count, const uint8_t* valid, Function exact) {
  bool all = true;
  for (int64_t i = 0; i < count; ++i) all &= exact(i);
  if (all || valid == nullptr) return all;
  all = true;
  for (int64_t i = 0; i < count; ++i) all &= valid[i] == 0 || exact(i);
  return all;
}

template <int kWords>
bool load_decimals(const void* base, int64_t at, int64_t count, const uint8_t* valid, int64_t* out) {
  int64_t unlike = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t low = read<int64_t>(base, (at + i) * kWords);
    const int64_t wanted = valid == nullptr || valid[i] != 0 ? -1 : 0;
    for (int word = 1; word < kWords; ++word) unlike |= (read<int64_t>(base, (at + i) * kWords + word) ^ (low >> 63)) & wanted;
    out[i] = low;
  }
  return unlike == 0;
}

float from_half(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  float value = exponent == 0    ? std::ldexp(static_cast<float>(fraction), -24)
                : exponent == 31 ? (fraction != 0 ? NAN : INFINITY)
                                 : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return half >> 15 ? -value : value;
}

}  // namespace

const char* load_integers(Layout layout, const ArrowArray& array, int64_t at, int64_t count, const uint8_t* valid, int64_t* out) {
  const void* base = layout == Layout::Null ? nullptr : array.buffers[1];
  const char* const kWide = "does not fit 64 bits; cast the column to a decimal of at most 18 digits, or to float64";
  switch (layout) {
    case Layout::Null:
      std::memset(out, 0, static_cast<size_t>(count) * sizeof(int64_t));
      return nullptr;
    case Layout::Bits:
      for (int64_t i = 0; i < count; ++i) out[i] = bit(static_cast<const uint8_t*>(base), at + i);
      return nullptr;
    case Layout::Int8:
      widen<int8_t>(base, at, count, out);
      return nullptr;
    case Layout::Int16:
      widen<int16_t>(base, at, count, out);
      return nullptr;
    case Layout::Int32:
    case Layout::Days:
    case Layout::Decimal32:
      widen<int32_t>(base, at, count, out);
      return nullptr;
    case Layout::Int64:
    case Layout::Decimal64:
    case Layout::Microseconds:
      widen<int64_t>(base, at, count, out);
      return nullptr;
    case Layout::UInt8:
      widen<uint8_t>(base, at, count, out);
      return nullptr;
    case Layout::UInt16:
      widen<uint16_t>(base, at, count, out);
      return nullptr;
    case Layout::UInt32:
      widen<uint32_t>(base, at, count, out);
      return nullptr;
    case Layout::UInt64: {
      bool fits = convert(count, valid, [&](int64_t i) { return (out[i] = read<int64_t>(base, at + i)) >= 0; });
      return fits ? nullptr : "is beyond the range of BIGINT; cast the column to float64";
    }
    case Layout::Decimal128:
      return load_decimals<2>(base, at, count, valid, out) ? nullptr : kWide;
    case Layout::Decimal256:
      return load_decimals<4>(base, at, count, valid, out) ? nullptr : kWide;
    case Layout::DayMilliseconds: {
      bool whole = convert(count, valid, [&](int64_t i) {
        const int64_t value = read<int64_t>(base, at + i);
        out[i] = value / kMillisecondsPerDay;
        return value % kMillisecondsPerDay == 0;
      });
      return whole ? nullptr : "is not a whole day; cast the column to timestamp[ms]";
    }
    case Layout::Nanoseconds: {
      bool whole = convert(count, valid, [&](int64_t i) {
        const int64_t value = read<int64_t>(base, at + i);
        out[i] = value / 1000;
        return value % 1000 == 0;
      });
      return whole ? nullptr : "is not a whole number of microseconds; cast the column to timestamp[us]";
    }
    case Layout::Seconds:
    case Layout::Milliseconds: {
      const int64_t factor = layout == Layout::Seconds ? 1000000 : 1000;
      bool fits = convert(count, valid, [&](int64_t i) {
        return !__builtin_mul_overflow(read<int64_t>(base, at + i), factor, &out[i]);
      });
      return fits ? nullptr : "is beyond the range of TIMESTAMP";
    }
    default:
      return "is of another type";
  }
}

void load_floats(Layout layout, const ArrowArray& array, int64_t at, int64_t count, float* out) {
  if (layout == Layout::Half) {
    for (int64_t i = 0; i < count; ++i) out[i] = from_half(read<uint16_t>(array.buffers[1], at + i));
  } else {
    widen<float>(array.buffers[1], at, count, out);
  }
}

void load_doubles(Layout layout, const ArrowArray& array, int64_t at, int64_t count, double* out) {
  if (layout == Layout::Half) {
    for (int64_t i = 0; i < count; ++i) out[i] = from_half(read<uint16_t>(array.buffers[1], at + i));
  } else if (layout == Layout::Float) {
    widen<float>(array.buffers[1], at, count, out);
  } else {
    widen<double>(array.buffers[1], at, count, out);
  }
}

bool load_text(Layout layout, const ArrowArray& array, int64_t at, const char** text, int64_t* bytes) {
  if (layout == Layout::TextView) {
    const char* view = static_cast<const char*>(array.buffers[1]) + 16 * at;
    const int32_t size = read<int32_t>(view, 0);
    *bytes = size;
    if (size < 0) return false;
    if (size <= 12) {
      *text = view + 4;
      return true;
    }
    const int32_t buffer = read<int32_t>(view, 2), offset = read<int32_t>(view, 3);
    const int64_t buffers = array.n_buffers - 3;
    if (buffer < 0 || buffer >= buffers || offset < 0) return false;
    const int64_t available = read<int64_t>(array.buffers[array.n_buffers - 1], buffer);
    if (array.buffers[2 + buffer] == nullptr || int64_t{offset} + size > available) return false;
    *text = static_cast<const char*>(array.buffers[2 + buffer]) + offset;
    return true;
  }
  const bool large = layout == Layout::LargeText;
  const int64_t begin = large ? read<int64_t>(array.buffers[1], at) : read<int32_t>(array.buffers[1], at);
  const int64_t end = large ? read<int64_t>(array.buffers[1], at + 1) : read<int32_t>(array.buffers[1], at + 1);
  if (begin < 0 || end < begin || (end > begin && array.buffers[2] == nullptr)) return false;
  *text = static_cast<const char*>(array.buffers[2]) + begin;
  *bytes = end - begin;
  return true;
}

}  // namespace qtensor
