// The errors of values and arrays that cannot be read.
#pragma once

#include <cstdint>

#include "arrow_c.h"
#include "schema.h"

namespace qtensor {

// The error of a value that has no exact representation, worded as qtensor/lowering/storage/machine.py does. `reason` follows it.
[[noreturn]] void refuse_value(const Column& column, Layout layout, const ArrowArray& array, int64_t slot, const char* reason);

// The error of arrays that contradict themselves.
[[noreturn]] void malformed(const Column& column, const char* why);

}  // namespace qtensor
