// The base class of what tfcompile generates, with the members that qtensor needs and none of the libraries that
// TensorFlow's own needs. The generated header's names are TensorFlow's, and so are these.

#ifndef QTENSOR_XLA_COMPILED_CPU_FUNCTION_H_
#define QTENSOR_XLA_COMPILED_CPU_FUNCTION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/compiler/tf2xla/encoded_buffer_allocation_info.h"
#include "tensorflow/core/platform/types.h"

namespace Eigen {
struct ThreadPoolDevice;
}

namespace absl {
// Only a table of names is kept in it, which nothing reads.
template <typename Key, typename Mapped>
struct flat_hash_map {
  flat_hash_map() = default;
  flat_hash_map(std::initializer_list<std::pair<Key, Mapped>>) {}
};
}  // namespace absl

namespace xla {

class ProgramShapeProto;

class ExecutableRunOptions {
 public:
  const Eigen::ThreadPoolDevice* intra_op_thread_pool() const { return nullptr; }
};

namespace cpu {
class CompilationResultProto;

// No query draws random numbers; the generated code names the type only.
class RngState {};
}  // namespace cpu
}  // namespace xla

namespace tensorflow {

class XlaCompiledCpuFunction {
 public:
  static constexpr size_t kAlignment = 64;

  struct ShapeInfo {
    const int32_t* dimensions = nullptr;
    int32_t num_dimensions = 0;
  };

  using ThunkRun = std::function<bool(void**, xla::ExecutableRunOptions*, std::vector<std::unique_ptr<xla::cpu::RngState>>&)>;

  struct StaticData {
    ThunkRun run;
    std::vector<std::pair<uint64_t, char*>> constants;
    const xla::cpu::BufferAllocationInfo* buffers = nullptr;
    size_t buffer_count = 0;
    const int32_t* results = nullptr;
    const int32_t* arguments = nullptr;
  };

  enum class AllocMode { ARGS_VARIABLES_RESULTS_PROFILES_AND_TEMPS, RESULTS_PROFILES_AND_TEMPS_ONLY };

  // Allocates results and temporaries; arguments are always given by set_arg_data.
  XlaCompiledCpuFunction(const StaticData& data, AllocMode) : data_(data), table_(data.buffer_count, nullptr) {
    size_t total = 0;
    for (size_t i = 0; i < data.buffer_count; ++i) total += allocated(i);
    memory_ = static_cast<char*>(::operator new(total + kAlignment, std::align_val_t(kAlignment)));
    char* next = memory_;
    size_t constant = 0;
    for (size_t i = 0; i < data.buffer_count; ++i) {
      if (data.buffers[i].is_constant()) {
        table_[i] = data.buffers[i].size() == 0 ? memory_ : constant_buffer(constant++, data.buffers[i].size());
      } else if (const size_t bytes = allocated(i)) {
        table_[i] = next;
        next += bytes;
      }
    }
  }

  virtual ~XlaCompiledCpuFunction() { ::operator delete(memory_, std::align_val_t(kAlignment)); }

  XlaCompiledCpuFunction(const XlaCompiledCpuFunction&) = delete;
  XlaCompiledCpuFunction& operator=(const XlaCompiledCpuFunction&) = delete;

  bool Run() { return data_.run(table_.data(), &options_, random_); }

  void set_arg_data(size_t index, const void* data) { table_[data_.arguments[index]] = const_cast<void*>(data); }
  void* arg_data(size_t index) { return table_[data_.arguments[index]]; }
  const void* arg_data(size_t index) const { return table_[data_.arguments[index]]; }
  void* result_data(size_t index) { return table_[data_.results[index]]; }
  const void* result_data(size_t index) const { return table_[data_.results[index]]; }

 protected:
  virtual bool is_thunk_mode() const { return true; }

  static void set_static_data_thunk_run_impl(StaticData* data, ThunkRun run) { data->run = std::move(run); }
  static void set_static_data_embedded_constant_buffers(StaticData* data, std::vector<std::pair<uint64_t, char*>> constants) {
    data->constants = std::move(constants);
  }
  static void set_static_data_buffer_infos(StaticData* data, const xla::cpu::BufferAllocationInfo* buffers) {
    data->buffers = buffers;
  }
  static void set_static_data_num_buffers(StaticData* data, size_t count) { data->buffer_count = count; }
  static void set_static_data_result_index_table(StaticData* data, const int32_t* table) { data->results = table; }
  static void set_static_data_arg_index_table(StaticData* data, const int32_t* table) { data->arguments = table; }

  template <typename Symbols>
  static void set_static_data_function_library_symbol_map(StaticData*, const Symbols&) {}
  static void set_static_data_num_results(StaticData*, int64_t) {}
  static void set_static_data_num_args(StaticData*, int64_t) {}
  static void set_static_data_num_variables(StaticData*, int64_t) {}
  static void set_static_data_temp_allocation_index(StaticData*, std::optional<size_t>) {}
  static void set_static_data_arg_shape_infos(StaticData*, const ShapeInfo*) {}
  static void set_static_data_result_shape_infos(StaticData*, const ShapeInfo*) {}
  static void set_static_data_arg_names(StaticData*, const char**) {}
  static void set_static_data_variable_names(StaticData*, const char**) {}
  static void set_static_data_result_names(StaticData*, const char**) {}
  static void set_static_data_program_shape(StaticData*, const xla::ProgramShapeProto*) {}
  static void set_static_data_rng_state_deltas(StaticData*, const std::vector<int64_t>&) {}
  static void set_static_data_compilation_result_proto(StaticData*, const xla::cpu::CompilationResultProto*) {}

 private:
  size_t allocated(size_t index) const {
    const auto& buffer = data_.buffers[index];
    const bool ours = buffer.is_temp() || (buffer.is_result() && !buffer.is_entry_parameter());
    return ours ? (buffer.size() + kAlignment - 1) / kAlignment * kAlignment : 0;
  }

  // Constants are embedded in the order of their buffers, those of no bytes left out.
  char* constant_buffer(size_t index, uint64_t bytes) const {
    if (index >= data_.constants.size() || data_.constants[index].first != bytes) {
      throw std::logic_error("the constants of a program are not those that its table names");
    }
    return data_.constants[index].second;
  }

  const StaticData& data_;
  std::vector<void*> table_;
  char* memory_ = nullptr;
  xla::ExecutableRunOptions options_;
  std::vector<std::unique_ptr<xla::cpu::RngState>> random_;
};

}  // namespace tensorflow

#endif  // QTENSOR_XLA_COMPILED_CPU_FUNCTION_H_
