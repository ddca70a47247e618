// From a program's results to Arrow, exactly (lowering/storage/decode.py). First the live rows of each part of a result are
// picked, on whatever thread ran it; then the parts become one struct array.
#pragma once

#include <cstdint>
#include <vector>

#include "arrow_c.h"
#include "host.h"
#include "qtensor_query.h"
#include "rows.h"

namespace qtensor {

// Live rows of a column. data: values as Arrow has them, but Booleans as bytes, and text as int32 codes. valid: bytes.
struct Picked {
  Buffer data, valid;
  int64_t nulls = 0;
};

struct Part {
  int64_t rows = 0;
  std::vector<Picked> columns;
};

// Pick from the results of `program`, the last of its form, that ran on the rows from `first` on.
// Throws Error: a check was hit; a value beyond the range of its type.
Part pick(const Query& query, const Form& form, const Program& program, const Rows& rows, int64_t first, const void* const* results);

// Join the parts. Throws Error: more text than Arrow's 32-bit offsets can address.
void to_arrow(const Form& form, const HostInputs& host, std::vector<Part>& parts, ArrowSchema* schema, ArrowArray* array);

}  // namespace qtensor
