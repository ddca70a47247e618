// Matrix products by Eigen, of the sources in the TensorFlow wheel.

#include "xla/backends/cpu/runtime/dot_lib.h"

#include "Eigen/Core"

namespace xla::cpu::internal {
namespace {

template <typename T>
using Matrix = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>>;

}  // namespace

template <typename T>
void Multiply(T* out, const T* lhs, const T* rhs, int64_t m, int64_t n, int64_t k, bool transpose_lhs, bool transpose_rhs) {
  const Matrix<T> left(lhs, transpose_lhs ? k : m, transpose_lhs ? m : k);
  const Matrix<T> right(rhs, transpose_rhs ? n : k, transpose_rhs ? k : n);
  Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>> product(out, m, n);
  if (transpose_lhs && transpose_rhs) {
    product.noalias() = left.transpose() * right.transpose();
  } else if (transpose_lhs) {
    product.noalias() = left.transpose() * right;
  } else if (transpose_rhs) {
    product.noalias() = left * right.transpose();
  } else {
    product.noalias() = left * right;
  }
}

// One type a build: each takes seconds, and most queries need one or none.
template void Multiply<QTENSOR_DOT>(QTENSOR_DOT*, const QTENSOR_DOT*, const QTENSOR_DOT*, int64_t, int64_t, int64_t, bool, bool);

}  // namespace xla::cpu::internal
