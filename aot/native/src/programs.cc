#include "programs.h"

#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>

#include "error.h"

namespace qtensor {
namespace {

constexpr size_t kKept = 16;                        // instances of a program
constexpr size_t kLargest = size_t{64} << 20;       // bytes of arguments of one whose instances are kept

// Instances that no one uses: making one allocates all that a program needs.
class Pool {
 public:
  ~Pool() {
    for (auto& [program, instances] : idle_) {
      for (void* instance : instances) program->destroy(instance);
    }
  }
  void* take(const Program& program) {
    {
      std::lock_guard<std::mutex> held(lock_);
      auto found = idle_.find(&program);
      if (found != idle_.end() && !found->second.empty()) {
        void* instance = found->second.back();
        found->second.pop_back();
        return instance;
      }
    }
    void* instance = program.create();
    if (instance == nullptr) throw std::bad_alloc();
    return instance;
  }
  void give(const Program& program, void* instance) noexcept {
    size_t bytes = 0;
    for (size_t i = 0; i < program.argument_count; ++i) bytes += program.argument_bytes[i];
    if (bytes <= kLargest) {
      try {
        std::lock_guard<std::mutex> held(lock_);
        std::vector<void*>& idle = idle_[&program];
        if (idle.size() < kKept) {
          idle.push_back(instance);
          return;
        }
      } catch (const std::bad_alloc&) {  // then it is not kept
      }
    }
    program.destroy(instance);
  }

 private:
  std::mutex lock_;
  std::unordered_map<const Program*, std::vector<void*>> idle_;
};

Pool& pool() {
  static Pool instances;
  return instances;
}

}  // namespace

Instance::Instance(const Program& program)
    : program_(program), instance_(pool().take(program)), results_(program.result_count) {}

Instance::~Instance() { pool().give(program_, instance_); }

const void* const* Instance::run(const std::vector<const void*>& arguments) {
  if (arguments.size() != program_.argument_count) fail(Code::Internal, "a program is given the wrong number of arguments");
  if (!program_.run(instance_, arguments.data(), results_.data())) fail(Code::Internal, "a program stopped");
  return results_.data();
}

void Progress::take(const Program& program, const void* const* results) {
  if (parts_.empty()) {
    for (size_t i = 0; i < program.result_count; ++i) parts_.emplace_back(program.result_bytes[i] + 1);
  }
  for (size_t i = 0; i < program.result_count; ++i) std::memcpy(parts_[i].data(), results[i], program.result_bytes[i]);
  started_ = true;
}

void Progress::append_to(std::vector<const void*>& arguments) const {
  for (const Buffer& part : parts_) arguments.push_back(part.data());
}

size_t Progress::bytes(const Program& program) {
  size_t bytes = 0;
  for (size_t i = 0; i < program.result_count; ++i) bytes += program.result_bytes[i];
  return bytes;
}

}  // namespace qtensor
