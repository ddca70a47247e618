// What the C functions of a library call. No exception leaves these functions.
#pragma once

#include <cstdint>

#include "arrow_c.h"
#include "qtensor_query.h"

namespace qtensor {

class State;

constexpr uint32_t kRetain = 1;       // keep the rows, encoded, so that `finish` may be called again
constexpr uint32_t kThreadsShift = 8;  // bits 8 to 15 of the flags: how many threads `finish` may use; 0: all cores

State* open_state(const Query& query, uint32_t flags);              // nullptr: no memory
int step(State* state, ArrowSchema* schema, ArrowArray* array);     // releases both; schema nullptr: as in the last step
int step_file(State* state, const char* path);                      // an Arrow IPC file or stream
int merge(State* into, State* from);                                // the rows of `from` after those of `into`; empties `from`
int finish(State* state, ArrowSchema* schema, ArrowArray* array);   // both are set, or on failure marked as released
const char* error(const State* state);                              // what the last failure was
void close_state(State* state);

}  // namespace qtensor
