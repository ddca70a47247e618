// What Arrow says of a batch: which of its columns the query reads, and how their values lie in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arrow_c.h"
#include "qtensor_query.h"

namespace qtensor {

enum class Layout : uint8_t {
  Null, Bits, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Half, Float, Double, Decimal32, Decimal64, Decimal128,
  Decimal256, Days, DayMilliseconds, Seconds, Milliseconds, Microseconds, Nanoseconds, Text, LargeText, TextView, Unsupported
};

// Bytes of a value; 0 for bits, text and none.
size_t width_of(Layout layout);

// One column that the query reads. `indices`: how its codes lie, where it is dictionary-encoded; else Unsupported.
struct InputColumn {
  int64_t child;
  Layout layout;
  Layout indices;
  bool encoded() const { return indices != Layout::Unsupported; }
  bool is_text() const { return layout >= Layout::Text && layout <= Layout::TextView; }
};

// Columns in the order of Query::columns, found by name.
struct InputSchema {
  int64_t children = 0;
  std::vector<InputColumn> columns;
};

// Throws Error: what is no struct, columns that are missing or of other types; all of these are named.
InputSchema resolve(const Query& query, const ArrowSchema& schema);

// The error of a table that is not as assumed, as qtensor/aot/assumptions.py words it.
[[noreturn]] void fail_assumptions(const Query& query, const std::vector<std::string>& problems);

}  // namespace qtensor
