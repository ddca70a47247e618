// One column of a batch, from Arrow's memory to that of programs.
#pragma once

#include <cstdint>
#include <vector>

#include "arrow_c.h"
#include "rows.h"
#include "schema.h"

namespace qtensor {

constexpr int32_t kUnseen = -1;  // an entry of a dictionary that has no code yet
constexpr uint8_t kRefused = 2;  // an entry of no exact value, which matters only if a row has it

// What was found in some rows of a column.
struct Found {
  int64_t nulls = 0;
  int64_t low = INT64_MAX, high = INT64_MIN;
  bool nan = false, denormal = false;
};

// A column's memory. Of a dictionary, `values` are its entries and `array` holds the codes.
struct BatchColumn {
  const ArrowArray* array = nullptr;   // what has the rows: values, or codes into `values`
  int64_t offset = 0;                  // of the batch's first row
  const uint8_t* bitmap = nullptr;     // nullptr: no NULL
  const ArrowArray* values = nullptr;  // the dictionary's, else nullptr
  std::vector<int64_t> integers;       // its entries
  std::vector<double> reals;
  std::vector<uint8_t> valid;          // of the entries; kRefused: of no exact value, which matters if it occurs
  std::vector<int32_t> codes;          // of text: codes of the entries, kUnseen before one occurs
};

// What encoding a column needs, and what it tells.
struct Encoding {
  const Column& column;
  const InputColumn& input;
  BatchColumn& read;
  StoredColumn& stored;
  bool keeps_exact;
  Found& found;
};

// The rows in slots [slot, slot + count) become those from `row` on. Throws Error: a value that has no exact representation.
void encode(const Encoding& encoding, int64_t slot, int64_t count, int64_t row);

}  // namespace qtensor
