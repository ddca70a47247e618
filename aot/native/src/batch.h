// A batch of Arrow, encoded: each value as programs take it, and checked for what they assume of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arrow_c.h"
#include "rows.h"
#include "schema.h"

namespace qtensor {

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
  std::vector<int64_t> integers;       // the dictionary's entries
  std::vector<double> reals;
  std::vector<uint8_t> valid;          // of the entries; kRefused: of no exact value, which matters if it occurs
  std::vector<int32_t> codes;          // of text: codes of the entries, kUnseen before one occurs
  const char* refused = nullptr;       // why entries are refused
};

class Batch {
 public:
  // Looks at everything that can be seen without reading values. Throws Error: the structures contradict each other.
  Batch(const Query& query, const InputSchema& schema, const ArrowArray& array);

  int64_t rows() const { return array_.length; }

  // Encode `count` rows from `first` on to the end of `rows`, which has room for them and is the same in all calls.
  // Throws Error: values that cannot be represented, or that are not as assumed.
  void write(int64_t first, int64_t count, Rows& rows);

 private:
  void read_dictionary(size_t index);

  const Query& query_;
  const InputSchema& schema_;
  const ArrowArray& array_;
  std::vector<BatchColumn> columns_;
};

}  // namespace qtensor
