// A batch of Arrow, encoded: each value as programs take it, and checked for what they assume of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arrow_c.h"
#include "encode.h"
#include "rows.h"
#include "schema.h"

namespace qtensor {

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
  void encode_rows(int64_t first, int64_t count, Rows& rows, std::vector<Found>& found);
  std::vector<std::string> problems_with(const std::vector<Found>& found, Rows& rows) const;

  const Query& query_;
  const InputSchema& schema_;
  const ArrowArray& array_;
  std::vector<BatchColumn> columns_;
};

}  // namespace qtensor
