#include "engine.h"

#include <sched.h>

#include <algorithm>
#include <memory>
#include <new>
#include <thread>

#include "error.h"
#include "ipc.h"
#include "state.h"

namespace qtensor {
namespace {

int available_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Run `function` and keep what it throws as the state's error.
template <class Function>
int guarded(State* state, Function function) noexcept {
  if (state == nullptr) return static_cast<int>(Code::Misuse);
  if (state->broken && state->broken_code != 0) return state->broken_code;
  int code = 0;
  try {
    try {
      function();
    } catch (const Error& error) {
      code = static_cast<int>(error.code);
      state->message = error.message;
    } catch (const std::bad_alloc&) {
      code = static_cast<int>(Code::Memory);
      state->message = "out of memory";
    } catch (const std::exception& error) {
      code = static_cast<int>(Code::Internal);
      state->message = error.what();
    }
  } catch (...) {  // no memory for the message
    code = static_cast<int>(Code::Memory);
  }
  if (state->broken) state->broken_code = code;
  return code;
}

template <class Structure>
void release(Structure* structure) {
  if (structure != nullptr && structure->release != nullptr) structure->release(structure);
}

}  // namespace

State* open_state(const Query& query, uint32_t flags) {
  try {
    const int asked = static_cast<int>(flags >> kThreadsShift & 255);
    return std::make_unique<State>(query, (flags & kRetain) != 0, asked != 0 ? asked : available_cores()).release();
  } catch (...) {
    return nullptr;
  }
}

int step(State* state, ArrowSchema* schema, ArrowArray* array) {
  const int code = guarded(state, [&] {
    if (array == nullptr) fail(Code::Misuse, "there is no array");
    state->step(schema, *array);
  });
  release(array);
  release(schema);
  return code;
}

int step_file(State* state, const char* path) {
  return guarded(state, [&] {
    if (path == nullptr) fail(Code::Misuse, "there is no path");
    read_ipc(path, [&](const ArrowSchema* schema, const ArrowArray& array) { state->step(schema, array); });
  });
}

int merge(State* into, State* from) {
  return guarded(into, [&] {
    if (from == nullptr) fail(Code::Misuse, "there is no state to merge");
    if (from->broken) fail(Code::Misuse, "the state to merge has failed: " + from->message);
    into->merge(*from);
  });
}

int finish(State* state, ArrowSchema* schema, ArrowArray* array) {
  if (schema != nullptr) *schema = ArrowSchema{};
  if (array != nullptr) *array = ArrowArray{};
  return guarded(state, [&] {
    if (schema == nullptr || array == nullptr) fail(Code::Misuse, "there is no room for the result");
    state->finish(schema, array);
  });
}

const char* error(const State* state) { return state == nullptr ? "there is no state" : state->message.c_str(); }

void close_state(State* state) { delete state; }

}  // namespace qtensor
