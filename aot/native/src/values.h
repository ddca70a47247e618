// Values of one Arrow array, a block at a time, in one of three machine types: int64, float, double.
#pragma once

#include <cstdint>

#include "arrow_c.h"
#include "schema.h"

namespace qtensor {

constexpr int64_t kBlock = 1024;  // rows: temporaries of a block stay in L1

// Integers, decimals (unscaled), days, microseconds, Booleans of slots [at, at + count). Null `valid`: all of them are wanted.
// Returns nullptr, or in words why a wanted value has no exact representation.
const char* load_integers(Layout layout, const ArrowArray& array, int64_t at, int64_t count, const uint8_t* valid, int64_t* out);

void load_floats(Layout layout, const ArrowArray& array, int64_t at, int64_t count, float* out);
void load_doubles(Layout layout, const ArrowArray& array, int64_t at, int64_t count, double* out);

// One text. `text` is set and true returned if the array's offsets can be right.
bool load_text(Layout layout, const ArrowArray& array, int64_t at, const char** text, int64_t* bytes);

}  // namespace qtensor
