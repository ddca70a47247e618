// A class that tfcompile generated as a qtensor::Program.

#ifndef QTENSOR_PROGRAM_H_
#define QTENSOR_PROGRAM_H_

#include <cstddef>

#include "qtensor_query.h"
#include "tensorflow/compiler/tf2xla/xla_compiled_cpu_function.h"

namespace qtensor {

template <typename Generated>
void* create_program() {
  return new Generated(Generated::AllocMode::RESULTS_PROFILES_AND_TEMPS_ONLY);
}

template <typename Generated>
void destroy_program(void* instance) {
  delete static_cast<Generated*>(instance);
}

template <typename Generated>
bool run_program(void* instance, const void* const* arguments, const void** results) {
  Generated& program = *static_cast<Generated*>(instance);
  for (size_t i = 0; i < Generated::kNumArgs; ++i) program.set_arg_data(i, arguments[i]);
  if (!program.Run()) return false;
  for (size_t i = 0; i < Generated::kNumResults; ++i) results[i] = program.result_data(i);
  return true;
}

template <typename Generated>
constexpr Program program(const size_t* argument_bytes, const size_t* result_bytes) {
  return {Generated::kNumArgs,        argument_bytes,
          Generated::kNumResults,     result_bytes,
          create_program<Generated>,  destroy_program<Generated>,
          run_program<Generated>};
}

}  // namespace qtensor

#endif  // QTENSOR_PROGRAM_H_
