#include "refuse.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "error.h"
#include "format.h"

namespace qtensor {
namespace {

constexpr int64_t kMillisecondsPerDay = 86400000;

// A decimal of `count` 64-bit words as Python's Decimal writes it.
std::string decimal_text(const uint64_t* words, int count, int scale) {
  const bool negative = words[count - 1] >> 63 != 0;
  uint32_t limbs[8];  // the magnitude, least significant first
  uint64_t carry = negative ? 1 : 0;
  for (int i = 0; i < 2 * count; ++i) {
    const auto half = static_cast<uint32_t>(words[i / 2] >> (32 * (i % 2)));
    const uint64_t sum = (negative ? ~half : half) + carry;
    limbs[i] = static_cast<uint32_t>(sum);
    carry = sum >> 32;
  }
  std::string digits;  // least significant first
  while (true) {
    uint64_t rest = 0;
    bool more = false;
    for (int i = 2 * count - 1; i >= 0; --i) {
      const uint64_t part = rest << 32 | limbs[i];
      limbs[i] = static_cast<uint32_t>(part / 10);
      rest = part % 10;
      more = more || limbs[i] != 0;
    }
    digits.push_back(static_cast<char>('0' + rest));
    if (!more) break;
  }
  const int adjusted = static_cast<int>(digits.size()) - 1 - scale;
  if (adjusted >= -6 && digits.size() <= static_cast<size_t>(scale)) digits.append(static_cast<size_t>(scale) + 1 - digits.size(), '0');
  std::reverse(digits.begin(), digits.end());
  const std::string sign = negative ? "-" : "";
  if (adjusted < -6) return sign + digits.substr(0, 1) + (digits.size() > 1 ? "." : "") + digits.substr(1) + "E" + std::to_string(adjusted);
  if (scale > 0) digits.insert(digits.size() - static_cast<size_t>(scale), ".");
  return sign + digits;
}

std::string type_name(const Column& column, Layout layout) {
  const std::string digits = "(" + std::to_string(column.type.precision) + ", " + std::to_string(column.type.scale) + ")";
  switch (layout) {
    case Layout::UInt64:
      return "uint64";
    case Layout::Decimal128:
      return "decimal128" + digits;
    case Layout::Decimal256:
      return "decimal256" + digits;
    case Layout::DayMilliseconds:
      return "date64[ms]";
    case Layout::Seconds:
      return "timestamp[s]";
    case Layout::Milliseconds:
      return "timestamp[ms]";
    case Layout::Nanoseconds:
      return "timestamp[ns]";
    default:
      return column.type.text;
  }
}

std::string shown(const Column& column, Layout layout, const ArrowArray& array, int64_t slot) {
  const size_t width = width_of(layout);
  uint64_t words[4] = {};
  std::memcpy(words, static_cast<const char*>(array.buffers[1]) + static_cast<size_t>(slot) * width, std::min(width, sizeof words));
  const auto value = static_cast<int64_t>(words[0]);
  switch (layout) {
    case Layout::UInt64:
      return std::to_string(words[0]);
    case Layout::Decimal128:
    case Layout::Decimal256:
      return decimal_text(words, static_cast<int>(width / 8), column.type.scale);
    case Layout::DayMilliseconds: {
      const SqlType date{Kind::Date, 0, true, 0, 0, 0, ""};
      return format_value(value / kMillisecondsPerDay - (value % kMillisecondsPerDay < 0 ? 1 : 0), date);
    }
    case Layout::Seconds:
      return std::to_string(value) + " s since 1970-01-01";
    case Layout::Milliseconds:
      return std::to_string(value) + " ms since 1970-01-01";
    case Layout::Nanoseconds:
      return std::to_string(value) + " ns since 1970-01-01";
    default:
      return std::to_string(value);
  }
}

}  // namespace

void refuse_value(const Column& column, Layout layout, const ArrowArray& array, int64_t slot, const char* reason) {
  fail(Code::Data, std::string("column \"") + column.name + "\" (" + type_name(column, layout) + "): the value " +
                       shown(column, layout, array, slot) + " " + reason);
}

void malformed(const Column& column, const char* why) {
  fail(Code::Misuse, std::string("column \"") + column.name + "\": " + why);
}

}  // namespace qtensor
