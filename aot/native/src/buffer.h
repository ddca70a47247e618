// Memory as programs take it: 64-byte aligned, growing in place, zero where nothing was written.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "qtensor_query.h"

namespace qtensor {

inline size_t size_of(DType type) {
  switch (type) {
    case DType::Bool:
    case DType::Int8:
      return 1;
    case DType::Int16:
      return 2;
    case DType::Int32:
    case DType::Float32:
      return 4;
    case DType::Int64:
    case DType::Float64:
      return 8;
  }
  return 8;
}

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes) { reserve(bytes, 0); }
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  void* data() { return data_; }
  const void* data() const { return data_; }
  template <class T>
  T* as() {
    return static_cast<T*>(data_);
  }
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data_);
  }
  size_t bytes() const { return bytes_; }

  // Room for `bytes`, of which the first `kept` are the old ones; those never written are zero. Throws std::bad_alloc.
  void reserve(size_t bytes, size_t kept) {
    if (bytes <= bytes_) return;
    if (bytes > (size_t{1} << 62)) throw std::bad_alloc();
    if (bytes < kMapped) {
      size_t rounded = (bytes + 63) / 64 * 64;
      replace(std::aligned_alloc(64, rounded), rounded, kept);
      std::memset(static_cast<char*>(data_) + kept, 0, rounded - kept);
      return;
    }
    // The system's pages: they come zeroed when they are touched, and grow without being copied.
    size_t rounded = (bytes + kPage - 1) / kPage * kPage;
    if (bytes_ >= kMapped) {
      void* moved = mremap(data_, bytes_, rounded, MREMAP_MAYMOVE);
      if (moved == MAP_FAILED) throw std::bad_alloc();
      data_ = moved;
      bytes_ = rounded;
    } else {
      void* fresh = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      replace(fresh == MAP_FAILED ? nullptr : fresh, rounded, kept);
    }
    // A large page is faulted in once instead of 512 times.
    if (rounded >= kHuge) madvise(data_, rounded, MADV_HUGEPAGE);
  }

 private:
  static constexpr size_t kMapped = size_t{1} << 18;
  static constexpr size_t kPage = size_t{1} << 12;
  static constexpr size_t kHuge = size_t{1} << 22;

  void replace(void* fresh, size_t bytes, size_t kept) {
    if (fresh == nullptr) throw std::bad_alloc();
    if (kept != 0) std::memcpy(fresh, data_, kept);
    release();
    data_ = fresh;
    bytes_ = bytes;
  }

  void release() {
    if (bytes_ >= kMapped) {
      munmap(data_, bytes_);
    } else {
      std::free(data_);
    }
  }

  void* data_ = nullptr;
  size_t bytes_ = 0;  // says which of the two kinds of memory it is
};

}  // namespace qtensor
