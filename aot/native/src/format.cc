#include "format.h"

#include <cstdio>

namespace qtensor {
namespace {

constexpr int64_t kMicrosecondsPerDay = 86400000000;

std::string decimal(int64_t value, int32_t precision, int32_t scale) {
  std::string digits = std::to_string(value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value));
  const size_t least = static_cast<size_t>(scale) + (precision > scale ? 1 : 0);
  if (digits.size() < least) digits.insert(0, least - digits.size(), '0');
  if (scale > 0) digits.insert(digits.size() - static_cast<size_t>(scale), ".");
  return (value < 0 ? "-" : "") + digits;
}

// Days since 1970-01-01 by the civil calendar, whose years begin in March; the year before 1 is 1 BC.
std::string date(int64_t days) {
  const int64_t shifted = days + 719468;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t months = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * months + 2) / 5 + 1;
  const int64_t month = months < 10 ? months + 3 : months - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  char text[64];
  std::snprintf(text, sizeof text, "%04lld-%02lld-%02lld%s", static_cast<long long>(year > 0 ? year : 1 - year),
                static_cast<long long>(month), static_cast<long long>(day), year > 0 ? "" : " (BC)");
  return text;
}

std::string timestamp(int64_t microseconds) {
  int64_t days = microseconds / kMicrosecondsPerDay, rest = microseconds % kMicrosecondsPerDay;
  if (rest < 0) {
    rest += kMicrosecondsPerDay;
    --days;
  }
  const int64_t seconds = rest / 1000000;
  char text[32];
  int size = std::snprintf(text, sizeof text, " %02d:%02d:%02d", static_cast<int>(seconds / 3600 % 24),
                           static_cast<int>(seconds / 60 % 60), static_cast<int>(seconds % 60));
  if (rest % 1000000 != 0) {
    size += std::snprintf(text + size, sizeof text - static_cast<size_t>(size), ".%06d", static_cast<int>(rest % 1000000));
    while (text[size - 1] == '0') text[--size] = 0;
  }
  return date(days) + text;
}

}  // namespace

std::string format_value(int64_t value, const SqlType& type) {
  switch (type.kind) {
    case Kind::Boolean:
      return value != 0 ? "true" : "false";
    case Kind::Decimal:
      return decimal(value, type.precision, type.scale);
    case Kind::Date:
      return date(value);
    case Kind::Timestamp:
      return timestamp(value);
    default:
      return std::to_string(value);
  }
}

}  // namespace qtensor
