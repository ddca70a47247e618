// Running compiled programs: instances, each with its own temporaries, are kept for the next call.
#pragma once

#include <vector>

#include "buffer.h"
#include "qtensor_query.h"

namespace qtensor {

// An instance of a program, used by one thread.
class Instance {
 public:
  explicit Instance(const Program& program);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  // The results' memory, valid until the next run. Throws Error: the program stopped.
  const void* const* run(const std::vector<const void*>& arguments);

 private:
  const Program& program_;
  void* instance_;
  std::vector<const void*> results_;
};

// A sink's state between programs: results of one that become arguments of the next.
class Progress {
 public:
  bool started() const { return started_; }
  void take(const Program& program, const void* const* results);
  void append_to(std::vector<const void*>& arguments) const;
  void clear() { started_ = false; }
  static size_t bytes(const Program& program);

 private:
  std::vector<Buffer> parts_;
  bool started_ = false;
};

}  // namespace qtensor
