#include "@NAME@.h"

#include "engine.h"

#define EXPORTED __attribute__((visibility("default")))

namespace {
qtensor::State* engine_state(@NAME@_state* state) { return reinterpret_cast<qtensor::State*>(state); }
}  // namespace

extern "C" {

EXPORTED @NAME@_state* @NAME@_open(uint32_t flags) {
  return reinterpret_cast<@NAME@_state*>(qtensor::open_state(qtensor_query, flags));
}

EXPORTED int @NAME@_step(@NAME@_state* state, ArrowSchema* schema, ArrowArray* array) {
  return qtensor::step(engine_state(state), schema, array);
}

EXPORTED int @NAME@_step_file(@NAME@_state* state, const char* path) {
  return qtensor::step_file(engine_state(state), path);
}

EXPORTED int @NAME@_merge(@NAME@_state* into, @NAME@_state* from) {
  return qtensor::merge(engine_state(into), engine_state(from));
}

EXPORTED int @NAME@_finish(@NAME@_state* state, ArrowSchema* schema, ArrowArray* array) {
  return qtensor::finish(engine_state(state), schema, array);
}

EXPORTED const char* @NAME@_error(const @NAME@_state* state) {
  return qtensor::error(reinterpret_cast<const qtensor::State*>(state));
}

EXPORTED void @NAME@_close(@NAME@_state* state) { qtensor::close_state(engine_state(state)); }

}  // extern "C"
